"""The journal: the last requests to the emulator, without keys and pictures."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

MOST_EXCHANGES = 1000
LONGEST_TEXT = 4_000
LONGEST_BODY = 64_000
SECRET_HEADERS = {"authorization", "cookie", "x-api-key", "api-key", "proxy-authorization", "set-cookie"}
# Headers with the client's credentials.
CREDENTIALS = ("authorization", "x-api-key", "api-key")
# A shorter key, such as "test", may be an ordinary word in a text, so it is not removed there.
SHORTEST_SECRET = 12

# A signed token: the base64 of a JSON object begins with "eyJ".
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# Names of fields and parameters whose value is a credential.
_NAMES = r"api[_-]?key|access[_-]?token|token|secret|password|authorization|credential"
_NAMED = re.compile(rf"(?:.*[_-])?(?:{_NAMES})", re.IGNORECASE)
_BLOB = re.compile(r"[A-Za-z0-9+/_-]{64,}={0,2}")


Source = Literal["script", "function", "rules", "upstream"]


@dataclass(slots=True, eq=False)
class Exchange:
    """One request and its response. Times are in seconds of a monotonic clock.

    Attributes:
        client: an id, equal for all requests with the same key. The id does not contain the key.
        digest: a hash of the body; "" for a multipart form, because its boundary is different in each request.
        status: the HTTP status; 0 if no status was sent.
        code: the error code of a refusal.
        media: the measurements of pictures and videos; None for each that was not measured.
        connection: the number of the connection, from 1.
        nth: the number of the request on its connection, from 1.
        last_sent: the time at which the last bytes were sent.
        ended_by: "server" (normal), "client" (the client left early) or "fault".
        answered_by: the source of a chat's answer: "script", "function", "rules" or "upstream". None if the source is
            not known yet, or if the request is not a chat.
        cleanup: functions that are called before the last byte is sent, or when the request ends without it.
        unanswered: functions that are called as soon as it is known that the client does not get a whole answer.
    """

    method: str
    path: str
    headers: dict[str, str]
    started: float
    body: Any = None
    client: str = ""
    digest: str = ""
    size: int = 0
    status: int = 0
    code: str | None = None
    model: str | None = None
    request_id: str | None = None
    stream: bool = False
    media: tuple[Any, ...] = ()
    chunks: int = 0
    fault: str | None = None
    connection: int = 0
    nth: int = 1
    last_sent: float | None = None
    retry_after: float | None = None
    ended: float | None = None
    ended_by: str | None = None
    answered_by: Source | None = None
    cleanup: list[Callable[[], None]] = field(default_factory=list, repr=False)
    unanswered: list[Callable[[], None]] = field(default_factory=list, repr=False)

    def fail(self) -> None:
        """Record that the client does not get a whole answer."""
        while self.unanswered:
            self.unanswered.pop()()

    def finish(self) -> None:
        if self.ended is None:
            self.ended = time.monotonic()
        if self.ended_by is None:
            self.ended_by = "server"
        # A client that leaves has had its answer only if it got a chunk and no fault changed the answer.
        if self.ended_by == "client" and (not self.chunks or self.fault not in (None, "open-after-done")):
            self.fail()
        self.unanswered.clear()
        self.release()

    def release(self) -> None:
        """Stop counting the request as running. Called before the last byte is sent, because the client may send its
        next request as soon as it has that byte."""
        while self.cleanup:
            self.cleanup.pop()()


class Journal:
    """The last exchanges, oldest first."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._half = key.partition(".")[2] or key
        self._whole, self._named = _credentials(key)
        self._salt = secrets.token_bytes(16)
        self._exchanges: deque[Exchange] = deque(maxlen=MOST_EXCHANGES)

    def open(self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]]) -> Exchange:
        fields = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
        exchange = Exchange(
            method,
            self._redacted(path),
            {name: self._redacted_field(name, text) for name, text in fields.items() if name not in SECRET_HEADERS},
            time.monotonic(),
            client=self._client(fields),
        )
        self._exchanges.append(exchange)
        return exchange

    def exchanges(self) -> list[Exchange]:
        return list(self._exchanges)

    def clear(self) -> None:
        self._exchanges.clear()

    def body(self, value: Any) -> Any:
        """A request's body for the journal: blobs become size and hash, long texts are shortened, keys are removed."""
        redacted = self._redacted(value)
        if len(json.dumps(redacted, ensure_ascii=False, default=str)) > LONGEST_BODY:
            return f"<a body of over {LONGEST_BODY} characters>"
        return redacted

    def _redacted(self, value: Any) -> Any:
        match value:
            case str():
                text = self._without_key(_BLOB.sub(_placeholder, _TOKEN.sub("<token>", value)))
                return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text)} characters)"
            case Mapping():
                return {
                    str(name)[:LONGEST_TEXT]: self._redacted_field(str(name), inner) for name, inner in value.items()
                }
            case list():
                return [self._redacted(inner) for inner in value]
            case _:
                return value

    def _without_key(self, text: str) -> str:
        if self._half not in text:
            return text
        return self._named.sub(r"\1<key>", self._whole.sub("<key>", text))

    def _redacted_field(self, name: str, value: Any) -> Any:
        # In a field for a credential, a key is removed even if it is short.
        return "<key>" if value == self._key and _NAMED.fullmatch(name) else self._redacted(value)

    def _client(self, headers: Mapping[str, str]) -> str:
        """An id of the client, equal for all requests with one key or with tokens signed by it."""
        credential = next((headers[name] for name in CREDENTIALS if headers.get(name)), "")
        value = credential.rpartition(" ")[2]
        identity = _signer(value) or value
        return hashlib.blake2b(identity.encode(), key=self._salt, digest_size=6).hexdigest() if credential else ""


def _credentials(key: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Two patterns for a key in a text.

    The first matches the key or its secret half as a whole word, unless it is so short that it may be an ordinary word.
    The second matches the key, of any length, after the name of a credential, as in "token=...".
    """
    pieces = [re.escape(piece) for piece in (key, key.partition(".")[2]) if len(piece) >= SHORTEST_SECRET]
    long = "|".join(pieces) or "(?!)"
    quoted = re.escape(key) or "(?!)"
    named = rf"""(\bbearer\s+|(?:{_NAMES})["']?\s*[:=]\s*["']?){quoted}"""
    return (
        re.compile(rf"(?<![A-Za-z0-9_-])(?:{long})(?![A-Za-z0-9_-])"),
        re.compile(rf"{named}(?![A-Za-z0-9_-])", re.IGNORECASE),
    )


def _signer(token: str) -> str:
    """The id of the key in a signed token; "" if the text is not a signed token."""
    try:
        payload = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        return str(payload["api_key"])
    except (LookupError, TypeError, ValueError):
        return ""


def _placeholder(match: re.Match[str]) -> str:
    text = match[0]
    try:
        altchars = b"-_" if "-" in text or "_" in text else None  # forty times faster than a regular expression
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=altchars)
    except (binascii.Error, ValueError):
        data = text.encode()
    return f"<base64: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:12]}>"
