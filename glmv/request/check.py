"""Checks a request against its model's catalogue row before it is sent, and fits it to the documented limits.

For the platform, a request is refused if all documents forbid it. If documents disagree, it is sent with a note. For
another server, which may have other limits, it is sent with a note on the limit. The caller's request is not modified.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from glmv.errors import InvalidRequestError, UnsupportedContent
from glmv.media.kept import PICTURE_CACHE_BYTES
from glmv.media.urls import host_of, is_private
from glmv.options import hold_ranges
from glmv.request.check_doubts import note_doubts
from glmv.request.check_media import check_served, checked_media, placed_media
from glmv.request.check_options import checked_options
from glmv.request.check_unseen import note_unseen
from glmv.request.histories import as_taken
from glmv.request.limits import Limits
from glmv.types import Message, Text
from glmv.wire.dialect import DIALECTS, Dialect

if TYPE_CHECKING:
    from glmv.catalog.row import Model
    from glmv.options import ChatRequest


def check(
    request: ChatRequest,
    model: Model | None,
    dialect: Dialect = DIALECTS["platform"],
    base_url: str = "",
    *,
    keep: int = PICTURE_CACHE_BYTES,
) -> ChatRequest:
    """Check a request against its model's catalogue row.

    Args:
        request: the request.
        model: the row, or None for a model that is not in the catalogue: then limits are not checked.
        dialect: the server's dialect.
        base_url: the server's base URL; a server in a private network can fetch from that network.
        keep: see `Settings.picture_cache_bytes`.

    Returns:
        The request as the model accepts it: pictures are fitted, system text and videos are moved to the required
        positions, and options are in their documented range. Its `cut` has the stop words that are not sent, and its
        `notes` list the changes.

    Raises:
        LimitExceeded: a count, size, side or duration exceeds all documented limits.
        UnsupportedContent: the file of a picture was cut short, or the model does not support a role, part or tool, or
            is not a chat model.
        InvalidRequestError: an option is out of its documented range, or the platform does not accept the history.
    """
    if dialect.limits == "refuse":
        hold_ranges(request.options)
    limits = Limits(request.notes, hold=dialect.limits == "refuse", keep=keep)
    media = placed_media(request.messages)
    check_served(media, dialect, limits.add_note)
    # The platform is outside of the user's network. A server on this machine that imitates it is treated like it.
    note_unseen(request.messages, limits.add_note, lambda: limits.hold or not is_private(host_of(base_url)))
    if model is None:
        messages = as_taken(request.messages, limits.add_note) if limits.hold else request.messages
        return _with_notes(request, limits, messages=messages)
    if not model.chats:
        limits.over(
            UnsupportedContent,
            f"{model.name} is not a chat model: it reads pages, by POST {model.endpoint} with "
            f'{{"model": "{model.name}", "file": <URL or base64>}}. This client does not support that (zai-sdk does: '
            "client.layout_parsing.create). To ask about a picture in chat use glm-4.6v.",
        )
        return _with_notes(request, limits)
    _roles(request.messages, model, limits)
    messages = checked_media(request.messages, media, model, limits)
    if limits.hold:  # after the media, whose errors have the indexes of the caller's messages
        messages = as_taken(messages, limits.add_note)
    if "system" not in model.roles:
        messages = _without_system(messages, model, limits)
    options, cut = checked_options(dialect.translated(request.options), model, limits, dialect)
    note_doubts(request, [part for _, part in media], model, limits.add_note)
    notes = tuple(dict.fromkeys(limits.notes))
    if messages is request.messages and options is request.options and len(notes) == len(request.notes):
        return request
    return request.but(messages=messages, options=options, cut=(*request.cut, *cut), notes=notes)


def _with_notes(request: ChatRequest, limits: Limits, **changes: Any) -> ChatRequest:
    """The request with the changes and their notes; the same object without new notes, since each change has one."""
    if len(limits.notes) == len(request.notes):
        return request
    return request.but(notes=tuple(limits.notes), **changes)


def _roles(messages: tuple[Message, ...], model: Model, limits: Limits) -> None:
    """Check for tool messages that the model does not support, and for a conversation without a user message."""
    asks = False
    for index, message in enumerate(messages):
        asks = asks or message.role in {"user", "tool"}
        if (message.role == "tool" or message.tool_calls) and ("tool" not in model.roles or not model.tools):
            what = "the result of a tool" if message.role == "tool" else "calls of tools"
            limits.over(
                UnsupportedContent,
                f"messages[{index}] has {what}, but {model.name} does not support tools. "
                f"Use a model that does, such as glm-4.6v, or write {what} as text.",
            )
    if not (asks or limits.hold):
        # With the platform's limits, `as_taken` checks the whole history.
        limits.over(
            InvalidRequestError,
            "There is no user message: the platform requires one besides system and assistant messages.",
        )


def _without_system(messages: tuple[Message, ...], model: Model, limits: Limits) -> tuple[Message, ...]:
    """Put the system text in front of the first user text."""
    system_text = "\n\n".join(message.text for message in messages if message.role == "system" and message.text)
    rest = [message for message in messages if message.role != "system"]
    if not system_text:
        return tuple(rest)
    first = next((index for index, message in enumerate(rest) if message.role == "user"), None)
    if first is None:
        return messages
    content = list(rest[first].content)
    for at, part in enumerate(content):
        if isinstance(part, Text):
            content[at] = Text(f"{system_text}\n\n{part.text}")
            break
    else:
        content.append(Text(system_text))
    rest[first] = replace(rest[first], content=tuple(content))
    limits.add_note(
        f"The documents on {model.name} mention no system messages: the system text was put before the first user text."
    )
    return tuple(rest)
