"""Verdicts on a client, from what it sent and when: did it behave when things went wrong?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from glmv_emulator.http.journal import Exchange

# Codes after which the same request may succeed (docs.bigmodel.cn, error codes: "try later", "network error").
WORTH_ANOTHER_TRY = {"500", "1120", "1230", "1234", "1302", "1303", "1305", "1312"}
# A new token may help once.
WORTH_A_NEW_TOKEN = {"401", "1003"}
STATUSES_WORTH_ANOTHER_TRY = {408, 429, 500, 502, 503, 504}
# Streams that end before their end although nothing in the HTTP says so, and those where the connection breaks.
UNFINISHED = {"truncated", "cut", "filtered-midway", "withdrawn", "network-error", "invalid-json", "stall"}
# Bodies that are no answer although the status is 200.
NO_ANSWER = {"error-in-200", "login-page", "empty-body", "reset-in-body", "half-body", "busy-event", "error-for-stream"}
BROKEN_BEFORE = {"reset-in-headers", "no-answer", "stale-connection", "garbage"}
# A parameter is wrong, or missing (docs.bigmodel.cn, error codes).
PARAMETER_REFUSED = {"1210", "1213", "1214", "1215"}
MOST_ATTEMPTS = 6
# Pauses are random from 0 on: one may be short, three in a row are none.
NO_PAUSE = 0.05
PAUSES_MISSED = 3
CLOCK_IS_OFF = 0.05
DONE_IS_DONE = 1.0


@dataclass(slots=True)
class Call:
    """Requests that are one call of the application: the same body under the same key, sent again after it failed."""

    attempts: list[Exchange] = field(default_factory=list)

    @property
    def last(self) -> Exchange:
        return self.attempts[-1]

    @property
    def lost(self) -> bool:
        """Whether its last attempt could not give an answer."""
        return _failed(self.last)

    def pairs(self) -> Iterator[tuple[Exchange, Exchange, float]]:
        """Each attempt with the one after it, and the seconds between them."""
        for one, other in zip(self.attempts, self.attempts[1:], strict=False):
            yield one, other, other.started - (one.ended or other.started)

    def __str__(self) -> str:
        begin = self.attempts[0].started
        told = "; ".join(f"{one.started - begin:.2f} s {_told(one)}" for one in self.attempts)
        count = len(self.attempts)
        return f"{self.attempts[0].model or self.attempts[0].path}, {count} attempt{'s' * (count > 1)}: {told}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A sin and its evidence. `advice` is what to do."""

    name: str
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}\n    {self.advice}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a client did.

    Attributes:
        calls: its calls in order, each with its attempts.
        verdicts: what was wrong; empty for a client that behaves.
        errors: how many calls the application saw fail, as it was told.
    """

    calls: list[Call]
    verdicts: list[Verdict]
    errors: int

    def __str__(self) -> str:
        requests = sum(len(call.attempts) for call in self.calls)
        counted = [_counted(len(self.calls), "call"), _counted(requests, "request"), _counted(self.errors, "error")]
        lines = [f"{', '.join(counted)} seen by the application"]
        lines += [f"  {call}" for call in self.calls if len(call.attempts) > 1 or _failed(call.last)]
        lines += [f"! {verdict}" for verdict in self.verdicts] or ["no verdicts: the client behaved"]
        return "\n".join(lines)

    def assert_resilient(self) -> None:
        """Raises AssertionError with the whole report when there is a verdict."""
        if self.verdicts:
            raise AssertionError(str(self))


def judge(exchanges: Sequence[Exchange], allowed: Mapping[str, int], errors: int) -> Report:
    """Exchanges -> calls and verdicts.

    Args:
        allowed: model -> how many requests may run at once.
        errors: how many calls the application saw fail.
    """
    calls = calls_of([one for one in exchanges if one.method == "POST" and not _elsewhere(one)])
    verdicts = [verdict for rule in _RULES for call in calls for verdict in rule(call)]
    verdicts += _at_once(exchanges, allowed)
    verdicts += _redirected(exchanges)
    verdicts += _same_id(calls)
    verdicts += _unseen(calls, errors)
    return Report(calls, verdicts, errors)


def calls_of(exchanges: Sequence[Exchange]) -> list[Call]:
    """Requests in order -> calls: one that repeats a request which had failed by then is its next attempt.

    An application may make the same call twice at once, and then nothing tells one's retry from the other's first
    request. So where the same request was ever under way twice, a repetition that would be a sin begins a call.
    """
    calls: list[Call] = []
    alike: dict[str, list[Exchange]] = {}
    for exchange in sorted(exchanges, key=lambda one: one.started):
        alike.setdefault(_print(exchange), []).append(exchange)
    for group in alike.values():
        crowd = any(not _over(one, other.started) for number, one in enumerate(group) for other in group[number + 1 :])
        mine: list[Call] = []
        for exchange in group:
            failed = [call for call in mine if _failed(call.last) and _over(call.last, exchange.started)]
            failed = [call for call in failed if _repeats(call.last, exchange)]
            if crowd:
                failed = [call for call in failed if _may_be_retried(call.last) and _due(call.last, exchange.started)]
            if failed:
                min(failed, key=lambda call: call.last.ended or 0.0).attempts.append(exchange)
            else:
                mine.append(Call([exchange]))
        calls += mine
    return sorted(calls, key=lambda call: call.attempts[0].started)


def _due(exchange: Exchange, moment: float) -> bool:
    """Whether a repetition at this moment waited as long as the answer had asked for."""
    return moment - (exchange.ended or moment) >= (exchange.retry_after or 0.0) - CLOCK_IS_OFF


def _over(exchange: Exchange, moment: float) -> bool:
    # That a client left is seen a moment after it did, and it may be back by then.
    late = CLOCK_IS_OFF if exchange.ended_by == "client" else 0.0
    return exchange.ended is not None and exchange.ended - late <= moment


def _print(exchange: Exchange) -> str:
    body = exchange.body
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name != "request_id"}
    return f"{exchange.client} {exchange.path} {json.dumps(body, sort_keys=True, default=str)}"


def _repeats(one: Exchange, other: Exchange) -> bool:
    """Whether a body is the one of a request that looks the same in the journal, which keeps parts of long ones.

    A retry may have another `request_id`; where a parameter was refused, it may be the one, and the request corrected.
    """
    renamed = _id_in(one) != _id_in(other)
    return one.digest == other.digest or (renamed and one.code not in PARAMETER_REFUSED)


def _id_in(exchange: Exchange) -> object:
    return exchange.body.get("request_id") if isinstance(exchange.body, dict) else None


def _counted(number: int, what: str) -> str:
    """1 and "call" -> "1 call"; 2 -> "2 calls"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _failed(exchange: Exchange) -> bool:
    if exchange.status >= 300 or exchange.code is not None or exchange.fault in UNFINISHED | NO_ANSWER | BROKEN_BEFORE:
        return True
    return exchange.ended_by == "client" and exchange.fault in ("stall-before-headers", "stall-in-body", "drip", "slow")


