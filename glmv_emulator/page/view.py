"""The data of the page for its templates: strings, numbers, lists and dicts, but no HTML."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from glmv_emulator.eyes import SeenImage, SeenVideo
from glmv_emulator.faults.table import FAULTS
from glmv_emulator.faults.verdicts import Verdict
from glmv_emulator.http.journal import Exchange
from glmv_emulator.http.records import Record, RecordedMedium
from glmv_emulator.page.answer import Answer
from glmv_emulator.platform.errors import CODES

Data = dict[str, Any]

OUTCOMES = {
    "": "all outcomes",
    "answered": "answered",
    "refused": "refused",
    "fault": "with a fault",
    "running": "under way",
}
ENDED = {"client": "the client left early", "fault": "ended by the fault"}
ENTRIES = 50
EXCERPT = 140
SHOWN_IN_SUMMARY = 4
COLOURS = 5
# The sides of thumbnails, and the drawing of a timeline, in CSS pixels.
SMALL, LARGE = 44, 160
WIDTH, EDGE = 320, 4
MOST_MARKS = 160


@dataclass(frozen=True, slots=True)
class Choice:
    """Which requests to show. `before`: only requests with a smaller number; 0 means all."""

    model: str = ""
    outcome: str = ""
    before: int = 0

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Choice:
        """Read the choice from the query part of a URL. Invalid values are ignored."""
        outcome, before = query.get("outcome", ""), query.get("before", "")
        number = int(before) if before.isdecimal() and len(before) < 12 else 0
        return cls(query.get("model", ""), outcome if outcome in OUTCOMES else "", number)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record with its answer, both without keys, and its duration in seconds."""

    record: Record
    answer: Answer
    duration: float

    @property
    def outcome(self) -> str:
        """The outcome: "running", "fault", "refused" or "answered"."""
        one = self.record.exchange
        if one.fault is not None:
            return "fault"
        if one.ended is None:
            return "running"
        refused = one.code is not None or one.status >= 400 or not one.status or self.answer.error is not None
        return "refused" if refused else "answered"

    @property
    def model(self) -> str | None:
        """The platform's name of the model in the request, or the name as written if the platform has no such model."""
        one = self.record.exchange
        name = one.body.get("model") if isinstance(one.body, dict) else None
        return one.model or (name if isinstance(name, str) else None)


def chosen(entries: Sequence[Entry], choice: Choice) -> tuple[list[Entry], int]:
    """The newest entries that match, and the value of `before` for the next page (0 if there is no next page)."""
    matching = [
        entry
        for entry in entries
        if choice.model in ("", entry.model)
        and choice.outcome in ("", entry.outcome)
        and (not choice.before or entry.record.number < choice.before)
    ]
    return matching[:ENTRIES], matching[ENTRIES - 1].record.number if len(matching) > ENTRIES else 0


def overview(entries: Sequence[Entry], choice: Choice, verdicts: Sequence[Verdict]) -> Data:
    """The data of `panel.html` and the filter: totals of the whole journal, verdicts on the client, and models."""
    outcomes = Counter(entry.outcome for entry in entries)
    tokens = [entry.answer.usage.get("total_tokens") for entry in entries]
    models = sorted({entry.model for entry in entries if entry.model})
    others = [choice.model] if choice.model and choice.model not in models else []
    return {
        "total": len(entries),
        "figures": {
            "requests": len(entries),
            "refused": outcomes["refused"],
            "faults": outcomes["fault"],
            "pictures": sum(len(entry.record.media) for entry in entries),
            "tokens": sum(count for count in tokens if isinstance(count, int)),
        },
        "verdicts": verdicts,
        "models": models,
        "model_names": {"": "all models"} | {name: name for name in models + others},
        "outcomes": OUTCOMES,
        "choice": choice,
    }


def entry_data(entry: Entry) -> Data:
    """The data of `entry.html` for one request."""
    record, one, answer = entry.record, entry.record.exchange, entry.answer
    total = answer.usage.get("total_tokens")
    small = [_thumbnail(medium, SMALL) for medium in record.media if medium.thumbnail]
    return {
        "number": record.number,
        "revision": record.revision,
        "outcome": entry.outcome,
        "status": f"{one.status or '–'}" + (f" · {one.code}" if one.code else ""),
        "name": entry.model or f"{one.method} {one.path}",
        "tags": _tags(record),
        "fault_name": one.fault,
        "question": _excerpt(_last_text(one.body)),
        "answer": _excerpt(_answer_text(answer)),
        "thumbnails": small[:SHOWN_IN_SUMMARY],
        "more": len(small) - SHOWN_IN_SUMMARY,
        "time": f"{datetime.fromtimestamp(record.at).astimezone():%H:%M:%S}",
        "duration": seconds(entry.duration) if one.ended is not None else "running",
        "tokens": f"{total} tokens" if isinstance(total, int) else "",
        "sent": _request_data(record),
        "answered": _answer_data(entry),
    }


