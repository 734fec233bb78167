"""Verdicts on a client's behaviour after faults, from its requests and their times."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from glmv_emulator.http.journal import Exchange

# Codes after which a retry may succeed (docs.bigmodel.cn, error codes: "try later", "network error").
WORTH_ANOTHER_TRY = {"500", "1120", "1230", "1234", "1302", "1303", "1305", "1312"}
# Codes after which one retry with a new token may succeed.
WORTH_A_NEW_TOKEN = {"401", "1003"}
STATUSES_WORTH_ANOTHER_TRY = {408, 429, 500, 502, 503, 504}
# Faults that end a stream early, with or without an error of HTTP.
UNFINISHED = {"truncated", "cut", "filtered-midway", "withdrawn", "network-error", "invalid-json", "stall"}
# Faults whose body is not an answer although the status is 200.
NO_ANSWER = {"error-in-200", "login-page", "empty-body", "reset-in-body", "half-body", "busy-event", "error-for-stream"}
BROKEN_BEFORE = {"reset-in-headers", "no-answer", "stale-connection", "garbage"}
# Codes for a wrong or missing parameter (docs.bigmodel.cn, error codes).
PARAMETER_REFUSED = {"1210", "1213", "1214", "1215"}
MOST_ATTEMPTS = 6
# Pauses are random and may be near 0 once, but three short ones mean that the client does not pause.
NO_PAUSE = 0.05
PAUSES_MISSED = 3
CLOCK_IS_OFF = 0.05
DONE_IS_DONE = 1.0


@dataclass(slots=True)
class Call:
    """The requests of one call of the application: the same body with the same key, sent again after a failure."""

    attempts: list[Exchange] = field(default_factory=list)

    @property
    def last(self) -> Exchange:
        return self.attempts[-1]

    @property
    def lost(self) -> bool:
        """Whether the last attempt failed, so that the application cannot have a complete answer."""
        return _failed(self.last)

    def pairs(self) -> Iterator[tuple[Exchange, Exchange, float]]:
        """Each attempt with the next one, and the seconds between them."""
        for one, other in zip(self.attempts, self.attempts[1:], strict=False):
            yield one, other, other.started - (one.ended or other.started)

    def __str__(self) -> str:
        begin = self.attempts[0].started
        attempts = "; ".join(f"{one.started - begin:.2f} s {_summary(one)}" for one in self.attempts)
        count = len(self.attempts)
        return f"{self.attempts[0].model or self.attempts[0].path}, {count} attempt{'s' * (count > 1)}: {attempts}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule that the client broke, the evidence, and advice."""

    name: str
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}\n    {self.advice}"


@dataclass(frozen=True, slots=True)
class Report:
    """A report on a client.

    Attributes:
        calls: its calls in order, each with its attempts.
        verdicts: the rules that it broke; empty if it broke none.
        errors: the number of failed calls that the application noticed, as passed to `report`.
    """

    calls: list[Call]
    verdicts: list[Verdict]
    errors: int

    def __str__(self) -> str:
        requests = sum(len(call.attempts) for call in self.calls)
        sent = f"{_counted(len(self.calls), 'call')}, {_counted(requests, 'request')}"
        lines = [f"{sent}; the application noticed {_counted(self.errors, 'error')}"]
        lines += [f"  {call}" for call in self.calls if len(call.attempts) > 1 or _failed(call.last)]
        lines += [f"! {verdict}" for verdict in self.verdicts] or ["no verdicts: the client behaved"]
        return "\n".join(lines)

    def assert_resilient(self) -> None:
        """Raise AssertionError with the whole report if there is a verdict."""
        if self.verdicts:
            raise AssertionError(str(self))


