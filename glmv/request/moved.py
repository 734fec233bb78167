"""Media that stand where the platform cannot see them -> a user message that follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from glmv.media import File, Image, Video
from glmv.types import Message, Part, Text

_KINDS = ((Image, "image"), (Video, "video"), (File, "file"))


def moved(messages: tuple[Message, ...], tell: Callable[[str], None]) -> tuple[Message, ...]:
    """The same conversation with all pictures, videos and files in user messages.

    The platform reads media from users only (docs.bigmodel.cn, "对话补全": the content of other roles is a string),
    but tools return screenshots and assistants draw. Media go into the user message that follows, or into one of
    their own, each after a line that says whose they are; a line stays where they stood. A run of tool messages
    stays whole, since results must follow their calls.

    Args:
        messages: a conversation.
        tell: called with one line for each message whose media moved.
    """
    if all(message.role == "user" or _only_text(message.content) for message in messages):
        return messages
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    result: list[Message] = []
    waiting: list[Part] = []
    counts: Counter[str] = Counter()
    for index, message in enumerate(messages):
        if message.role == "user":
            if waiting:
                message = Message("user", (*waiting, *message.content))
                waiting = []
        else:
            if waiting and message.role != "tool":
                result.append(Message("user", waiting))
                waiting = []
            if not _only_text(message.content):
                whose = _whose(message, names)
                message = _split(message, whose, waiting, counts)
                tell(f"messages[{index}]: media of {whose} moved into a user message; GLM reads them from users only.")
        result.append(message)
    if waiting:
        result.append(Message("user", waiting))
    return tuple(result)


def _only_text(content: Iterable[Part]) -> bool:
    return all(isinstance(part, Text) for part in content)


def _split(message: Message, whose: str, waiting: list[Part], counts: Counter[str]) -> Message:
    texts: list[Part] = []
    for part in message.content:
        if isinstance(part, Text):
            texts.append(part)
            continue
        kind = next(name for cls, name in _KINDS if isinstance(part, cls))
        counts[kind] += 1
        label = f"{kind} {counts[kind]}"
        texts.append(Text(f"[{label}: see the user message below]"))
        waiting += [Text(f"[{label}, from {whose}]"), part]
    return Message(
        message.role,
        texts,
        tool_calls=message.tool_calls,
        tool_call_id=message.tool_call_id,
        reasoning=message.reasoning,
    )


def _whose(message: Message, names: dict[str, str]) -> str:
    if message.role != "tool":
        return f"the {message.role} message"
    name = names.get(message.tool_call_id or "")
    return f"the tool {name} (call {message.tool_call_id})" if name else f"the tool call {message.tool_call_id}"
