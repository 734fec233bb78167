"""One request on the page: what was sent, what was measured in it, and what was answered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from glmv_emulator.eyes import SeenImage, SeenVideo
from glmv_emulator.faults.table import FAULTS
from glmv_emulator.http.journal import Exchange
from glmv_emulator.http.records import Record, Shown
from glmv_emulator.page.answer import Answer
from glmv_emulator.page.tags import Html, join, tag, text
from glmv_emulator.page.timeline import seconds, timeline, told
from glmv_emulator.platform.errors import CODES

EXCERPT = 140
SHOWN_IN_SUMMARY = 4
COLOURS = 5
ENDED = {"client": "the client left early", "fault": "ended by the fault"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A record with its answer, both without keys, and the seconds that it took."""

    record: Record
    answer: Answer
    duration: float

    @property
    def outcome(self) -> str:
        """In one word: "running", "fault", "refused" or "answered"."""
        one = self.record.exchange
        if one.fault is not None:
            return "fault"
        if one.ended is None:
            return "running"
        refused = one.code is not None or one.status >= 400 or not one.status or self.answer.error is not None
        return "refused" if refused else "answered"


def card(entry: Entry, *, unfolded: bool = False) -> Html:
    """The whole of it, folded to one line until it is opened."""
    record = entry.record
    return tag(
        "article",
        tag(
            "details",
            tag("summary", _summary(entry)),
            tag("div", _sent(record), _answered(entry), class_="body"),
            open=unfolded,
        ),
        id=f"r{record.number}",
        class_=f"entry {entry.outcome}",
        data_revision=record.revision,
    )


def named(exchange: Exchange) -> str | None:
    """The model that a request is for, or asks for in vain."""
    asked = exchange.body.get("model") if isinstance(exchange.body, dict) else None
    return exchange.model or (asked if isinstance(asked, str) else None)


def _summary(entry: Entry) -> Html:
    record, one = entry.record, entry.record.exchange
    status = str(one.status or "–") + (f" · {one.code}" if one.code else "")
    attempt, attempts = record.attempt
    tags = [
        "stream" if one.stream else None,
        f"{_count(len(_tools(one.body)), 'tool')}" if _tools(one.body) else None,
        f"attempt {attempt} of {attempts}" if attempts > 1 else None,
    ]
    usage = entry.answer.usage.get("total_tokens")
    thumbnails = [_thumbnail(shown, 44) for shown in record.media if shown.thumbnail]
    more = len(thumbnails) - SHOWN_IN_SUMMARY
    return join(
        tag("span", status, class_="status"),
        tag(
            "span",
            tag(
                "span",
                tag("b", named(one) or f"{one.method} {one.path}"),
                *[tag("span", words, class_="tag") for words in tags if words],
                one.fault and tag("span", one.fault, class_="tag fault"),
                class_="names",
            ),
            tag("span", _excerpt(_asked(one.body)), class_="excerpt", dir="auto"),
            tag("span", _excerpt(_said(entry)), class_="excerpt said", dir="auto"),
            class_="gist",
        ),
        tag(
            "span",
            *thumbnails[:SHOWN_IN_SUMMARY],
            more > 0 and tag("span", f"+{more}", class_="more"),
            class_="strip",
        ),
        tag(
            "span",
            tag("time", f"{datetime.fromtimestamp(record.at).astimezone():%H:%M:%S}"),
            tag("span", seconds(entry.duration) if one.ended is not None else "running"),
            tag("span", f"{usage} tokens" if isinstance(usage, int) else ""),
            class_="figures",
        ),
    )


def _sent(record: Record) -> Html:
    one = record.exchange
    body = one.body
    media = {(shown.message, shown.part): shown for shown in record.media}
    messages: list[Any] = []
    options: dict[str, Any] = {}
    if isinstance(body, dict):
        messages = body["messages"] if isinstance(body.get("messages"), list) else []
        options = {name: value for name, value in body.items() if name not in ("messages", "model", "tools")}
    facts = [f"{one.method} {one.path}", f"{one.size:,} bytes", f"connection {one.connection}, request {one.nth} on it"]
    if agent := one.headers.get("user-agent"):
        facts.append(agent)
    return tag(
        "section",
        tag("h3", "Sent"),
        tag("ol", *[_message(message, number, media) for number, message in enumerate(messages)], class_="messages")
        if messages
        else None,
        tag("pre", _json(body), tabindex=0) if body is not None and not messages else None,
        *[_tool(tool) for tool in _tools(body)],
        _pairs(options),
        tag("p", " · ".join(facts), class_="facts"),
    )