def judge(exchanges: Sequence[Exchange], allowed: Mapping[str, int], errors: int) -> Report:
    """Group exchanges into calls, and judge the client by them.

    Args:
        allowed: for each model name, the number of requests that may run at the same time.
        errors: the number of failed calls that the application noticed.
    """
    calls = calls_of([one for one in exchanges if one.method == "POST" and not _elsewhere(one)])
    verdicts = [verdict for rule in _RULES for call in calls for verdict in rule(call)]
    verdicts += _at_once(exchanges, allowed)
    verdicts += _redirected(exchanges)
    verdicts += _same_id(calls)
    verdicts += _unseen(calls, errors)
    return Report(calls, verdicts, errors)


def calls_of(exchanges: Sequence[Exchange]) -> list[Call]:
    """Group requests into calls. A request that repeats a failed request is the next attempt of the same call.

    An application may make equal calls at the same time. Then a retry in one call looks like the first request of
    another call. So if equal requests have ever overlapped, a repetition that would break a rule counts as a new
    call.
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
    """Whether a retry at `moment` comes after the wait that the response to `exchange` asked for."""
    return moment - (exchange.ended or moment) >= (exchange.retry_after or 0.0) - CLOCK_IS_OFF


def _over(exchange: Exchange, moment: float) -> bool:
    # The emulator notices a moment late that a client has left, and the client may be back by then.
    late = CLOCK_IS_OFF if exchange.ended_by == "client" else 0.0
    return exchange.ended is not None and exchange.ended - late <= moment


def _print(exchange: Exchange) -> str:
    body = exchange.body
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name != "request_id"}
    return f"{exchange.client} {exchange.path} {json.dumps(body, sort_keys=True, default=str)}"


def _repeats(one: Exchange, other: Exchange) -> bool:
    """Whether the request `other` repeats the earlier request `one`. Both look the same in the journal, which shortens
    long bodies.

    A retry may have a new `request_id`. But if a parameter was refused, the new `request_id` may correct it, and then
    the request is not a retry.
    """
    renamed = _id_in(one) != _id_in(other)
    return one.digest == other.digest or (renamed and one.code not in PARAMETER_REFUSED)


def _id_in(exchange: Exchange) -> object:
    return exchange.body.get("request_id") if isinstance(exchange.body, dict) else None


def _counted(number: int, what: str) -> str:
    """The number with its noun, such as "1 call" or "2 calls"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _failed(exchange: Exchange) -> bool:
    if exchange.status >= 300 or exchange.code is not None or exchange.fault in UNFINISHED | NO_ANSWER | BROKEN_BEFORE:
        return True
    return exchange.ended_by == "client" and exchange.fault in ("stall-before-headers", "stall-in-body", "drip", "slow")


def _summary(exchange: Exchange) -> str:
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
        # After a timeout of the client, its request still runs, and the same id is refused until it ends.
        return exchange.code == "1231"
    return exchange.status in STATUSES_WORTH_ANOTHER_TRY or exchange.status in (0, 200)


def _storm(call: Call) -> Iterator[Verdict]:
    if len(call.attempts) > MOST_ATTEMPTS:
        yield Verdict("retry-storm", str(call), f"Make at most {MOST_ATTEMPTS} attempts.")
        return
    hasty = [gap < NO_PAUSE and one.status >= 429 for one, _, gap in call.pairs()]
    if sum(hasty) >= PAUSES_MISSED:
        advice = "Pause before each retry. Make each pause longer, and vary it at random."
        yield Verdict("retry-storm", str(call), advice)


def _hasty(call: Call) -> Iterator[Verdict]:
    for one, other, gap in call.pairs():
        if one.retry_after is not None and not _due(one, other.started):
            evidence = f"retried after {gap:.2f} s instead of {one.retry_after:g} s; {call}"
            yield Verdict("ignored-retry-after", evidence, "Wait as long as Retry-After says, or give up.")
            return


def _useless(call: Call) -> Iterator[Verdict]:
    tokens = sum(one.code in WORTH_A_NEW_TOKEN for one in call.attempts)
    if tokens > 2 or any(not _may_be_retried(one) for one, _, _ in call.pairs()):
        yield Verdict("retried-unretryable", str(call), "A retry cannot succeed: report the error to the user.")


