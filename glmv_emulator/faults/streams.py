"""Faults inside a stream of events."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator

from glmv_emulator.faults.table import Context, fault
from glmv_emulator.http.playback import DONE, End, Response, Step
from glmv_emulator.platform import shapes
from glmv_emulator.platform.errors import Refusal


@fault(27, "truncated", "the stream ends normally, but too early", "an error with the text so far", needs="stream")
def truncated(answer: Response, context: Context, after: int = 3) -> Response:
    return answer.with_steps([*_first(_unfinished(answer.steps), after), End("clean")])


@fault(28, "cut", "the connection breaks inside the stream", "an error with the text so far", needs="stream")
def cut(answer: Response, context: Context, after: int = 3, how: str = "fin") -> Response:
    return answer.with_steps([*_first(_unfinished(answer.steps), after), _breaking(how)])


def _breaking(how: str) -> End:
    match how:
        case "fin":
            return End("fin")
        case "rst":
            return End("rst")
    raise ValueError(f"the option how must be 'fin' or 'rst'; got {how!r}")


@fault(29, "no-done", "the stream ends with its finish reason, without [DONE]", "a whole answer", needs="stream")
def no_done(answer: Response, context: Context) -> Response:
    return answer.with_steps(step for step in answer.steps if step != DONE)


@fault(30, "filtered-midway", "code 1301 inside the stream", "an error; clear what was shown", needs="stream")
def filtered_midway(answer: Response, context: Context, after: int = 3, code: str = "1301") -> Response:
    body = context.body_of(Refusal(code, role="assistant" if code == "1301" else None))
    return answer.with_steps([*_first(_unfinished(answer.steps), after), _event(body), End("clean")])


@fault(30, "withdrawn", "finish_reason sensitive after some text", "an error; clear what was shown", needs="stream")
def withdrawn(answer: Response, context: Context, after: int = 3) -> Response:
    return _ended(answer, context, after, "sensitive")


@fault(
    0, "network-error", "finish_reason network_error after some text", "an error with the text so far", needs="stream"
)
def network_error(answer: Response, context: Context, after: int = 3) -> Response:
    return _ended(answer, context, after, "network_error")


def _ended(answer: Response, context: Context, after: int, reason: str) -> Response:
    """A stream that ends early with a finish reason."""
    context.exchange.code = reason
    steps = list(answer.steps)
    last = next(step for step in steps if isinstance(step, bytes) and step != DONE and _reason(step))
    value = json.loads(last.removeprefix(b"data: "))
    value["choices"][0]["finish_reason"] = reason
    value["choices"][0]["delta"].pop("content", None)
    if reason == "sensitive":
        value = shapes.withdrawn(value)
    text = json.dumps(value, ensure_ascii=False).encode()
    return answer.with_steps([*_first(_unfinished(steps), after), _event(text), DONE])


@fault(
    31,
    "busy-event",
    "code 1302 as the first event of a stream",
    "the same as for 1302, since no text was shown yet",
    needs="stream",
)
def busy_event(answer: Response, context: Context, code: str = "1302") -> Response:
    return answer.with_steps([_event(context.body_of(Refusal(code))), End("clean")])


@fault(32, "invalid-utf8", "bytes that are not UTF-8", "show U+FFFD and go on", needs="stream")
def invalid_utf8(answer: Response, context: Context, after: int = 1) -> Response:
    return answer.with_steps(
        _spoilt(answer.steps, after, lambda frame: _CONTENT.sub(b"\\g<0>\xff\xfe", frame, count=1))
    )


@fault(33, "invalid-json", "an event that is cut off in its JSON", "an error with the text so far", needs="stream")
def invalid_json(answer: Response, context: Context, after: int = 3) -> Response:
    return answer.with_steps(_spoilt(answer.steps, after, lambda frame: frame[: len(frame) // 2] + b"\n\n"))


@fault(34, "double-done", "[DONE] twice and a chunk after it", "ignore what follows the first [DONE]", needs="stream")
def double_done(answer: Response, context: Context) -> Response:
    return answer.with_steps(_doubled(answer.steps))


def _doubled(steps: Iterable[Step]) -> Iterator[Step]:
    extra = DONE
    for step in steps:
        yield step
        if isinstance(step, bytes) and _CONTENT.search(step):
            extra = step
    yield from (extra, DONE)


@fault(
    35,
    "open-after-done",
    "the connection stays open after [DONE]",
    "end the answer at once, and close the connection",
    needs="stream",
)
def open_after_done(answer: Response, context: Context) -> Response:
    return answer.with_steps([*answer.steps, context.hold()])


@fault(
    36, "odd-framing", "BOM, comments, CR and CRLF, JSON over several lines, U+2028", "the same answer", needs="stream"
)
def odd_framing(answer: Response, context: Context, what: str = "bom ends comments lines unicode") -> Response:
    return answer.with_steps(_odd(answer.steps, frozenset(what.split())))


# All of this is allowed: html.spec.whatwg.org, 9.2.5 "Parsing an event stream".
_ENDINGS = (b"\r\n", b"\r", b"\n")
_ODDITIES = frozenset({"bom", "ends", "comments", "lines", "unicode"})


def _odd(steps: Iterable[Step], what: frozenset[str]) -> Iterator[Step]:
    if unknown := what - _ODDITIES:
        names = ", ".join(sorted(unknown))
        raise ValueError(
            f"what={names!r} of the fault 'odd-framing' is unknown; the known values are {', '.join(sorted(_ODDITIES))}"
        )
    if "bom" in what:
        yield b"\xef\xbb\xbf"
    if "comments" in what:
        yield b": keep-alive\n\nretry: 3000\nid: 1\n\n"
    for number, step in enumerate(steps):
        ending = _ENDINGS[number % len(_ENDINGS)] if "ends" in what else b"\n"
        if not isinstance(step, bytes):
            yield step
        elif step == DONE:
            yield b"data:[DONE]" + ending * 2
        else:
            value = json.loads(step.removeprefix(b"data: "))
            if "unicode" in what:
                value["emu_note"] = "\u2028 \u2029 \x85"
            text = json.dumps(value, ensure_ascii=False, indent=1 if "lines" in what else None)
            lines = [b"data: " + line.encode() for line in text.split("\n")]
            yield (b":" + ending if "comments" in what else b"") + ending.join(lines) + ending * 2


_CONTENT = re.compile(rb'content":"')


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _first(steps: Iterable[Step], count: int) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, bytes):
            if count <= 0:
                return
            count -= 1
        yield step


def _unfinished(steps: Iterable[Step]) -> Iterator[Step]:
    """A stream without its end: no finish reason, no [DONE]."""
    for step in steps:
        if step == DONE or (isinstance(step, bytes) and _reason(step)):
            return
        yield step


def _reason(frame: bytes) -> bool:
    choices = json.loads(frame.removeprefix(b"data: ")).get("choices") or [{}]
    return bool(choices[0].get("finish_reason"))


def _spoilt(steps: Iterable[Step], after: int, spoil: Callable[[bytes], bytes]) -> list[Step]:
    """A stream in which `spoil` changes one frame: the last frame with text up to index `after`.

    If no frame up to this index has text, it changes the first frame with text.
    """
    result = list(steps)
    places = [n for n, step in enumerate(result) if isinstance(step, bytes) and _CONTENT.search(step)]
    place = max((n for n in places if n <= after), default=places[0] if places else 0)
    spoilt = result[place]
    assert isinstance(spoilt, bytes)
    result[place] = spoil(spoilt)
    return result