def _told(exchange: Exchange) -> str:
    result = f"HTTP {exchange.status}" if exchange.status else "no answer"
    code = f" code {exchange.code}" if exchange.code else ""
    wait = f" retry after {exchange.retry_after:g} s" if exchange.retry_after is not None else ""
    fault = f" ({exchange.fault})" if exchange.fault else ""
    left = ", client left" if exchange.ended_by == "client" else ", still open" if exchange.ended is None else ""
    return f"{result}{code}{wait}{fault}{left}"


def _elsewhere(exchange: Exchange) -> bool:
    return exchange.path.startswith("/redirected")


def _may_be_retried(exchange: Exchange) -> bool:
    if exchange.code in WORTH_ANOTHER_TRY | WORTH_A_NEW_TOKEN or exchange.fault in BROKEN_BEFORE:
        return True
    if exchange.code is not None:
        # A request that timed out here is still running there, and its own id is refused until it ends.
        return exchange.code == "1231"
    return exchange.status in STATUSES_WORTH_ANOTHER_TRY or exchange.status in (0, 200)


def _storm(call: Call) -> Iterator[Verdict]:
    if len(call.attempts) > MOST_ATTEMPTS:
        yield Verdict("retry-storm", str(call), f"Try {MOST_ATTEMPTS} times at most.")
        return
    hasty = [gap < NO_PAUSE and one.status >= 429 for one, _, gap in call.pairs()]
    if sum(hasty) >= PAUSES_MISSED:
        yield Verdict("retry-storm", str(call), "Pause before each retry, longer each time, by a random amount.")


