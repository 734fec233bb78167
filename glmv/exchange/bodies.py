"""Bodies of responses: decompressed within a bound, parsed, or turned into the error that they stand for."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from glmv.credentials import Secrets
from glmv.errors import AuthenticationError, GLMVError, MalformedResponse
from glmv.exchange.retry import Tries, retry_after
from glmv.exchange.steps import Opened
from glmv.wire.codes import Retry, envelope, error_from, row
from glmv.wire.decode import excerpt, parse
from glmv.wire.shapes import unwrapped

# A streamed token takes up to 1 KB with its chunk around it; 128K tokens are the longest documented answer.
MAX_STREAM_BYTES = 2 * 128 * 1024 * 1024
# Decompressed bytes at a time.
PIECE = 64 * 1024


def parsed(body: bytes, secrets: Secrets, what: str = "The answer") -> Any:
    """JSON whose bytes were masked already -> its value, masked again where escapes could hide a credential.

    Raises:
        MalformedResponse: it is not JSON.
    """
    payload = parse(body, what)
    return secrets.mask_values(payload) if b"\\u" in body else payload


def payload_of(opened: Opened, body: bytes, secrets: Secrets, tries: Tries) -> Any:
    kind = opened.headers.get("content-type", "")
    if not body or body.isspace():
        raise MalformedResponse("The answer has no body.", status_code=opened.status)
    if "html" in kind and body.lstrip()[:1] != b"{":
        raise MalformedResponse(
            f"The answer is a web page ({kind}), not JSON: is base_url right, and is there a proxy that wants a login? "
            f"{excerpt(body)}",
            status_code=opened.status,
        )
    payload = parsed(body, secrets)
    found = envelope(payload)
    if found and ("error" in payload or unwrapped(payload) is None):
        raise error_from(opened.status, found, retry_after=retry_after(opened.headers, tries.policy.wall()))
    if not isinstance(payload, dict):
        raise MalformedResponse(f"The answer is not a JSON object: {excerpt(body)}", status_code=opened.status)
    return payload


def refused(opened: Opened, body: bytes, secrets: Secrets, tries: Tries) -> GLMVError:
    """An answer with an error status -> the error."""
    wait = retry_after(opened.headers, tries.policy.wall())
    try:
        found = envelope(parsed(body, secrets)) if body.strip() else None
    except MalformedResponse:
        found = None
    if found is not None:
        error = error_from(opened.status, found, retry_after=wait)
    else:
        known = row(opened.status, None)
        said = f" The body says {excerpt(body)}" if body.strip() else ""
        to = opened.headers.get("location", "")[:100]
        said = f" It points to {to!r}." if to and 300 <= opened.status < 400 else said
        error = known.kind(
            f"The server answered HTTP {opened.status}. {known.advice}{said}",
            status_code=opened.status,
            retryable=known.retry in (Retry.TRANSIENT, Retry.BUSY),
            retry_after=wait,
        )
    if isinstance(error, AuthenticationError):
        error.message += _skew(opened.headers, tries)
    return error.fill(request_id=opened.headers.get("x-request-id") or opened.headers.get("x-log-id"))


def _skew(headers: Mapping[str, str], tries: Tries) -> str:
    """A clock that is off makes signed tokens invalid: say so, do not correct it."""
    off = tries.policy.skew(headers.get("date", ""))
    return f" This machine's clock is off by {off:+.0f} s against the server's: set it right." if off else ""


def unpacker(headers: Mapping[str, str], limit: int) -> Callable[[bytes], Iterable[bytes]]:
    """Bytes as they come -> pieces of the body, small ones, so that a bomb is stopped before it goes off.

    We ask for `identity`; a server that compresses all the same is read with a bound on what comes out.
    """
    size = 0

    def counted(piece: bytes) -> bytes:
        nonlocal size
        size += len(piece)
        if size > limit:
            raise MalformedResponse(f"The body is larger than {limit} bytes; an answer is far smaller. It was dropped.")
        return piece

    encoding = headers.get("content-encoding", "identity").strip().lower()
    match encoding:
        case "" | "identity":
            return lambda data: (counted(data),)
        case "gzip" | "x-gzip" | "deflate":
            inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

            def inflated(data: bytes) -> Iterator[bytes]:
                piece = b""
                while data or len(piece) == PIECE:
                    try:
                        piece = inflate.decompress(data, PIECE)
                    except zlib.error as error:
                        raise MalformedResponse(f"The body cannot be decompressed ({error}).") from None
                    data = inflate.unconsumed_tail
                    yield counted(piece)

            return inflated
        case _:
            raise MalformedResponse(f"The body is compressed by {encoding!r}, which was not asked for.")
