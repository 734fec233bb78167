"""Converts a request to the call that the flow makes, in the server's dialect. Nothing is sent here."""

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

# The most bytes of a response that is not a stream, after decompression; an answer is much smaller.
MAX_BODY_BYTES = 32 * 1024 * 1024
NO_HEADERS = SecretHeaders()
NO_SECRETS = Secrets()
NO_TOOLS: Tools = {}


class Reading(NamedTuple):
    """What the client must know about a request to read its answer.

    Attributes:
        cut: stop words that are not sent; the client cuts the answer at them.
        notes: what was changed in the request, one line for each change.
        causes: the notes that are possible reasons for a refusal.
        sizes: (width, height) of each picture in the request, in pixels, to locate boxes; None if unknown.
        boxes_of: index of the picture to whose pixels boxes refer; None means the only picture.
        thought: whether the text may begin with reasoning, see `glmv.wire.marks.TagFilter`.
        tools: the functions in the request, with the JSON Schemas of their parameters.
        may_replace: whether a delta may replace those before it.
        markup: whether GLM's markup at the end of the text is read as tool calls; the platform never sends it.
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
    """One call of any endpoint, for the flow.

    Attributes:
        method, path: the HTTP method and the path; the path is relative to the base URL.
        body: takes the request id of an attempt and returns the request body for this attempt.
        headers: the headers of this call.
        secrets: credentials that are masked in everything that the server sends.
        request_id: the user's id for all attempts; None makes a new one for each attempt, "" sends none.
        reading: how its answer is read.
        sensitive: "raise" or "return", see `Settings.on_sensitive`.
        limit: the most bytes of a response that is not a stream.
        large: whether the body is made in a worker thread.
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
    """A request -> the call. Errors of `encode` are raised only when the body is made.

    Args:
        request: the request.
        row: the catalogue row of the model; None if the model is unknown or the row does not apply to this server.
        dialect: the server's dialect.
        secrets: credentials that are sent to the server.
        on_sensitive: the client's value; a value in the request overrides it.
        stream: whether the answer is streamed.
        base_url: the server's base URL, for notes on URLs that it cannot fetch.
        keep: see `Settings.picture_cache_bytes`.

    Raises:
        LimitExceeded, UnsupportedContent, InvalidRequestError: see `check`; or `boxes_of` is out of range, or the
            server cannot get this `request_id` in a header.
    """
    original = request.messages  # boxes are given in pixels of the caller's pictures, not of the fitted ones
    own_id = request.options.get("request_id")  # for other servers `check` removes it from the options
    request = check(request, row, dialect, base_url, keep=keep)
    lists = row is not None and not row.string_content

    def body(request_id: str) -> Body:
        return encode(request, dialect, stream=stream, lists=lists, request_id=request_id)

    sizes = tuple(
        (part.width, part.height) if part.width and part.height else None
        for message in original
        for part in message.content
        if isinstance(part, Image)
    )
    boxes_of = request.call.get("boxes_of")
    if boxes_of is not None and boxes_of >= len(sizes):
        raise InvalidRequestError(
            f"boxes_of={boxes_of} is out of range: there are {len(sizes)} pictures in all turns, numbered from 0."
        )
    headers = request.call.get("extra_headers") or NO_HEADERS
    if own_id and not dialect.own_fields:
        headers = _with_request_id(headers, own_id)
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
            _leading_reasoning(request.options.get("thinking"), dialect),
            tools_of(request.options.get("tools")),
            bool(request.call.get("may_replace")),
            dialect.name != "platform",
        ),
        request.call.get("on_sensitive") or on_sensitive,
    )


def _with_request_id(headers: SecretHeaders, request_id: str) -> SecretHeaders:
    """The headers with the request id, for servers that have no field for it in the body."""
    if not (request_id.isascii() and request_id.isprintable()):
        raise InvalidRequestError(
            "request_id must be printable ASCII, because this server takes it from the header X-Request-Id; "
            f"got {request_id!r}."
        )
    return SecretHeaders({"X-Request-Id": request_id, **dict(headers.items())})


def _leading_reasoning(thinking: object, dialect: Dialect) -> Thought:
    """Whether the text of an answer may begin with reasoning: only the platform always separates the two."""
    match thinking:
        case _ if dialect.name == "platform":
            return "marked"
        case True | {"type": "enabled"}:
            return "due"
        case False | {"type": "disabled"}:
            return "marked"
        case _:
            return "possible"