def _hasty(call: Call) -> Iterator[Verdict]:
    for one, other, gap in call.pairs():
        if one.retry_after is not None and not _due(one, other.started):
            evidence = f"came back after {gap:.2f} s, was asked to wait {one.retry_after:g} s; {call}"
            yield Verdict("ignored-retry-after", evidence, "Wait as long as Retry-After says, or give up.")
            return


def _useless(call: Call) -> Iterator[Verdict]:
    tokens = sum(one.code in WORTH_A_NEW_TOKEN for one in call.attempts)
    if tokens > 2 or any(not _may_be_retried(one) for one, _, _ in call.pairs()):
        yield Verdict("retried-unretryable", str(call), "Such an answer is the same each time: show it to the user.")


def _gave_up(call: Call) -> Iterator[Verdict]:
    shown = call.last.status == 200 and call.last.chunks > 1
    if call.last.code in WORTH_A_NEW_TOKEN:
        return  # there is none for a plain key
    if len(call.attempts) == 1 and call.lost and _may_be_retried(call.last) and not shown:
        asked_long = call.last.retry_after is not None and call.last.retry_after > 60
        if call.last.fault not in NO_ANSWER - {"reset-in-body", "half-body", "busy-event"} and not asked_long:
            yield Verdict("gave-up", str(call), "Try again: this passes by itself.")


def _left_open(call: Call) -> Iterator[Verdict]:
    if call.last.ended is None:
        yield Verdict("left-open", str(call), "Read a stream to its end, or close it.")


def _hung(call: Call) -> Iterator[Verdict]:
    last = call.last
    if last.fault == "open-after-done" and last.last_sent is not None and last.ended is not None:
        waited = last.ended - last.last_sent
        if waited > DONE_IS_DONE:
            yield Verdict("hung-after-done", f"waited {waited:.1f} s; {call}", "A stream ends with [DONE].")


def _key_told(call: Call) -> Iterator[Verdict]:
    for one in call.attempts:
        if "<key>" in f"{one.body}{one.path}{one.headers}":
            yield Verdict("key-in-body", str(call), "The key belongs into the header Authorization and nowhere else.")
            return


_RULES: tuple[Callable[[Call], Iterator[Verdict]], ...] = (
    _storm, _hasty, _useless, _gave_up, _left_open, _hung, _key_told,
)  # fmt: skip


def _at_once(exchanges: Sequence[Exchange], allowed: Mapping[str, int]) -> Iterator[Verdict]:
    for model, most in allowed.items():
        refused = sum(one.model == model and one.code == "1302" and one.fault is None for one in exchanges)
        if refused:
            evidence = f"{refused} requests of {model} came while {most} were under way, which is all that is allowed"
            yield Verdict("too-many-at-once", evidence, "Queue calls: no more at once than the account may have.")


def _redirected(exchanges: Sequence[Exchange]) -> Iterator[Verdict]:
    for one in exchanges:
        if _elsewhere(one):
            what = f"and took {one.size} bytes of body along" if one.size else "without a body"
            yield Verdict(
                "followed-redirect", f"went to another origin {what}", "Refuse redirects: they take data away."
            )


def _same_id(calls: Sequence[Call]) -> Iterator[Verdict]:
    seen: dict[str, Call] = {}
    for call in calls:
        for identity in {one.request_id for one in call.attempts if one.request_id}:
            if identity in seen:
                yield Verdict(
                    "reused-request-id", f"{identity} in two calls; {call}", "Give each call an id of its own."
                )
            seen[identity] = call


def _unseen(calls: Sequence[Call], errors: int) -> Iterator[Verdict]:
    """Calls that could not succeed, beyond those that the application saw fail."""
    lost = [call for call in calls if call.lost]
    # What comes with an error status is seen by every client: errors are put down to those first.
    lost.sort(key=lambda call: (call.last.fault in UNFINISHED, call.last.status == 200))
    for call in lost[errors:]:
        if call.last.fault in UNFINISHED:
            yield Verdict("trusted-truncated-stream", str(call), "A stream without its end is not an answer.")
        elif call.last.status == 200:
            yield Verdict("swallowed-error", str(call), "Look for an error in a body with status 200, too.")
        else:
            yield Verdict("swallowed-error", str(call), "Tell the user. If you do, call report(errors=how many).")
