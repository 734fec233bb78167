"""Bodies of responses: decompressed with a limit, parsed, or converted to the error that they report."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic_core import from_json

from glmv.credentials import Secrets
from glmv.errors import AuthenticationError, GLMVError, MalformedResponse
from glmv.exchange.retry import Tries, retry_after
from glmv.exchange.steps import Failure, Opened
from glmv.wire.codes import Retry
from glmv.wire.decode import excerpt, parse
from glmv.wire.envelopes import Envelope, envelope, error_from, meaning
from glmv.wire.shapes import unwrapped

# A chunk of one token has up to 1 KB; the longest documented answer has 128K tokens. Twice that is the limit.
MAX_STREAM_BYTES = 2 * 128 * 1024 * 1024
# Decompressed bytes at a time.
PIECE = 64 * 1024
# Limits for the body of a response with an error status, in bytes and seconds. The status is known already: a slow body
# would only delay the error.
MAX_ERROR_BYTES = 1024 * 1024
ERROR_PATIENCE = 10.0


def is_cut(body: bytes) -> bool:
    """Whether a body is a JSON object or list that ends too early."""
    text = body.decode("utf-8-sig", "replace").lstrip()
    if text[:1] not in ("{", "["):
        return False
    try:
        from_json(text)
    except ValueError as error:
        return str(error).startswith("EOF while parsing")
    return False


def is_json(body: bytes) -> bool:
    """Whether a body starts like a JSON object or list, as responses of the platform and of model servers do."""
    return body.decode("utf-8-sig", "replace").lstrip()[:1] in ("{", "[")


def payload_of(opened: Opened, body: bytes, secrets: Secrets, tries: Tries) -> Any:
    """The body of a successful answer -> its JSON object.

    Raises:
        Failure: the JSON ends too early, although the connection ended properly.
        GLMVError: the body reports an error, or is not a JSON object.
    """
    kind = opened.headers.get("content-type", "")
    if not body or body.isspace():
        if opened.headers.get("content-encoding", "identity") != "identity":
            raise Failure("reset", "The response ended before the first byte of its compressed body.")
        raise MalformedResponse("The response has no body.", status_code=opened.status)
    if "html" in kind and body.lstrip()[:1] != b"{":
        raise MalformedResponse(
            f"The response is a web page ({kind}), not JSON: is base_url right? Does a proxy want a login? "
            f"{excerpt(body)}",
            status_code=opened.status,
        )
    try:
        payload = parse(body, secrets=secrets)
    except MalformedResponse as problem:
        if not is_cut(body):
            raise
        raise Failure("reset", f"The response ended in the middle of its JSON, after {len(body)} bytes.") from problem
    error = envelope(payload)
    if error and ("error" in payload or payload.get("choices") or unwrapped(payload) is None):
        raise error_from(opened.status, error, retry_after=retry_after(opened.headers, tries.policy.wall()))
    if not isinstance(payload, dict):
        raise MalformedResponse(f"The response is not a JSON object: {excerpt(body)}", status_code=opened.status)
    return payload


def refused(opened: Opened, body: bytes, secrets: Secrets, tries: Tries, problem: Exception | None = None) -> GLMVError:
    """The error for a response with an error status. The status decides, even if the body could not be read.

    Args:
        opened: status and headers.
        body: the part of the body that was read, masked.
        secrets: masked again in the parsed body, because JSON may escape their characters.
        tries: its policy has the clock that converts a Retry-After date to seconds.
        problem: why the body could not be read to its end, or None.
    """
    wait = retry_after(opened.headers, tries.policy.wall())
    reported = _reported_error(body, secrets)
    if reported is not None:
        error = error_from(opened.status, reported, retry_after=wait)
    else:
        text = body[: 4 * PIECE].decode("utf-8", "replace")
        row, code = meaning(opened.status, Envelope(None, text, None, None))
        detail = f" The body says {excerpt(body)}" if body.strip() else ""
        if problem is not None:
            detail += f" The body could not be read: {problem}"
        location = opened.headers.get("location", "")[:100]
        detail = f" It redirects to {location!r}." if location and 300 <= opened.status < 400 else detail
        error = row.kind(
            f"The server answered HTTP {opened.status}. {row.advice}{detail}",
            status_code=opened.status,
            code=code,
            retryable=row.retry in (Retry.TRANSIENT, Retry.BUSY),
            retry_after=wait,
        )
    if isinstance(error, AuthenticationError):
        error.message += _skew(opened.headers, tries)
    return error.fill(request_id=opened.headers.get("x-request-id") or opened.headers.get("x-log-id"))


def _reported_error(body: bytes, secrets: Secrets) -> Envelope | None:
    """The error that the body of an error response reports, even if the body is cut off; None if it reports none."""
    if not body.strip():
        return None
    try:
        payload = parse(body, secrets=secrets)
    except MalformedResponse:
        if not is_cut(body):
            return None
        # Incomplete strings are dropped, so that no code is cut short.
        payload = secrets.mask_values(from_json(body.decode("utf-8-sig", "replace"), allow_partial=True))
    return envelope(payload, refused=True)


def _skew(headers: Mapping[str, str], tries: Tries) -> str:
    """A sentence about a wrong local clock, which makes signed tokens invalid; "" if it is right or unknown."""
    off = tries.policy.skew(headers.get("date", ""))
    if not off:
        return ""
    way = "ahead of" if off > 0 else "behind"
    return f" The local clock is {abs(off):.0f} s {way} the server's. Signed tokens are invalid: set the clock (NTP)."


class Unpacker:
    """Yields the body of one response in non-empty, decompressed pieces, and limits the size of the body.

    This base class is for bodies that are not compressed.

    Args:
        limit: the maximum size of the body in bytes.

    Attributes:
        limit: as above; it may be increased while the body is read.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._size = 0

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Takes one or more received bytes, and returns the pieces of the decompressed body that these bytes contain.

        Raises:
            MalformedResponse: the body is larger than the limit, or the compressed data is damaged.
        """
        self._size += len(data)
        if self._size > self.limit:
            raise MalformedResponse(
                f"The response body is larger than the limit of {self.limit} bytes. The response was dropped."
            )
        return (data,)


class Inflater(Unpacker):
    """Decompresses a body in small pieces, so that a decompression bomb is stopped at the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Unpacker.feed`."""
        piece = b""
        while data or len(piece) == PIECE:
            try:
                piece = self._inflate.decompress(data, PIECE)
            except zlib.error as error:
                raise MalformedResponse(f"The response body cannot be decompressed ({error}).") from None
            data = self._inflate.unconsumed_tail
            if piece:
                yield from super().feed(piece)


def unpacker(headers: Mapping[str, str], limit: int) -> Unpacker:
    """The `Unpacker` for a response with these headers.

    Requests ask for `identity`. If a server compresses anyway, the limit is on the decompressed size.

    Raises:
        MalformedResponse: the encoding is not supported.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    match encoding:
        case "" | "identity":
            return Unpacker(limit)
        case "gzip" | "x-gzip" | "deflate":
            return Inflater(limit)
        case _:
            raise MalformedResponse(f"The response body has the encoding {encoding!r}; expected gzip, deflate or none.")
