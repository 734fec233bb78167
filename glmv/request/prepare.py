"""A request and a server's dialect -> the call that the flow runs. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from glmv.catalog.row import Model
from glmv.credentials import SecretHeaders, Secrets
from glmv.errors import InvalidRequestError
from glmv.media import Image
from glmv.media.kept import PICTURE_CACHE_BYTES
from glmv.options import ChatRequest
from glmv.request.cause import Cause
from glmv.request.check import check
from glmv.wire.dialect import Dialect
from glmv.wire.encode import Body, encode
from glmv.wire.marks import Thought
from glmv.wire.markup import Tools, tools_of

# A whole answer is far below; a body beyond this is dropped unread (also after decompression).
MAX_BODY_BYTES = 32 * 1024 * 1024
NO_HEADERS = SecretHeaders()
NO_SECRETS = Secrets()
NO_TOOLS: Tools = {}


class Reading(NamedTuple):
    """What has to be known of a request to read its answer.

    Attributes:
        cut: stop words at which the answer is cut here, because the model does not take them.
        notes: what was changed on the way, one line each.
        causes: those of the notes for which a server may refuse the request.
        sizes: (width, height) in pixels of the pictures in the request, None where unknown, to place boxes.
        boxes_of: index of the picture in whose pixels boxes are given; None is the only one.
        thought: whether the text may begin inside a thought, see `glmv.wire.marks.TagFilter`.
        tools: the functions that the request offers, with the JSON Schemas of their parameters.
        may_replace: whether a delta may replace those before it.
        markup: whether calls in GLM's markup that end the text are tool calls: the platform leaves none there.
    """

    cut: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int] | None, ...] = ()
    boxes_of: int | None = None
    thought: Thought = "marked"
    tools: Tools = NO_TOOLS
    may_replace: bool = False
    markup: bool = True


class Call(NamedTuple):
    """One call, whatever its endpoint, as the flow takes it.

    Attributes:
        method, path: of the request; the path is relative to the base URL.
        body: makes the body of one attempt from the request id of that attempt.
        headers: of the call alone.
        secrets: credentials that are masked in what the server sends.
        request_id: the user's own, which is kept over retries; None makes a new one for each attempt, "" none.
        reading: how its answer is read.
        sensitive: "raise" or "return", see `Settings.on_sensitive`.
        limit: bytes that the response may have.
        large: whether making the body is work for a thread.
    """

    method: str
    path: str
    body: Callable[[str], Any]
    headers: SecretHeaders = NO_HEADERS
    secrets: Secrets = NO_SECRETS
    request_id: str | None = None
    reading: Reading = Reading()
    sensitive: str = "raise"
    limit: int = MAX_BODY_BYTES
    large: bool = False


def prepare(
    request: ChatRequest,
    row: Model | None,
    dialect: Dialect,
    secrets: Secrets,
    *,
    on_sensitive: str = "raise",
    stream: bool = False,
    base_url: str = "",
    keep: int = PICTURE_CACHE_BYTES,
) -> Call:
    """A request -> the call, with everything that can be refused before sending refused.

    Args:
        request: what was asked.
        row: the catalogue row of the model, where there is one that says something of this server.
        dialect: how the server speaks.
        secrets: credentials that are sent to it.
        on_sensitive: of the client; the request's own goes first.
        stream: whether the answer is streamed.
        base_url: of the server, for the notes on what it cannot fetch.
        keep: see `Settings.picture_cache_bytes`.

    Raises:
        LimitExceeded, UnsupportedContent, InvalidRequestError: see `check` and `encode`; or there is no such picture.
    """
    asked = request.messages  # boxes are given in pixels of the caller's pictures, not of those fitted for the wire
    own_id = request.options.get("request_id")  # elsewhere than on the platform `check` leaves it out of the options
    request = check(request, row, dialect, base_url, keep=keep)
    lists = row is not None and not row.string_content

    def body(request_id: str) -> Body:
        return encode(request, dialect, stream=stream, lists=lists, request_id=request_id)

    sizes = tuple(
        (part.width, part.height) if part.width and part.height else None
        for message in asked
        for part in message.content
        if isinstance(part, Image)
    )
    boxes_of = request.call.get("boxes_of")
    if boxes_of is not None and boxes_of >= len(sizes):
        raise InvalidRequestError(f"boxes_of={boxes_of}: pictures count from 0 over all turns; here are {len(sizes)}.")
    headers = request.call.get("extra_headers") or NO_HEADERS
    if own_id and not dialect.own_fields:
        headers = _identified(headers, own_id)
    return Call(
        "POST",
        "/chat/completions",
        body,
        headers,
        secrets + Secrets(headers=headers.items()) if headers else secrets,
        own_id if dialect.own_fields else own_id or "",
        Reading(
            request.cut,
            tuple(map(str, request.notes)),
            tuple(str(note) for note in request.notes if isinstance(note, Cause)),
            sizes,
            boxes_of,
            _thought(request.options.get("thinking"), dialect),
            tools_of(request.options.get("tools")),
            bool(request.call.get("may_replace")),
            dialect.name != "platform",
        ),
        request.call.get("on_sensitive") or on_sensitive,
    )


def _identified(headers: SecretHeaders, request_id: str) -> SecretHeaders:
    """Headers with the id of a request, where its body has no field for one."""
    if not (request_id.isascii() and request_id.isprintable()):
        raise InvalidRequestError(
            f"request_id is sent as the header X-Request-Id there, which holds printable ASCII; got {request_id!r}."
        )
    return SecretHeaders({"X-Request-Id": request_id, **dict(headers.items())})


def _thought(thinking: object, dialect: Dialect) -> Thought:
    """Whether text may begin inside a thought: the platform sends thoughts apart, other servers with a parser only."""
    match thinking:
        case _ if dialect.name == "platform":
            return "marked"
        case True | {"type": "enabled"}:
            return "due"
        case False | {"type": "disabled"}:
            return "marked"
        case _:
            return "possible"
