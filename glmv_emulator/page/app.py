"""The web page at the emulator's root, which shows its journal live."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response

from glmv_emulator.faults.verdicts import Verdict, judge
from glmv_emulator.http.playback import Receive, Scope, Send
from glmv_emulator.http.records import Record
from glmv_emulator.page.answer import Answer, read
from glmv_emulator.page.view import Choice, Entry, chosen, entry_data, overview
from glmv_emulator.platform.settings import answered_by
from glmv_emulator.platform.state import State

PATHS = ("/", "/favicon.ico")
FOLDER = "/page/"
# Verdicts compare requests with each other, so the page computes them for the newest ones only.
MOST_JUDGED = 200
KINDS = {"style.css": "text/css", "script.js": "text/javascript", "icon.svg": "image/svg+xml"}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-glmv-emulator": "1",
}


def belongs(scope: Scope) -> bool:
    """Whether a request is for the page. Such requests are not recorded in the journal."""
    path: str = scope["path"]
    return scope["method"] in ("GET", "HEAD") and (path in PATHS or path.startswith(FOLDER))


class Page:
    """The ASGI application of the page: the document, its updates, its files and its thumbnails."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._judged: tuple[object, list[Verdict], dict[Any, tuple[int, int]]] = (None, [], {})
        self._read: dict[Record, tuple[object, Answer]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._answer(scope))(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        path: str = scope["path"]
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        if path == "/":
            base_url = f"{scope['scheme']}://{dict(scope['headers'])[b'host'].decode('latin-1')}/api/paas/v4"
            document = await asyncio.to_thread(self._document, query, base_url)
            return Response(document, 200, HEADERS, "text/html; charset=utf-8")
        name = path.removeprefix(FOLDER)
        if name == "news":
            news = await asyncio.to_thread(self._news, query)
            return Response(news, 200, HEADERS, "application/json") if news else Response(None, 204, HEADERS)
        if name in KINDS:
            return Response(_file(name), 200, HEADERS, KINDS[name])
        if name.startswith("picture/"):
            small = await asyncio.to_thread(self._state.records.thumbnail, name.removeprefix("picture/"))
            if small is not None:
                # The picture of an id never changes.
                return Response(small[0], 200, HEADERS | {"cache-control": "private, max-age=3600"}, small[1])
        return Response(b"not here\n", 404, HEADERS, "text/plain")

    def _document(self, query: Mapping[str, str], base_url: str) -> str:
        choice = Choice.of(query)
        revision, everything, verdicts = self._entries()
        entries, older = chosen(everything, choice)
        upstream = self._state.upstream
        claim = answered_by(None if upstream is None else upstream.name)
        return _rendered(
            "page.html",
            overview(everything, choice, verdicts)
            | {
                "entries": [entry_data(entry) for entry in entries],
                "older": older,
                "token": self._token(revision),
                "base_url": base_url,
                "claim": f"{claim[:1].upper()}{claim[1:]}.",
            },
        )

    def _news(self, query: Mapping[str, str]) -> str | None:
        """The changes since the state that the token in the query names, as JSON; None if nothing has changed."""
        if query.get("since") == self._token(self._state.records.all()[0]):
            return None
        choice = Choice.of(query)
        revision, everything, verdicts = self._entries()
        entries, _ = chosen(everything, choice)
        run, _, seen = query.get("since", "").partition("-")
        since = int(seen) if run == self._state.records.run and seen.isdecimal() else -1
        panel = overview(everything, choice, verdicts)
        news = {
            "token": self._token(revision),
            "panel": _rendered("panel.html", panel),
            "models": panel["models"],
            "total": panel["total"],
            "order": [f"r{entry.record.number}" for entry in entries],
            "entries": [
                _rendered("entry.html", {"entry": entry_data(entry), "unfolded": False})
                for entry in entries
                if entry.record.revision > since
            ],
        }
        # Names of models come from requests and may contain a lone surrogate, which ASCII JSON can represent.
        return json.dumps(news)

    def _token(self, revision: int) -> str:
        return f"{self._state.records.run}-{revision}"

    def _entries(self) -> tuple[int, list[Entry], list[Verdict]]:
        """The revision of the journal; its entries, newest first; and the verdicts on them."""
        with self._lock:
            revision, records = self._state.records.all()
            verdicts, attempts = self._verdicts(revision, records)
            for record in records:
                attempt = attempts.get(record.exchange, (1, 1))
                if attempt != record.attempt:
                    record.attempt, record.revision = attempt, revision
            entries = [self._entry(record) for record in records]
            self._read = {record: cached for record in records if (cached := self._read.get(record)) is not None}
        return revision, entries, verdicts

    def _verdicts(self, revision: int, records: Sequence[Record]) -> tuple[list[Verdict], dict[Any, tuple[int, int]]]:
        if self._judged[0] != (revision, len(records)):
            ended = [record.exchange for record in records[:MOST_JUDGED] if record.exchange.ended is not None]
            # The number of errors that the application noticed is unknown here, so every error counts as noticed and
            # gets no verdict.
            report = judge(ended, self._state.settings.concurrency, len(ended))
            attempts = {
                one: (place, len(call.attempts)) for call in report.calls for place, one in enumerate(call.attempts, 1)
            }
            self._judged = (revision, len(records)), report.verdicts, attempts
        return self._judged[1], self._judged[2]

    def _entry(self, record: Record) -> Entry:
        one = record.exchange
        state, answer = self._read.get(record, (None, Answer()))
        if state != (now := (len(record.answer), record.kind)):
            answer = self._redacted(read(bytes(record.answer), record.kind))
            self._read[record] = now, answer
        duration = (one.ended if one.ended is not None else one.last_sent or one.started) - one.started
        return Entry(record, answer, duration)

    def _redacted(self, answer: Answer) -> Answer:
        """The answer without keys and blobs, redacted like the journal."""
        redacted = self._state.journal.body
        for name in ("text", "reasoning", "calls", "error", "usage", "other"):
            was = getattr(answer, name)
            value = redacted(was)
            if isinstance(was, list | dict) and isinstance(value, str) and name != "other":
                value = type(was)()  # too long for the journal
            setattr(answer, name, value)
        return answer


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("glmv_emulator.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _rendered(template: str, data: Mapping[str, Any]) -> str:
    """HTML without lone surrogates, which a request may contain and UTF-8 cannot encode."""
    return _templates().get_template(template).render(data).encode("utf-8", "replace").decode("utf-8")


@cache
def _file(name: str) -> bytes:
    return resources.files("glmv_emulator").joinpath("page", name).read_bytes()