def _message(message: Any, number: int, media: dict[tuple[int, int], Shown]) -> Html:
    if not isinstance(message, dict):
        return tag("li", tag("pre", _json(message), tabindex=0))
    content = message.get("content")
    parts = content if isinstance(content, list) else [] if content is None else [content]
    calls = message.get("tool_calls")
    return tag(
        "li",
        tag("span", message.get("role", "no role"), class_="role"),
        tag("div", *[_part(part, media.get((number, place))) for place, part in enumerate(parts)], class_="parts"),
        *[_call(*_called(call)) for call in (calls if isinstance(calls, list) else [])],
        message.get("tool_call_id") and tag("p", f"for {message['tool_call_id']}", class_="facts"),
    )


def _part(part: Any, shown: Shown | None) -> Html:
    match part:
        case str() | {"type": "text", "text": str()}:
            return tag("p", part if isinstance(part, str) else part["text"], class_="text", dir="auto")
        case {"type": str(kind)}:
            inner = part.get(kind)
            url = inner.get("url") if isinstance(inner, dict) else None
            return _medium(kind, shown, url if isinstance(url, str) else _json(part))
        case _:
            return tag("pre", _json(part), tabindex=0)


def _medium(kind: str, shown: Shown | None, source: str) -> Html:
    seen = shown.seen if shown is not None else None
    return tag(
        "figure",
        _thumbnail(shown, 160) if shown is not None and shown.thumbnail else tag("span", kind, class_="no-picture"),
        tag(
            "figcaption",
            tag("span", _measured(seen) if seen is not None else "nobody looked at it", class_="measured"),
            tag("ul", *[_swatch(colour) for colour in seen.colours[:COLOURS]], class_="swatches") if seen else None,
            tag("span", source, class_="source"),
        ),
    )


def _measured(seen: SeenImage | SeenVideo) -> str:
    size = f"{seen.width} × {seen.height} · {_bytes(seen.size_bytes)}"
    match seen:
        case SeenImage():
            frames = f" · {seen.frames} frames" if seen.frames > 1 else ""
            return f"{seen.format} · {size} · brightness {seen.brightness:.0%}{frames}"
        case SeenVideo():
            return f"{seen.container} {seen.codec} · {size} · {seen.duration:.1f} s"


def _swatch(colour: Any) -> Html:
    # A presentation attribute, since the page allows no inline styles.
    square = tag("rect", width=12, height=12, rx=3, fill=colour.hex)
    return tag(
        "li",
        tag("svg", square, width=12, height=12, aria_hidden="true"),
        f"{colour.name} {colour.share:.0%}",
    )


def _thumbnail(shown: Shown, side: int) -> Html:
    """A picture in the space that it will take, so that nothing moves when it comes."""
    seen = shown.seen
    assert seen is not None
    scale = min(1.0, side / max(seen.width, seen.height))
    return tag(
        "img",
        src=f"/page/picture/{shown.thumbnail}",
        alt=f"picture in message {shown.message + 1}, part {shown.part + 1}",
        width=max(1, round(seen.width * scale)),
        height=max(1, round(seen.height * scale)),
        loading="lazy",
    )


def _answered(entry: Entry) -> Html:
    answer, one = entry.answer, entry.record.exchange
    running = one.ended is None
    return tag(
        "section",
        tag("h3", "Answered"),
        _fault(one.fault),
        _error(entry),
        answer.reasoning and tag("details", tag("summary", "Reasoning"), _words(answer.reasoning), class_="inner"),
        answer.text.strip() and _words(answer.text),
        *[_call(name, arguments) for name, arguments in answer.calls],
        answer.other is not None and tag("pre", _json(answer.other), tabindex=0),
        not entry.record.whole and tag("p", "The rest of this answer is not kept.", class_="facts"),
        _pairs(_figures(answer)),
        tag(
            "figure",
            timeline(entry.record.moments, entry.duration),
            tag("figcaption", told(entry.record.moments, entry.duration, running=running)),
            class_="timing",
        ),
        one.ended_by in ENDED and tag("p", ENDED[one.ended_by], class_="facts"),
    )


