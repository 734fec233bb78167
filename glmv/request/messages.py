"""All accepted forms of messages -> a tuple of `Message`, with media in user messages only.

Strings in messages are not trusted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from glmv.errors import InvalidRequestError, UnsupportedContent
from glmv.media import File, Image, Video
from glmv.media.text import nearest, shortened, shown
from glmv.request.cause import AddNote
from glmv.request.tool_results import in_words
from glmv.types import Media, Message, Part, Role, Text, ToolCall, media_in, modality, part_of

Messages = str | Part | Message | Mapping[str, Any] | Sequence[str | Part | Message | Mapping[str, Any]]


def _silent(_: str) -> None:
    """Drops notes."""


def messages_of(messages: object, add_note: AddNote = _silent) -> tuple[Message, ...]:
    """All forms of messages that `chat` accepts -> a tuple of `Message`.

    A string, a part, or a list of strings and parts is one user turn; a list of `Message` or of OpenAI-shaped dicts is
    a conversation. `add_note` records a note for each field that GLM does not have, such as the `detail` of a picture.

    Raises:
        UnsupportedContent: a message has a role, a key or content that is not accepted; the error names the position.
        InvalidRequestError: there is no message.
    """
    if (part := part_of(messages)) is not None:
        return (Message("user", part),)
    match messages:
        case Message():
            return (messages,)
        case Mapping():
            return (_from_dict(messages, 0, add_note),)
        case bytes() | bytearray() | memoryview():
            raise UnsupportedContent(f"messages is bytes: {_OF_BYTES}")
        case Iterable():
            items = list(messages)
        case _:
            raise UnsupportedContent(
                "messages must be a str, a part, a list of these, or a list of messages; "
                f"got {type(messages).__name__}."
            )
    if not items:
        raise InvalidRequestError("messages is empty: pass at least one user message.")
    if any(isinstance(item, Message | Mapping) and not _is_part(item) for item in items):
        return tuple(_message(item, index, add_note) for index, item in enumerate(items))
    return (
        Message(
            "user", [dict_part(item, 0, "user", add_note) if isinstance(item, Mapping) else item for item in items]
        ),
    )


def _is_part(item: object) -> bool:
    return isinstance(item, Mapping) and "role" not in item and "type" in item


def _message(item: object, index: int, add_note: AddNote) -> Message:
    match item:
        case Message():
            return item
        case Mapping():
            return _from_dict(item, index, add_note)
        case _:
            raise UnsupportedContent(
                f"messages[{index}] is {type(item).__name__}; in a conversation each item is a Message or a dict "
                "with a role. A list for a single user turn has only strings and parts."
            )


_OF_BYTES = "make a picture of these bytes with glmv.Image.from_bytes."
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_MESSAGE_KEYS = {"role", "content", "tool_calls", "tool_call_id", "reasoning_content"}
# Keys of other APIs in messages, which are left out (OpenAI's names and answers, Anthropic's caching).
_FOREIGN_KEYS = {"name", "cache_control", "refusal", "annotations", "audio", "function_call"}


def _from_dict(item: Mapping[str, Any], index: int, add_note: AddNote) -> Message:
    name = item.get("role")
    role = _ROLES.get(name) if isinstance(name, str) else None  # a member of an enum may be a string, too
    if role is None:
        raise UnsupportedContent(
            f"messages[{index}] has role {shown(name)}; roles are system, user, assistant and tool."
        )
    extra = {str(key) for key, value in item.items() if not _empty(value)} - _MESSAGE_KEYS
    if unknown := extra - _FOREIGN_KEYS:
        key = min(unknown)
        raise UnsupportedContent(f"messages[{index}] has an unknown key {shown(key)}.{nearest(key, _MESSAGE_KEYS)}")
    for key in sorted(extra):
        add_note(f"messages[{index}]: {key} was left out; GLM has no such field.")
    content = item.get("content")
    parts: list[Part] = []
    match content:
        case None | "":
            pass
        case Mapping():
            parts = [_part_of(content, index, role, add_note)]
        case _ if (part := part_of(content)) is not None:
            parts = [part]
        case bytes() | bytearray() | memoryview():
            raise UnsupportedContent(f"messages[{index}].content is bytes: {_OF_BYTES}")
        case Iterable():
            parts = [_part_of(item, index, role, add_note) for item in content]
        case _:
            raise UnsupportedContent(f"messages[{index}].content is {type(content).__name__}; give a str or a list.")
    calls = item.get("tool_calls") or ()
    if not isinstance(calls, list | tuple):
        raise UnsupportedContent(f"messages[{index}].tool_calls is {type(calls).__name__}; give a list of calls.")
    return Message(
        role,
        parts,
        tool_calls=[_tool_call(call, index) for call in calls],
        tool_call_id=item.get("tool_call_id"),
        reasoning=item.get("reasoning_content"),
    )


def _part_of(part: object, index: int, role: Role, add_note: AddNote) -> Part:
    """Like `dict_part`, but a picture, video or file of a tool message becomes a text if it cannot be sent."""
    try:
        return dict_part(part, index, role, add_note)
    except InvalidRequestError as error:
        kind = _MEDIA.get(str(part.get("type"))) if role == "tool" and isinstance(part, Mapping) else None
        if kind is None:
            raise
        return in_words(kind, error, f"messages[{index}]", add_note)


def _empty(value: object) -> bool:
    return value is None or (isinstance(value, str | Sequence | Mapping) and not len(value))


def _tool_call(call: object, index: int) -> ToolCall:
    match call:
        case ToolCall():
            return call
        case {"function": {"name": str(name), **function}, **rest}:
            arguments = function.get("arguments") or "{}"
            if not isinstance(arguments, str):
                try:
                    arguments = json.dumps(arguments, ensure_ascii=False)
                except (TypeError, ValueError, RecursionError) as error:
                    raise UnsupportedContent(
                        f"messages[{index}].tool_calls: the arguments of {shown(name)} cannot be written as JSON: "
                        f"{shortened(str(error), 200)}"
                    ) from None
            return ToolCall(str(rest.get("id") or ""), name, arguments)
        case _:
            raise UnsupportedContent(
                f"messages[{index}].tool_calls: a call must have the form "
                "{'id', 'type', 'function': {'name', 'arguments'}}."
            )


def _name(file: Mapping[Any, Any]) -> str | None:
    return str(file["filename"]) if file.get("filename") else None


# Keys of the object inside a part (docs.bigmodel.cn and docs.z.ai: "additionalProperties: false").
_PART_KEYS = {
    "image_url": {"url"},
    "video_url": {"url"},
    "file_url": {"url"},
    "file": {"file_id", "file_url", "file_data", "filename"},
}


_MEDIA: dict[str, type[Media]] = {"image_url": Image, "video_url": Video, "file_url": File, "file": File}


def _left_out(part: Mapping[Any, Any], index: int, add_note: AddNote) -> None:
    kind = str(part.get("type"))
    inner = part.get(kind)
    extra = part.keys() - {"type", kind}
    if isinstance(inner, Mapping):
        extra |= inner.keys() - _PART_KEYS.get(kind, set())
    for name in sorted(map(str, extra)):
        add_note(
            f"messages[{index}]: {shortened(name)} of a {shortened(kind)} part was left out; GLM has no such field."
        )


def dict_part(part: object, index: int, role: str, add_note: AddNote = _silent) -> Part:
    """Converts a content part in the form of OpenAI or GLM.

    Strings in messages are not trusted: a path raises an error and is never opened (see SECURITY.md).
    """
    if (ready := part_of(part)) is not None:
        return ready
    if isinstance(part, Mapping):
        _left_out(part, index, add_note)
    match part:
        case {"type": "text", "text": str(text)}:
            return Text(text)
        case {"type": "image_url", "image_url": {"url": str(url)} | str(url)}:
            return Image.from_message(url)
        case {"type": "video_url", "video_url": {"url": str(url)} | str(url)}:
            return Video.from_message(url)
        case {"type": "file_url", "file_url": {"url": str(url)} | str(url)}:
            return File.from_url(url)
        case {"type": "file", "file": {"file_id": str(file_id)}}:
            return File.from_id(file_id)
        case {"type": "file", "file": {"file_url": str(url), **rest}}:
            return File.from_url(url, name=_name(rest))
        case {"type": "file", "file": {"file_data": str(data), **rest}}:
            return File.from_base64(data, name=_name(rest))
        case _:
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise UnsupportedContent(
                f"messages[{index}] ({role}): a part of type {shown(kind)} cannot be sent. "
                "Parts are text, image_url, video_url, file_url and file."
            )


def media_moved(messages: tuple[Message, ...], add_note: AddNote) -> tuple[Message, ...]:
    """The same conversation with all pictures, videos and files in user messages.

    The platform reads media in user messages only (docs.bigmodel.cn, "对话补全": the content of other roles is a
    string), but tools return screenshots, and assistants may draw. Media are moved into the next message if it is a
    user message, otherwise into a new user message before it. A text before each picture, video or file names its
    origin, and another text takes its old place. Successive tool messages are not separated, because results must
    follow their calls.

    Args:
        messages: a conversation.
        add_note: records a note for each message whose media were moved.
    """
    if all(message.role == "user" or not media_in(message.content) for message in messages):
        return messages
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    result: list[Message] = []
    waiting: list[Part] = []
    counts: Counter[str] = Counter()
    for index, message in enumerate(messages):
        if message.role == "user":
            if waiting:
                message = replace(message, content=(*waiting, *message.content))
                waiting = []
        else:
            if waiting and message.role != "tool":
                result.append(Message("user", waiting))
                waiting = []
            if media_in(message.content):
                whose = _whose(message, names)
                message = _split(message, whose, waiting, counts)
                add_note(
                    f"messages[{index}]: media of {whose} were moved into a user message; GLM reads them only there."
                )
        result.append(message)
    if waiting:
        result.append(Message("user", waiting))
    return tuple(result)


def _split(message: Message, whose: str, waiting: list[Part], counts: Counter[str]) -> Message:
    texts: list[Part] = []
    for part in message.content:
        if isinstance(part, Text):
            texts.append(part)
            continue
        kind = modality(part)
        counts[kind] += 1
        label = f"{kind} {counts[kind]}"
        texts.append(Text(f"[{label}: see the user message below]"))
        waiting += [Text(f"[{label}, from {whose}]"), part]
    return replace(message, content=tuple(texts))


def _whose(message: Message, names: dict[str, str]) -> str:
    if message.role != "tool":
        return f"the {message.role} message"
    name = names.get(message.tool_call_id or "")
    call = shortened(str(message.tool_call_id), 120)
    return f"the tool {shortened(name, 120)} (call {call})" if name else f"the tool call {call}"


def pictures_kept(messages: tuple[Message, ...], most: int, add_note: AddNote) -> tuple[Message, ...]:
    """The same conversation with only the newest pictures; a text replaces each older one.

    Args:
        messages: a conversation, with media in user messages only.
        most: how many pictures to keep. Those of the last message with pictures are kept in any case.
        add_note: records a note if pictures were left out.
    """
    places = [
        (m, p)
        for m, message in enumerate(messages)
        for p, part in enumerate(message.content)
        if isinstance(part, Image)
    ]
    old = {(m, p) for m, p in places[:-most] if m != places[-1][0]}
    if not old:
        return messages
    add_note(f"{len(old)} of {len(places)} pictures, the oldest, were left out: keep_pictures={most}.")
    return tuple(
        replace(
            message,
            content=tuple(Text(_OLDER) if (m, p) in old else part for p, part in enumerate(message.content)),
        )
        if any(m == at for at, _ in old)
        else message
        for m, message in enumerate(messages)
    )


_OLDER = "[an older picture, no longer shown]"
