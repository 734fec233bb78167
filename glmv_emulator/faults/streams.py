"""Faults inside a stream of events."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator

from glmv_emulator.faults.table import Moment, fault
from glmv_emulator.http.playback import Act, End, Performance
from glmv_emulator.http.responses import DONE
from glmv_emulator.platform.errors import Refusal


@fault(27, "truncated", "the stream ends in order, but before its end", "an error with what came", needs="stream")
def truncated(answer: Performance, moment: Moment, after: int = 3) -> Performance:
    return answer.with_acts([*_first(_unfinished(answer.acts), after), End("clean")])


@fault(28, "cut", "the connection breaks inside the stream", "an error with what came", needs="stream")
def cut(answer: Performance, moment: Moment, after: int = 3, how: str = "fin") -> Performance:
    return answer.with_acts([*_first(_unfinished(answer.acts), after), _breaking(how)])


def _breaking(how: str) -> End:
    match how:
        case "fin":
            return End("fin")
        case "rst":
            return End("rst")
    raise ValueError(f"a connection breaks by 'fin' or 'rst', not {how!r}")


@fault(29, "no-done", "the stream ends with its finish reason, without [DONE]", "a whole answer", needs="stream")
def no_done(answer: Performance, moment: Moment) -> Performance:
    return answer.with_acts(act for act in answer.acts if act != DONE)


@fault(30, "filtered-midway", "code 1301 inside the stream", "an error; clear what was shown", needs="stream")
def filtered_midway(answer: Performance, moment: Moment, after: int = 3, code: str = "1301") -> Performance:
    said = moment.said(Refusal(code, role="assistant" if code == "1301" else None))
    return answer.with_acts([*_first(_unfinished(answer.acts), after), _event(said), End("clean")])


@fault(30, "withdrawn", "finish_reason sensitive after some text", "an error; clear what was shown", needs="stream")
def withdrawn(answer: Performance, moment: Moment, after: int = 3) -> Performance:
    return _ended(answer, moment, after, "sensitive")


@fault(0, "network-error", "finish_reason network_error after some text", "an error with what came", needs="stream")
def network_error(answer: Performance, moment: Moment, after: int = 3) -> Performance:
    return _ended(answer, moment, after, "network_error")


def _ended(answer: Performance, moment: Moment, after: int, reason: str) -> Performance:
    """A stream that says why it ends before its text is whole."""
    moment.exchange.code = reason
    acts = list(answer.acts)
    last = next(act for act in acts if isinstance(act, bytes) and act != DONE and _reason(act))
    value = json.loads(last.removeprefix(b"data: "))
    value["choices"][0]["finish_reason"] = reason
    value["choices"][0]["delta"].pop("content", None)
    text = json.dumps(value, ensure_ascii=False).encode()
    return answer.with_acts([*_first(_unfinished(acts), after), _event(text), DONE])


@fault(31, "busy-event", "code 1302 as the first event of a stream", "as 1302: nothing was shown", needs="stream")
def busy_event(answer: Performance, moment: Moment, code: str = "1302") -> Performance:
    return answer.with_acts([_event(moment.said(Refusal(code))), End("clean")])


@fault(32, "invalid-utf8", "bytes that are no UTF-8", "show U+FFFD and go on", needs="stream")
def invalid_utf8(answer: Performance, moment: Moment, after: int = 1) -> Performance:
    return answer.with_acts(_spoilt(answer.acts, after, lambda frame: _CONTENT.sub(b"\\g<0>\xff\xfe", frame, count=1)))


@fault(33, "invalid-json", "an event that is cut off in its JSON", "an error with what came", needs="stream")
def invalid_json(answer: Performance, moment: Moment, after: int = 3) -> Performance:
    return answer.with_acts(_spoilt(answer.acts, after, lambda frame: frame[: len(frame) // 2] + b"\n\n"))


@fault(34, "double-done", "[DONE] twice and a chunk behind it", "ignore what follows the first", needs="stream")
def double_done(answer: Performance, moment: Moment) -> Performance:
    return answer.with_acts(_doubled(answer.acts))


def _doubled(acts: Iterable[Act]) -> Iterator[Act]:
    extra = DONE
    for act in acts:
        yield act
        if isinstance(act, bytes) and _CONTENT.search(act):
            extra = act
    yield from (extra, DONE)


@fault(35, "open-after-done", "the connection stays open after [DONE]", "end at once, and close it", needs="stream")
def open_after_done(answer: Performance, moment: Moment) -> Performance:
    return answer.with_acts([*answer.acts, moment.hold()])


@fault(36, "odd-framing", "BOM, comments, CR and CRLF, JSON over lines, U+2028", "the same answer", needs="stream")
def odd_framing(answer: Performance, moment: Moment, what: str = "bom ends comments lines unicode") -> Performance:
    return answer.with_acts(_odd(answer.acts, frozenset(what.split())))


# All of this is allowed: html.spec.whatwg.org, 9.2.5 "Parsing an event stream".
_ENDINGS = (b"\r\n", b"\r", b"\n")


def _odd(acts: Iterable[Act], what: frozenset[str]) -> Iterator[Act]:
    if unknown := what - {"bom", "ends", "comments", "lines", "unicode"}:
        raise ValueError(f"odd-framing knows no {', '.join(sorted(unknown))}")
    if "bom" in what:
        yield b"\xef\xbb\xbf"
    if "comments" in what:
        yield b": keep-alive\n\nretry: 3000\nid: 1\n\n"
    for number, act in enumerate(acts):
        ending = _ENDINGS[number % len(_ENDINGS)] if "ends" in what else b"\n"
        if not isinstance(act, bytes):
            yield act
        elif act == DONE:
            yield b"data:[DONE]" + ending * 2
        else:
            value = json.loads(act.removeprefix(b"data: "))
            if "unicode" in what:
                value["emu_note"] = "\u2028 \u2029 \x85"
            text = json.dumps(value, ensure_ascii=False, indent=1 if "lines" in what else None)
            lines = [b"data: " + line.encode() for line in text.split("\n")]
            yield (b":" + ending if "comments" in what else b"") + ending.join(lines) + ending * 2


_CONTENT = re.compile(rb'content":"')


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _first(acts: Iterable[Act], count: int) -> Iterator[Act]:
    for act in acts:
        if isinstance(act, bytes):
            if count <= 0:
                return
            count -= 1
        yield act


def _unfinished(acts: Iterable[Act]) -> Iterator[Act]:
    """A stream up to where its end begins: no finish reason, no [DONE]."""
    for act in acts:
        if act == DONE or (isinstance(act, bytes) and _reason(act)):
            return
        yield act


def _reason(frame: bytes) -> bool:
    choices = json.loads(frame.removeprefix(b"data: ")).get("choices") or [{}]
    return bool(choices[0].get("finish_reason"))


def _spoilt(acts: Iterable[Act], after: int, spoil: Callable[[bytes], bytes]) -> list[Act]:
    """A stream whose frame number `after`, or the last one with text before it, is spoilt."""
    made = list(acts)
    places = [n for n, act in enumerate(made) if isinstance(act, bytes) and _CONTENT.search(act)]
    place = max((n for n in places if n <= after), default=places[0] if places else 0)
    spoilt = made[place]
    assert isinstance(spoilt, bytes)
    made[place] = spoil(spoilt)
    return made