def _words(value: str) -> Html:
    return tag("p", value, class_="text", dir="auto")


def _fault(name: str | None) -> Html | None:
    fault = FAULTS.get(name or "")
    if fault is None:
        return None
    said = tag("p", tag("b", f"Fault injected: {fault.name}"), f" – {fault.what}")
    return tag("div", said, tag("p", f"Expected of a client: {fault.advice}"), class_="note fault")


def _error(entry: Entry) -> Html | None:
    one, error = entry.record.exchange, entry.answer.error or {}
    code = str(error.get("code") or one.code or "")
    if not code and one.status < 400:
        return None
    said = error.get("message")
    meaning = CODES[code][2].format("…") if code in CODES else None
    return tag(
        "div",
        tag("p", tag("b", f"HTTP {one.status}" + (f", business code {code}" if code else ""))),
        tag("p", said, dir="auto") if said else None,
        tag("p", meaning, class_="facts") if meaning and not str(said).isascii() else None,
        tag("p", f"Retry-After: {one.retry_after:g} s", class_="facts") if one.retry_after is not None else None,
        class_="note refused",
    )


def _figures(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    found = {
        "finish_reason": answer.finish_reason,
        "prompt": usage.get("prompt_tokens"),
        "completion": usage.get("completion_tokens"),
        "total": usage.get("total_tokens"),
        "events": answer.events or None,
        "[DONE]": (answer.done and "came") or (answer.events and "missing") or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _pairs(values: dict[str, Any]) -> Html | None:
    if not values:
        return None
    rows = [tag("div", tag("dt", name), tag("dd", _json(value))) for name, value in values.items()]
    return tag("dl", *rows, class_="pairs")


def _tool(tool: Any) -> Html:
    function = tool.get("function") if isinstance(tool, dict) else None
    named = function.get("name") if isinstance(function, dict) else None
    said = named or (tool.get("type") if isinstance(tool, dict) else None) or "tool"
    return tag("details", tag("summary", f"Tool {said}"), tag("pre", _json(tool), tabindex=0), class_="inner")


def _called(call: Any) -> tuple[str, str]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return "?", _json(call)
    arguments = function.get("arguments", "")
    return str(function.get("name", "?")), _json(arguments)


def _call(name: str, arguments: str) -> Html:
    return tag("p", tag("b", name), tag("code", f"({arguments})"), class_="call")


def _tools(body: Any) -> Sequence[Any]:
    tools = body.get("tools") if isinstance(body, dict) else None
    return tools if isinstance(tools, list) else ()


def _asked(body: Any) -> str:
    """The last thing that is written in a request."""
    messages = body.get("messages") if isinstance(body, dict) else None
    for message in reversed(messages if isinstance(messages, list) else []):
        content = message.get("content") if isinstance(message, dict) else None
        for part in [content] if isinstance(content, str) else reversed(content if isinstance(content, list) else []):
            written = part.get("text") if isinstance(part, dict) else part
            if isinstance(written, str) and written.strip():
                return written
    return ""


def _said(entry: Entry) -> str:
    answer = entry.answer
    if answer.error is not None:
        return str(answer.error.get("message", ""))
    called = ", ".join(f"{name}({arguments})" for name, arguments in answer.calls)
    return answer.text.strip() or called or answer.reasoning


def _excerpt(value: str) -> str:
    line = " ".join(value[: 4 * EXCERPT].split())
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1]}…"


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1_000_000 else f"{size / 1000:.1f} kB" if size >= 1000 else f"{size} bytes"


def _count(number: int, noun: str) -> str:
    return text(f"{number} {noun}{'s' * (number != 1)}")
