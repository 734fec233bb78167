"""Bodies of responses: decompressed within a bound, parsed, or turned into the error that they stand for."""

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

# A streamed token takes up to 1 KB with its chunk around it; 128K tokens are the longest documented answer.
MAX_STREAM_BYTES = 2 * 128 * 1024 * 1024
# Decompressed bytes at a time.
PIECE = 64 * 1024
# What is read of a body that comes with an error status: so many bytes, for so many seconds. The status is known, and
# a body that stalls only delays what it says.
MAX_ERROR_BYTES = 1024 * 1024
ERROR_PATIENCE = 10.0


def is_cut(body: bytes) -> bool:
    """Whether this is the beginning of a JSON object or list that ends too early."""
    text = body.decode("utf-8-sig", "replace").lstrip()
    if text[:1] not in ("{", "["):
        return False
    try:
        from_json(text)
    except ValueError as error:
        return str(error).startswith("EOF while parsing")
    return False


def is_json(body: bytes) -> bool:
    """Whether a body is a JSON object or list, or the beginning of one, as the platform and model servers answer."""
    return body.decode("utf-8-sig", "replace").lstrip()[:1] in ("{", "[")


def payload_of(opened: Opened, body: bytes, secrets: Secrets, tries: Tries) -> Any:
    """The body of a successful answer -> its JSON object.

    Raises:
        Failure: when it ends in the middle, although the transport ended in order.
        GLMVError: when it is an error, or no JSON object.
    """
    kind = opened.headers.get("content-type", "")
    if not body or body.isspace():
        if opened.headers.get("content-encoding", "identity") != "identity":
            raise Failure("reset", "The answer breaks off before its first compressed byte.")
        raise MalformedResponse("The answer has no body.", status_code=opened.status)
    if "html" in kind and body.lstrip()[:1] != b"{":
        raise MalformedResponse(
            f"The answer is a web page ({kind}), not JSON: is base_url right, and is there a proxy that wants a login? "
            f"{excerpt(body)}",
            status_code=opened.status,
        )
    try:
        payload = parse(body, secrets=secrets)
    except MalformedResponse as problem:
        if not is_cut(body):
            raise
        raise Failure("reset", f"The answer breaks off in the middle, after {len(body)} bytes.") from problem
    found = envelope(payload)
    if found and ("error" in payload or unwrapped(payload) is None):
        raise error_from(opened.status, found, retry_after=retry_after(opened.headers, tries.policy.wall()))
    if not isinstance(payload, dict):
        raise MalformedResponse(f"The answer is not a JSON object: {excerpt(body)}", status_code=opened.status)
    return payload


def refused(opened: Opened, body: bytes, secrets: Secrets, tries: Tries, problem: Exception | None = None) -> GLMVError:
    """An answer with an error status -> the error. The status counts, whatever became of the body.

    Args:
        opened: status and headers.
        body: what could be read of the body, masked.
        secrets: to mask what escapes in JSON hide.
        tries: for clocks.
        problem: why the body could not be read to its end, or None.
    """
    wait = retry_after(opened.headers, tries.policy.wall())
    found = _found(body, secrets)
    if found is not None:
        error = error_from(opened.status, found, retry_after=wait)
    else:
        text = body[: 4 * PIECE].decode("utf-8", "replace")
        known, code = meaning(opened.status, Envelope(None, text, None, None))
        said = f" The body says {excerpt(body)}" if body.strip() else ""
        if problem is not None:
            said += f" The body could not be read: {problem}"
        to = opened.headers.get("location", "")[:100]
        said = f" It points to {to!r}." if to and 300 <= opened.status < 400 else said
        error = known.kind(
            f"The server answered HTTP {opened.status}. {known.advice}{said}",
            status_code=opened.status,
            code=code,
            retryable=known.retry in (Retry.TRANSIENT, Retry.BUSY),
            retry_after=wait,
        )
    if isinstance(error, AuthenticationError):
        error.message += _skew(opened.headers, tries)
    return error.fill(request_id=opened.headers.get("x-request-id") or opened.headers.get("x-log-id"))


def _found(body: bytes, secrets: Secrets) -> Envelope | None:
    """The error in the body of a refused request, even in one that ends too early; None where there is none."""
    if not body.strip():
        return None
    try:
        payload = parse(body, secrets=secrets)
    except MalformedResponse:
        if not is_cut(body):
            return None
        # Strings that are not whole are left out, so that no code is cut short.
        payload = secrets.mask_values(from_json(body.decode("utf-8-sig", "replace"), allow_partial=True))
    return envelope(payload, refused=True)


def _skew(headers: Mapping[str, str], tries: Tries) -> str:
    """A clock that is off makes signed tokens invalid: say so, do not correct it."""
    off = tries.policy.skew(headers.get("date", ""))
    return f" This machine's clock is off by {off:+.0f} s against the server's: set it right." if off else ""


class Unpacker:
    """Bytes of one response as they come -> pieces of its body, none of them empty, within a bound.

    Args:
        limit: bytes that the body may have.

    Attributes:
        limit: the same; it may be raised while the body is read.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._size = 0

    def feed(self, data: bytes) -> Iterable[bytes]:
        """The pieces of the body in these bytes, of which there is at least one.

        Raises:
            MalformedResponse: the body is larger than the limit, or what was compressed is damaged.
        """
        self._size += len(data)
        if self._size > self.limit:
            raise MalformedResponse(
                f"The body is larger than {self.limit} bytes; an answer is far smaller. It was dropped."
            )
        return (data,)


class Inflater(Unpacker):
    """The same for a compressed body: in small pieces, so that a bomb is stopped before it goes off."""

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
                raise MalformedResponse(f"The body cannot be decompressed ({error}).") from None
            data = self._inflate.unconsumed_tail
            if piece:
                yield from super().feed(piece)


def unpacker(headers: Mapping[str, str], limit: int) -> Unpacker:
    """What reads the body of a response with these headers.

    We ask for `identity`; a server that compresses all the same is read with a bound on what comes out.

    Raises:
        MalformedResponse: the body is compressed in a way that is not read here.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    match encoding:
        case "" | "identity":
            return Unpacker(limit)
        case "gzip" | "x-gzip" | "deflate":
            return Inflater(limit)
        case _:
            raise MalformedResponse(f"The body is compressed by {encoding!r}, which was not asked for.")
