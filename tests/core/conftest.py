"""The flow of a call without a network: a script gives the responses, and the test moves the clock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from glmv import Completion, Delta, GLMVError
from glmv.exchange.flow import exchange
from glmv.exchange.retry import Policy, RetryBudget
from glmv.exchange.steps import Drop, Enter, Failure, Finish, Hand, Opened, Pause, Read, Send
from glmv.request.prepare import Call, Reading

Piece = bytes | Failure | float  # bytes that come, what breaks, or seconds that pass
EVENT_STREAM = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json; charset=UTF-8"}

READING = Reading._fields


@dataclass
class Answer:
    """A scripted response: status, headers, and pieces of the body."""

    pieces: list[Piece]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def streamed(*chunks: object, done: bool = True, headers: Mapping[str, str] = EVENT_STREAM) -> Answer:
    """A scripted response that streams these chunks: dicts, or bytes, failures and seconds as in `Answer.pieces`."""
    pieces: list[Piece] = [chunk if isinstance(chunk, bytes | Failure | float) else event(chunk) for chunk in chunks]
    return Answer([*pieces, b"data: [DONE]\n\n"] if done else pieces, 200, headers)


def event(payload: object) -> bytes:
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


def body(payload: object, status: int = 200, **headers: str) -> Answer:
    """A scripted response with this JSON body."""
    return Answer([json.dumps(payload).encode()], status, {**JSON, **headers})


def piece(content: str | None = None, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of the platform's shape."""
    delta = {"role": "assistant"} | ({} if content is None else {"content": content}) | more.pop("delta", {})
    choice: dict[str, Any] = {"index": 0, "delta": delta}
    if finish_reason is not None:
        choice["finish_reason"] = finish_reason
    return {
        "id": "8305986882425703351",
        "created": 1705476637,
        "model": "glm-4.6v",
        "choices": [choice],
    } | more


USAGE = {"prompt_tokens": 1037, "completion_tokens": 37, "total_tokens": 1074}


def whole(content: object = "hello", finish_reason: str = "stop", **more: Any) -> dict[str, Any]:
    """An unstreamed answer of the platform's shape."""
    message = {"role": "assistant", "content": content} | more.pop("message", {})
    choices = [{"index": 0, "finish_reason": finish_reason, "message": message}]
    return {"id": "8305986882425703351", "created": 1705476637, "model": "glm-4.6v", "choices": choices,
            "usage": USAGE} | more  # fmt: skip


@dataclass
class Outcome:
    """The outcome of a call."""

    deltas: list[Delta] = field(default_factory=list)
    answer: Completion | None = None
    error: GLMVError | None = None
    sent: list[Any] = field(default_factory=list)  # the request bodies
    steps: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    drops: list[bool] = field(default_factory=list)

    @property
    def whole(self) -> Completion:
        """The answer; the test fails if the call raised an error."""
        assert self.error is None, self.error
        assert self.answer is not None
        return self.answer

    @property
    def failure(self) -> GLMVError:
        """The error; the test fails if the call raised none."""
        assert self.error is not None, self.answer
        return self.error

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)


class Flow:
    """Runs `exchange` with scripted responses."""

    Failure = Failure
    Answer = Answer
    streamed = staticmethod(streamed)
    event = staticmethod(event)
    body = staticmethod(body)
    piece = staticmethod(piece)
    whole = staticmethod(whole)
    USAGE = USAGE

    def __init__(self) -> None:
        self.now = 1000.0
        self.wall = 1_800_000_000.0
        self.chance = 1.0
        self.renewed = 0
        self.budget = RetryBudget()

    def policy(self, **options: Any) -> Policy:
        return Policy(
            budget=self.budget,
            clock=lambda: self.now,
            wall=lambda: self.wall + self.now,
            chance=lambda: self.chance,
            **options,
        )

    def renew(self) -> bool:
        self.renewed += 1
        return True

    def run(
        self, *answers: Answer | Failure, stream: bool = True, policy: Policy | None = None, **call: Any
    ) -> Outcome:
        """Run a call that gets these responses, in order; the test fails if it needs more or fewer of them."""
        outcome = Outcome()
        reading = Reading(**{name: call.pop(name) for name in READING if name in call})
        policy = replace(policy or self.policy(), renew=call.pop("renew", lambda: False))
        request = Call("POST", "/chat/completions", lambda request_id: request_id, reading=reading, **call)
        flow = exchange(request, policy, stream=stream)
        script = list(answers)
        pieces: list[Piece] = []
        result: Any = None
        try:
            step = next(flow)
            while True:
                outcome.steps.append(type(step).__name__)
                problem = None
                result = None
                match step:
                    case Enter() | Finish():
                        pass
                    case Send():
                        outcome.sent.append(step.body)
                        answer = script.pop(0)
                        if isinstance(answer, Failure):
                            problem = answer
                        else:
                            pieces = list(answer.pieces)
                            result = Opened(answer.status, answer.headers)
                    case Read():
                        result, problem = self._read(step, pieces)
                    case Hand():
                        outcome.deltas += step
                    case Drop():
                        outcome.drops.append(step.busy is not None)
                    case Pause():
                        outcome.pauses.append(step.seconds)
                        self.now += step.seconds
                step = flow.throw(problem) if problem else flow.send(result)
        except StopIteration as end:
            outcome.answer = end.value
        except GLMVError as error:
            outcome.error = error
        assert script == [], "the call did not need all responses"
        return outcome

    def _read(self, step: Read, pieces: list[Piece]) -> tuple[bytes, Failure | None]:
        while pieces and isinstance(pieces[0], float):
            self.now += float(pieces.pop(0))  # type: ignore[arg-type]  # it is one
            if step.until is not None and self.now >= step.until:
                self.now = step.until
                return b"", Failure("read_timeout", "Nothing came in time.")
        match pieces.pop(0) if pieces else b"":
            case Failure() as failure:
                return b"", failure
            case bytes() as data:
                return data, None
            case other:
                raise TypeError(other)

    def decode(self, chunks: Iterable[object], **call: Any) -> Outcome:
        """Run a call whose response streams these chunks to the end."""
        return self.run(streamed(*chunks), **call)


@pytest.fixture
def flow() -> Flow:
    return Flow()
