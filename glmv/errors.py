"""All errors, as one tree of classes. The class says who can act: the caller, the account's owner, or nobody (retry).

    GLMVError
    ├── InvalidRequestError      the request is wrong: change it               (also a ValueError)
    │   ├── LimitExceeded        it exceeds a documented limit of the model; not sent
    │   ├── UnsupportedContent   content that the model or server does not accept
    │   ├── ContextLengthError   the prompt is longer than the model's window
    │   └── NotFoundError        no such model, endpoint, file or task
    ├── AuthenticationError      the key is missing, wrong or expired
    ├── PermissionDeniedError    the key is right but lacks the permission
    ├── QuotaError               arrears, or a daily or weekly allowance is used up
    ├── ContentFilterError       the platform refused or withdrew content
    ├── RateLimitError           the server is busy                             retryable
    ├── ServerError              the platform failed                            retryable
    ├── ConnectionFailed         no connection, or it broke before an answer    retryable
    │   └── RequestTimeout       a timeout passed
    ├── DeadlineExceeded         the deadline of the whole call passed
    ├── GateTimeout              no slot for the call came free in time
    └── MalformedResponse        the response is not what the platform documents
        ├── StreamTruncated      the stream ended too early
        └── StreamInterrupted    the connection broke during the stream

An error never contains the key, a header or a request body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from glmv._public import public_class

if TYPE_CHECKING:
    from glmv.types import Completion

# The most characters of a code or an id. The platform's have 4 and 32; another server may send any length.
_LABEL = 200


@public_class
class GLMVError(Exception):
    """Base of all errors that public functions raise.

    Attributes:
        message: what happened, what was expected and what to do, as text.
        status_code: HTTP status, or None without a response.
        code: the platform's business code as a string ("1302"), or None.
        request_id: the id that the platform's support asks for, or None.
        retryable: whether the same call may succeed later.
        retry_after: seconds to wait, as the server asked, or None.
        attempts: number of requests that were sent for this call; 0 when the client refused it.
        partial: the part of the answer that was received, or None.
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
        details = ", ".join(fact for fact in facts if fact)
        return f"{self.message} ({details})" if details else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, {k: v for k, v in vars(self).items() if k != "message"})

    def add_advice(self, advice: str) -> Self:
        """Append advice to the message, as separate sentences, and add it as a note of the exception, too."""
        end = "" if self.message.endswith((".", "!", "?", "。", "！", "？")) else "."
        self.message = f"{self.message}{end} {advice}"
        self.args = (self.message,)
        self.add_note(f"note: {advice}")
        return self

    def fill(self, **facts: Any) -> Self:
        """Set the given attributes, except those that already have a value."""
        for name, value in facts.items():
            if value is not None and not getattr(self, name, None):
                setattr(self, name, label(value) if name in ("code", "request_id") else value)
        return self


def label(value: str | None) -> str | None:
    """A code or an id from a server, made safe to print: shortened, and with unprintable characters escaped."""
    if value is None:
        return None
    if len(value) <= _LABEL and value.isprintable():
        return value
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
    """The request is wrong and would fail again.

    `kind` is "settings" when the request is right, but an environment variable names a proxy or certificate file that
    cannot be used. In all other cases it is None.
    """

    kind: str | None = None


@public_class
class LimitExceeded(InvalidRequestError):
    """The request exceeds a documented limit of the model; nothing was sent."""


@public_class
class UnsupportedContent(InvalidRequestError):
    """The model, the role or the wire format does not accept this content; nothing was sent."""


@public_class
class ContextLengthError(InvalidRequestError):
    """The prompt does not fit into the model's context window, or leaves no space for an answer."""


@public_class
class NotFoundError(InvalidRequestError):
    """The model, endpoint, file or task does not exist."""


@public_class
class AuthenticationError(GLMVError):
    """The key is missing, malformed, wrong or expired."""


@public_class
class PermissionDeniedError(GLMVError):
    """The key does not have permission for this model or endpoint."""


@public_class
class QuotaError(GLMVError):
    """The account is in arrears, or an allowance is used up; `reset_at` is when the allowance is renewed, if known."""


@public_class
class ContentFilterError(GLMVError):
    """The platform refused or withdrew content.

    `partial` is what was streamed before, so that an application can remove it; `content_filter` has the role and
    level, as the platform sent them.
    """


@public_class
class RateLimitError(GLMVError):
    """The account or the model has too many requests at the moment."""

    retryable = True


@public_class
class ServerError(GLMVError):
    """The platform failed."""

    retryable = True


@public_class
class ConnectionFailed(GLMVError):
    """No connection could be made, or it broke before the answer.

    Attributes:
        kind: the kind of failure: "connect", "connect_timeout", "dns", "no_such_host", "tls", "reset", "read_timeout"
            and others; "proxy", "proxy_refused" and "proxy_auth" are failures of a forward proxy.
    """

    retryable = True
    kind: str | None = None


@public_class
class RequestTimeout(ConnectionFailed):
    """Within `timeout` the server did not connect, did not accept the request, or did not answer."""


@public_class
class DeadlineExceeded(GLMVError):
    """The whole call took longer than `deadline`; `partial` is what was received."""


@public_class
class GateTimeout(GLMVError):
    """No slot of the process' concurrency gate came free in time; the message lists the calls that hold the slots."""

    kind: str | None = None


@public_class
class MalformedResponse(GLMVError):
    """The response is not what the platform documents."""


@public_class
class StreamTruncated(MalformedResponse):
    """The stream ended without finish reason and without `[DONE]`; `partial` is what was received."""


@public_class
class StreamInterrupted(MalformedResponse):
    """The connection broke during the stream, or the server stopped the answer; `partial` is what was received."""
