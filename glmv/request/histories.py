"""Changes a conversation history by a table of rules, so that the platform accepts it.

The platform requires a user message as the first message after system messages (docs.bigmodel.cn, chat completion,
messages: "不能仅包含系统消息或助手消息"), else it answers with error 1214. It refuses an empty user message, and it
requires the call of each tool result. A history that breaks these rules is changed, with a note, if it has only one
possible meaning; else it is refused before it is sent. A tool result without its call is sent as it is, with a note, if
the assistant has not answered since. Other orders, which the platform accepts, stay as they are: system messages
between turns, several user messages in a row. Other servers get every history as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from glmv.errors import InvalidRequestError
from glmv.media.text import shortened
from glmv.request.cause import AddNote, Cause
from glmv.types import Message, Part, Text

ADVICE = "If you shorten a history, let it begin with a user message."
"""Advice for a history without its beginning; adapters replace it by advice for their framework."""


@dataclass(frozen=True, slots=True)
class _History:
    """A history, and what the rules need to know about it.

    Attributes:
        messages: the history.
        first_user: the index of the first user message with content; the number of messages if there is none.
        last: the index of the last message with content, or of the last message of all if none has content.
        earlier_calls: for each message, the ids of the tool calls before it.
    """

    messages: tuple[Message, ...]
    first_user: int
    last: int
    earlier_calls: tuple[frozenset[str], ...]

    def asked_before(self, index: int) -> bool:
        return self.first_user < index

    def is_orphan(self, index: int) -> bool:
        """Whether a message is a tool result, and its call is not in an earlier message.

        A result without an id fits any call.
        """
        message, calls = self.messages[index], self.earlier_calls[index]
        has_call = bool(calls) if message.tool_call_id is None else message.tool_call_id in calls
        return message.role == "tool" and not has_call

    def was_read(self, index: int) -> bool:
        """Whether the assistant has answered since the message at `index`."""
        return any(later.role == "assistant" for later in self.messages[index + 1 :])


class Rule(NamedTuple):
    """One rule of the table. For each message, the first rule that applies decides.

    Attributes:
        applies: returns whether the rule applies to the message at an index.
        outcome: what to do with the message.
        words: the text that follows `messages[i]` in the note or the error.
    """

    applies: Callable[[_History, int], bool]
    outcome: Literal["left out", "system", "sent", "refused"]
    words: str


RULES = (
    Rule(
        lambda history, at: _is_empty(history.messages[at], "user") and at < history.last,
        "left out",
        ", an empty user message, was left out: the platform refuses empty messages.",
    ),
    Rule(
        lambda history, at: _is_empty(history.messages[at], "user"),
        "refused",
        " (user) is empty: give it text, a picture, a video or a file.",
    ),
    Rule(
        lambda history, at: _is_empty(history.messages[at], "system", "assistant"),
        "left out",
        ", an empty message, was left out.",
    ),
    Rule(
        lambda history, at: history.is_orphan(at) and (not history.asked_before(at) or history.was_read(at)),
        "left out",
        ", a tool's result, was left out: its tool call is not in the history.",
    ),
    Rule(
        lambda history, at: history.is_orphan(at),
        "sent",
        " is a tool's result, but its tool call is not in the history: put the assistant message with the call before "
        "it.",
    ),
    Rule(
        lambda history, at: (
            history.messages[at].role == "assistant"
            and not history.asked_before(at)
            and bool(history.messages[at].tool_calls)
        ),
        "refused",
        f" has tool calls of the assistant without a user message before them, which the platform requires. {ADVICE}",
    ),
    Rule(
        lambda history, at: history.messages[at].role == "assistant" and not history.asked_before(at),
        "system",
        ", an assistant message before the first user message, was sent as system text: the platform requires a user "
        "message first.",
    ),
)

_BEGAN = "You began this conversation with these words:\n"


def as_taken(messages: tuple[Message, ...], add_note: AddNote) -> tuple[Message, ...]:
    """A history -> one that the platform accepts.

    Args:
        messages: the history, with media in user messages only.
        add_note: records a note for each message that was changed or left out, or that the platform may refuse.

    Raises:
        InvalidRequestError: the history has no user message, ends with an empty user message, or has an unclear
            meaning; the error has advice.
    """
    first = next((message.role for message in messages if message.role != "system"), None)
    if first == "user" and not any(map(_is_odd, messages)):
        return messages
    history = _history(messages)
    result: list[Message] = []
    for index, message in enumerate(messages):
        rule = next((rule for rule in RULES if rule.applies(history, index)), None)
        if rule is None:
            result.append(message)
            continue
        words = f"messages[{index}]{rule.words}"
        match rule.outcome:
            case "refused":
                raise InvalidRequestError(words)
            case "sent":
                add_note(Cause(words))
                result.append(message)
            case "left out":
                add_note(words)
            case "system":
                add_note(words)
                _add_system(result, message.text)
    if history.first_user == len(messages):
        roles = shortened(" and ".join(dict.fromkeys(message.role for message in messages)), 120)
        raise InvalidRequestError(
            "There is no user message: the platform requires one besides system and assistant messages; "
            f"the roles of messages[0] to messages[{len(messages) - 1}] are {roles}. {ADVICE}"
        )
    return tuple(result)


def _history(messages: tuple[Message, ...]) -> _History:
    full = [index for index, message in enumerate(messages) if not _is_empty(message, "user", "system", "assistant")]
    earlier_calls: list[frozenset[str]] = []
    calls: frozenset[str] = frozenset()
    for message in messages:
        earlier_calls.append(calls)
        calls |= {call.id for call in message.tool_calls}
    first = next((index for index in full if messages[index].role == "user"), len(messages))
    return _History(messages, first, full[-1] if full else len(messages) - 1, tuple(earlier_calls))


def _is_odd(message: Message) -> bool:
    """Whether a rule may apply to a message of a history that begins with a user message."""
    return message.role == "tool" or _is_empty(message, "user", "system", "assistant")


def _is_empty(message: Message, *roles: str) -> bool:
    return message.role in roles and not (message.tool_calls or message.reasoning or any(map(_shows, message.content)))


def _shows(part: Part) -> bool:
    return not isinstance(part, Text) or bool(part.text and not part.text.isspace())


def _add_system(messages: list[Message], text: str) -> None:
    """Add, as system text, the text of an assistant message that precedes the first user message."""
    words = f"{_BEGAN}{text}"
    if not (messages and messages[-1].role == "system"):
        messages.append(Message("system", words))
        return
    before = messages[-1]
    added = text if _BEGAN in before.text else words
    messages[-1] = replace(before, content=(*before.content, Text(f"\n\n{added}")))