def _gave_up(call: Call) -> Iterator[Verdict]:
    has_text = call.last.status == 200 and call.last.chunks > 1
    if call.last.code in WORTH_A_NEW_TOKEN:
        return  # a plain key cannot be signed again
    if len(call.attempts) == 1 and call.lost and _may_be_retried(call.last) and not has_text:
        asked_long = call.last.retry_after is not None and call.last.retry_after > 60
        if call.last.fault not in NO_ANSWER - {"reset-in-body", "half-body", "busy-event"} and not asked_long:
            yield Verdict("gave-up", str(call), "Retry: this error is temporary.")


def _left_open(call: Call) -> Iterator[Verdict]:
    if call.last.ended is None:
        yield Verdict("left-open", str(call), "Read a stream to its end, or close it.")


def _hung(call: Call) -> Iterator[Verdict]:
    last = call.last
    if last.fault == "open-after-done" and last.last_sent is not None and last.ended is not None:
        waited = last.ended - last.last_sent
        if waited > DONE_IS_DONE:
            evidence = f"waited {waited:.1f} s after [DONE]; {call}"
            yield Verdict("hung-after-done", evidence, "Stop reading a stream at [DONE].")


def _key_in_body(call: Call) -> Iterator[Verdict]:
    for one in call.attempts:
        if "<key>" in f"{one.body}{one.path}{one.headers}":
            yield Verdict("key-in-body", str(call), "Send the key only in the header Authorization.")
            return


_RULES: tuple[Callable[[Call], Iterator[Verdict]], ...] = (
    _storm, _hasty, _useless, _gave_up, _left_open, _hung, _key_in_body,
)  # fmt: skip


def _at_once(exchanges: Sequence[Exchange], allowed: Mapping[str, int]) -> Iterator[Verdict]:
    for model, most in allowed.items():
        refused = sum(one.model == model and one.code == "1302" and one.fault is None for one in exchanges)
        if refused:
            evidence = f"{refused} requests for {model} came while {most} requests were running, which is the limit"
            yield Verdict(
                "too-many-at-once",
                evidence,
                "Queue calls: run at most as many at the same time as the account allows.",
            )


def _redirected(exchanges: Sequence[Exchange]) -> Iterator[Verdict]:
    for one in exchanges:
        if _elsewhere(one):
            what = f"with {one.size} bytes of body" if one.size else "without a body"
            yield Verdict(
                "followed-redirect",
                f"a redirected request went to another origin {what}",
                "Refuse redirects: they send data to another server.",
            )


def _same_id(calls: Sequence[Call]) -> Iterator[Verdict]:
    calls_by_id: dict[str, Call] = {}
    for call in calls:
        for identity in {one.request_id for one in call.attempts if one.request_id}:
            if identity in calls_by_id:
                evidence = f"two calls have the request_id {identity}; {call}"
                yield Verdict("reused-request-id", evidence, "Use a new request_id for each call.")
            calls_by_id[identity] = call


def _unseen(calls: Sequence[Call], errors: int) -> Iterator[Verdict]:
    """A verdict for each call that cannot have succeeded, except for the first ``errors`` of these calls: the
    application noticed that they failed."""
    lost = [call for call in calls if call.lost]
    # Every client notices an error status, so `errors` are first assigned to these calls.
    lost.sort(key=lambda call: (call.last.fault in UNFINISHED, call.last.status == 200))
    for call in lost[errors:]:
        if call.last.fault in UNFINISHED:
            yield Verdict(
                "trusted-truncated-stream", str(call), "A stream without a finish reason is not a complete answer."
            )
        elif call.last.status == 200:
            yield Verdict("swallowed-error", str(call), "Check whether a body with status 200 contains an error.")
        else:
            yield Verdict(
                "swallowed-error",
                str(call),
                "Report the error to the user. If you already do, pass the number of errors: report(errors=...).",
            )