def seconds(value: float) -> str:
    """A time for display: `4 ms`, `1.25 s`."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def _tags(record: Record) -> list[str]:
    one = record.exchange
    attempt, attempts = record.attempt
    tools = len(_list(one.body, "tools"))
    tags = {
        "stream": one.stream,
        f"{tools} tool{'s' * (tools != 1)}": tools,
        f"attempt {attempt} of {attempts}": attempts > 1,
    }
    return [tag for tag, holds in tags.items() if holds]


def _request_data(record: Record) -> Data:
    one = record.exchange
    media = {(medium.message, medium.part): medium for medium in record.media}
    messages = _list(one.body, "messages")
    body = one.body if isinstance(one.body, dict) else {}
    facts = [f"{one.method} {one.path}", f"{one.size:,} bytes", f"connection {one.connection}, request {one.nth} on it"]
    if agent := one.headers.get("user-agent"):
        facts.append(agent)
    return {
        "messages": [_message(message, number, media) for number, message in enumerate(messages)],
        "body": _json(one.body) if one.body is not None and not messages else None,
        "tools": [(_tool_name(tool), _json(tool)) for tool in _list(one.body, "tools")],
        "options": {name: _json(value) for name, value in body.items() if name not in ("messages", "model", "tools")},
        "facts": facts,
    }


def _message(message: Any, number: int, media: Mapping[tuple[int, int], RecordedMedium]) -> Data:
    if not isinstance(message, dict):
        return {"json": _json(message)}
    content = message.get("content")
    parts = content if isinstance(content, list) else [] if content is None else [content]
    return {
        "role": message.get("role", "no role"),
        "parts": [_part(part, media.get((number, place))) for place, part in enumerate(parts)],
        "calls": [_name_and_arguments(call) for call in _list(message, "tool_calls")],
        "call_id": message.get("tool_call_id"),
    }


def _part(part: Any, medium: RecordedMedium | None) -> Data:
    match part:
        case str() | {"type": "text", "text": str()}:
            return {"text": part if isinstance(part, str) else part["text"]}
        case {"type": str(kind)}:
            inner = part.get(kind)
            url = inner.get("url") if isinstance(inner, dict) else None
            return {"medium": _medium(kind, medium, url if isinstance(url, str) else _json(part))}
        case _:
            return {"json": _json(part)}


def _medium(kind: str, medium: RecordedMedium | None, source: str) -> Data:
    seen = medium.seen if medium is not None else None
    return {
        "kind": kind,
        "thumbnail": _thumbnail(medium, LARGE) if medium is not None and medium.thumbnail else None,
        "measured": _measured(seen) if seen is not None else "not measured",
        "colours": [(colour.hex, f"{colour.name} {colour.share:.0%}") for colour in seen.colours[:COLOURS]]
        if seen is not None
        else [],
        "source": source,
    }


def _measured(seen: SeenImage | SeenVideo) -> str:
    size = f"{seen.width} × {seen.height} · {_bytes(seen.size_bytes)}"
    match seen:
        case SeenImage():
            frames = f" · {seen.frames} frames" if seen.frames > 1 else ""
            return f"{seen.format} · {size} · brightness {seen.brightness:.0%}{frames}"
        case SeenVideo():
            return f"{seen.container} {seen.codec} · {size} · {seen.duration:.1f} s"


def _thumbnail(medium: RecordedMedium, side: int) -> Data:
    """A picture with its size on the page, so that the layout does not move when it is loaded."""
    seen = medium.seen
    assert seen is not None
    scale = min(1.0, side / max(seen.width, seen.height))
    return {
        "id": medium.thumbnail,
        "alt": f"picture in message {medium.message + 1}, part {medium.part + 1}",
        "width": max(1, round(seen.width * scale)),
        "height": max(1, round(seen.height * scale)),
    }


def _answer_data(entry: Entry) -> Data:
    answer, record, one = entry.answer, entry.record, entry.record.exchange
    return {
        "fault": FAULTS.get(one.fault or ""),
        "error": _error(one, answer),
        "reasoning": answer.reasoning,
        "text": answer.text if answer.text.strip() else "",
        "calls": answer.calls,
        "other": None if answer.other is None else _json(answer.other),
        "whole": record.whole,
        "figures": _figures(one, answer),
        "timeline": _timeline(record.moments, entry.duration),
        "timing": _timing(record.moments, entry.duration, running=one.ended is None),
        "ended": ENDED.get(one.ended_by or ""),
    }


def _error(one: Exchange, answer: Answer) -> Data | None:
    error = answer.error or {}
    code = str(error.get("code") or one.code or "")
    if not code and one.status < 400:
        return None
    message = error.get("message")
    meaning = CODES[code][2].format("…") if code in CODES else None
    return {
        "name": f"HTTP {one.status}" + (f", business code {code}" if code else ""),
        "message": message,
        "meaning": None if str(message).isascii() else meaning,
        "retry_after": None if one.retry_after is None else f"{one.retry_after:g} s",
    }


def _figures(one: Exchange, answer: Answer) -> dict[str, str]:
    usage = answer.usage
    figures = {
        "answered by": None if _error(one, answer) else one.answered_by,  # a fault may have replaced the answer
        "finish_reason": answer.finish_reason,
        "prompt": usage.get("prompt_tokens"),
        "completion": usage.get("completion_tokens"),
        "total": usage.get("total_tokens"),
        "events": answer.events or None,
        "[DONE]": (answer.done and "came") or (answer.events and "missing") or None,
    }
    return {name: _json(value) for name, value in figures.items() if value is not None}


def _timeline(moments: Sequence[tuple[float, int]], duration: float) -> Data:
    """The drawing of a response: a line for the wait before the first piece, and a mark for each piece.

    Each of `moments` is the time of a piece in seconds and its number of bytes.
    """
    span = max(duration, moments[-1][0] if moments else 0.0, 1e-6)

    def x(moment: float) -> str:
        return f"{EDGE + (WIDTH - 2 * EDGE) * moment / span:.1f}"

    marks = sorted({x(moment) for moment, _ in moments}, key=float)
    step = -(-len(marks) // MOST_MARKS) or 1
    first = x(moments[0][0] if moments else span)
    return {"width": WIDTH, "start": EDGE, "end": WIDTH - EDGE, "first": first, "marks": marks[::step]}


def _timing(moments: Sequence[tuple[float, int]], duration: float, *, running: bool) -> str:
    """The timeline as text."""
    if not moments:
        return f"nothing sent for {seconds(duration)}" + (" so far" if running else "")
    count = f"{len(moments)} chunk{'s' * (len(moments) > 1)}"
    size = sum(length for _, length in moments)
    ended = "under way" if running else f"over after {seconds(duration)}"
    return f"first byte after {seconds(moments[0][0])}, {count}, {size:,} bytes, {ended}"


def _tool_name(tool: Any) -> str:
    if not isinstance(tool, dict):
        return "tool"
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    return str(name or tool.get("type") or "tool")


def _name_and_arguments(call: Any) -> tuple[str, str]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return "?", _json(call)
    return str(function.get("name", "?")), _json(function.get("arguments", ""))


def _list(body: Any, name: str) -> list[Any]:
    """A list in a body; [] if there is none."""
    value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, list) else []


def _last_text(body: Any) -> str:
    """The last text in a request."""
    for message in reversed(_list(body, "messages")):
        content = message.get("content") if isinstance(message, dict) else None
        for part in [content] if isinstance(content, str) else reversed(_list(message, "content")):
            text = part.get("text") if isinstance(part, dict) else part
            if isinstance(text, str) and text.strip():
                return text
    return ""


def _answer_text(answer: Answer) -> str:
    if answer.error is not None:
        return str(answer.error.get("message", ""))
    calls = ", ".join(f"{name}({arguments})" for name, arguments in answer.calls)
    return answer.text.strip() or calls or answer.reasoning


def _excerpt(value: str) -> str:
    line = " ".join(value[: 4 * EXCERPT].split())
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1]}…"


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1_000_000 else f"{size / 1000:.1f} kB" if size >= 1000 else f"{size} bytes"
