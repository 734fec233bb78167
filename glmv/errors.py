"""Everything that can go wrong, as one tree; whoever caught it can tell whose turn it is.

    GLMVError
    ├── InvalidRequestError      the request is at fault: change it            (also a ValueError)
    │   ├── LimitExceeded        a documented limit of the model, refused before sending
    │   ├── UnsupportedContent   content that this model or wire has no place for
    │   ├── ContextLengthError   the prompt is longer than the model's window
    │   └── NotFoundError        no such model, endpoint, file or task
    ├── AuthenticationError      the key is missing, wrong or expired
    ├── PermissionDeniedError    the key is right but may not do this
    ├── QuotaError               arrears, or a daily or weekly allowance is used up
    ├── ContentFilterError       the platform withdrew or refused the content
    ├── RateLimitError           busy: try again later                          retryable
    ├── ServerError              the platform failed                            retryable
    ├── ConnectionFailed         no connection, or it broke before an answer    retryable
    │   └── RequestTimeout       nothing came within the timeout
    ├── DeadlineExceeded         the caller's own total deadline passed
    ├── GateTimeout              no free slot in this process in time
    └── MalformedResponse        an answer that is not what the platform documents
        ├── StreamTruncated      the stream ended without its end
        └── StreamInterrupted    the connection broke inside the stream

An error never holds the key, a header, or a request body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from glmv._public import public_class

if TYPE_CHECKING:
    from glmv.types import Completion

# Characters of a code or an id that are kept. The platform's have 4 and 32; a server of another kind may send anything.
_LABEL = 200


@public_class
class GLMVError(Exception):
    """Base of all errors that leave a public call.

    Attributes:
        message: what happened, what was expected and what to do, for a person.
        status_code: HTTP status, or None when no answer came.
        code: the platform's business code as a string ("1302"), or None.
        request_id: the id to give to the platform's support, or None.
        retryable: whether the same call may succeed later.
        retry_after: seconds the platform asked to wait, or None.
        attempts: requests that were sent for this call, 0 when refused before sending.
        partial: what had been received of the answer, or None.
    """

    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        attempts: int = 0,
        partial: Completion | None = None,
        content_filter: list[dict[str, Any]] | None = None,
        reset_at: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.code = label(code)
        self.request_id = label(request_id)
        if retryable is not None:
            self.retryable = retryable
        self.retry_after = retry_after
        self.attempts = attempts
        self.partial = partial
        self.content_filter = content_filter
        self.reset_at = reset_at

    def __str__(self) -> str:
        facts = [
            f"HTTP {self.status_code}" if self.status_code is not None else "",
            f"code {self.code}" if self.code else "",
            f"request_id {self.request_id}" if self.request_id else "",
            f"{self.attempts} attempts" if self.attempts > 1 else "",
        ]
        told = ", ".join(fact for fact in facts if fact)
        return f"{self.message} ({told})" if told else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, {k: v for k, v in vars(self).items() if k != "message"})

    def add_cure(self, cure: str) -> Self:
        """Add what to do to the message, as sentences of their own, and keep it as a note, too."""
        end = "" if self.message.endswith((".", "!", "?", "。", "！", "？")) else "."
        self.message = f"{self.message}{end} {cure}"
        self.args = (self.message,)
        self.add_note(f"note: {cure}")
        return self

    def fill(self, **facts: Any) -> Self:
        """Set facts that were not known where the error was made; the known ones stay."""
        for name, value in facts.items():
            if value is not None and not getattr(self, name, None):
                setattr(self, name, label(value) if name in ("code", "request_id") else value)
        return self


def label(value: str | None) -> str | None:
    """A code or an id as a server sent it: bounded, with control characters escaped, so that terminals show it."""
    if value is None:
        return None
    text = value[: _LABEL + 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= _LABEL else f"{text[:_LABEL]}..."


def _rebuild(kind: type[GLMVError], message: str, facts: dict[str, Any]) -> GLMVError:
    error = kind(message)
    error.__dict__.update(facts)
    return error


@public_class
class InvalidRequestError(GLMVError, ValueError):
    """The request is at fault and would fail again.

    `kind` is "settings" where no request is at fault but a variable of this machine, which names a proxy or a file of
    certificates that cannot be used; else None.
    """

    kind: str | None = None


@public_class
class LimitExceeded(InvalidRequestError):
    """A documented limit of the model is broken; nothing was sent."""


@public_class
class UnsupportedContent(InvalidRequestError):
    """Content that the model, the role or the wire has no place for; nothing was sent."""


@public_class
class ContextLengthError(InvalidRequestError):
    """The prompt does not fit into the model's context window, or leaves no space in it for an answer."""


@public_class
class NotFoundError(InvalidRequestError):
    """There is no such model, endpoint, file or task."""


@public_class
class AuthenticationError(GLMVError):
    """The key is missing, malformed, wrong or expired."""


@public_class
class PermissionDeniedError(GLMVError):
    """The key may not use this model or endpoint."""


@public_class
class QuotaError(GLMVError):
    """The account is in arrears, or an allowance is used up; `reset_at` says until when if it is known."""


@public_class
class ContentFilterError(GLMVError):
    """The platform refused or withdrew content.

    `partial` holds what had been streamed, so that an app can clear its screen; `content_filter` says
    which role and level, as the platform sent it.
    """


@public_class
class RateLimitError(GLMVError):
    """The account or the model is busy."""

    retryable = True


@public_class
class ServerError(GLMVError):
    """The platform failed."""

    retryable = True


@public_class
class ConnectionFailed(GLMVError):
    """There was no connection, or it broke before an answer.

    `kind` says how: "connect", "connect_timeout", "dns", "no_such_host", "tls", "reset", "read_timeout", ...; "proxy",
    "proxy_refused" and "proxy_auth" are a forward proxy's doing.
    """

    retryable = True
    kind: str | None = None


@public_class
class RequestTimeout(ConnectionFailed):
    """The server did not connect, take the request or answer within `timeout`."""


@public_class
class DeadlineExceeded(GLMVError):
    """The whole call took longer than `deadline`; `partial` holds what had come."""


@public_class
class GateTimeout(GLMVError):
    """No slot of this process' concurrency gate came free in time; the message says who holds them."""

    kind: str | None = None


@public_class
class MalformedResponse(GLMVError):
    """The answer is not what the platform documents."""


@public_class
class StreamTruncated(MalformedResponse):
    """The stream ended without finish reason and without `[DONE]`; `partial` holds what had come."""


@public_class
class StreamInterrupted(MalformedResponse):
    """The connection broke inside the stream, or the server gave the answer up; `partial` holds what had come."""
