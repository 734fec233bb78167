"""A request and its model's row -> the request as documented, or a refusal before anything is sent.

On the platform a call is refused when every document forbids it. Between two readings it is sent and a note names the
doubt. Another server may take what the platform does not: there it is sent, and a note names the limit. Requests are
values: the caller's are never changed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from glmv.errors import InvalidRequestError, UnsupportedContent
from glmv.media.kept import PICTURE_CACHE_BYTES
from glmv.media.urls import host_of, is_private
from glmv.options import hold_ranges
from glmv.request.check_doubts import tell_doubts
from glmv.request.check_media import check_served, checked_media, placed_media
from glmv.request.check_options import checked_options
from glmv.request.check_unseen import tell_unseen
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
    """Hold a request against its model's row.

    Args:
        request: what was asked.
        model: the row, or None for a model that is not in the catalogue: the request passes as it is.
        dialect: of the server, whose fields are written.
        base_url: of the server; one of a private network can fetch from it.
        keep: see `Settings.picture_cache_bytes`.

    Returns:
        The request with pictures fitted, system text and videos where the model wants them, options in their
        documented range, `cut` holding the stop words that are left to us, and `notes` telling what was done.

    Raises:
        LimitExceeded: a count, size, side or duration is over every documented limit.
        UnsupportedContent: a file that was cut short; a role, part or tool that the model has no place for, or a model
            that does not chat.
        InvalidRequestError: an option is out of its documented range, or a history is not what the platform takes.
    """
    if dialect.limits == "refuse":
        hold_ranges(request.options)
    limits = Limits(request.notes, hold=dialect.limits == "refuse", keep=keep)
    media = placed_media(request.messages)
    check_served(media, dialect, limits.tell)
    # The platform, and what stands in for it on this machine, are in another network than the user's.
    tell_unseen(request.messages, limits.tell, lambda: limits.hold or not is_private(host_of(base_url)))
    if model is None:
        messages = as_taken(request.messages, limits.tell) if limits.hold else request.messages
        return _noted(request, limits, messages=messages)
    if not model.chats:
        limits.over(
            UnsupportedContent,
            f"{model.name} takes no chat completions: it reads pages at POST {model.endpoint}, with "
            f'{{"model": "{model.name}", "file": <URL or base64>}}, which this client does not cover (zai-sdk does: '
            "client.layout_parsing.create). To ask about a picture in chat use glm-4.6v.",
        )
        return _noted(request, limits)
    _roles(request.messages, model, limits)
    messages = checked_media(request.messages, media, model, limits)
    if limits.hold:  # after the media, whose errors name messages by the caller's indexes
        messages = as_taken(messages, limits.tell)
    if "system" not in model.roles:
        messages = _without_system(messages, model, limits)
    options, cut = checked_options(dialect.translated(request.options), model, limits, dialect)
    tell_doubts(request, [part for _, part in media], model, limits.tell)
    notes = tuple(dict.fromkeys(limits.notes))
    if messages is request.messages and options is request.options and len(notes) == len(request.notes):
        return request
    return request.but(messages=messages, options=options, cut=(*request.cut, *cut), notes=notes)


def _noted(request: ChatRequest, limits: Limits, **changes: Any) -> ChatRequest:
    """The request with changes and their notes; itself where there is no note on one."""
    if len(limits.notes) == len(request.notes):
        return request
    return request.but(notes=tuple(limits.notes), **changes)


def _roles(messages: tuple[Message, ...], model: Model, limits: Limits) -> None:
    """Turns that the model has no place for, and a conversation in which nobody asks."""
    asks = False
    for index, message in enumerate(messages):
        asks = asks or message.role in {"user", "tool"}
        if (message.role == "tool" or message.tool_calls) and ("tool" not in model.roles or not model.tools):
            what = "the result of a tool" if message.role == "tool" else "calls of tools"
            limits.over(
                UnsupportedContent,
                f"messages[{index}] holds {what}, and {model.name} knows no tools. "
                "Use a model that does, such as glm-4.6v, or put it into words.",
            )
    if not (asks or limits.hold):
        # Where the limits hold `as_taken` looks at the whole history.
        limits.over(
            InvalidRequestError, "There is no user message: the platform wants one beside system and assistant."
        )


def _without_system(messages: tuple[Message, ...], model: Model, limits: Limits) -> tuple[Message, ...]:
    """The system text goes in front of the first user text."""
    said = "\n\n".join(message.text for message in messages if message.role == "system" and message.text)
    rest = [message for message in messages if message.role != "system"]
    if not said:
        return tuple(rest)
    first = next((index for index, message in enumerate(rest) if message.role == "user"), None)
    if first is None:
        return messages
    content = list(rest[first].content)
    for at, part in enumerate(content):
        if isinstance(part, Text):
            content[at] = Text(f"{said}\n\n{part.text}")
            break
    else:
        content.append(Text(said))
    rest[first] = replace(rest[first], content=tuple(content))
    limits.tell(f"{model.name} is documented without system messages: that text went in front of the first user's.")
    return tuple(rest)
