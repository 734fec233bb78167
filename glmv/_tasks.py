"""Asynchronous calls: hand a request in, come back for the answer.

Source: docs.bigmodel.cn, "对话补全(异步)" and "查询异步结果" (paths, `task_status`: PROCESSING, SUCCESS or FAIL).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from glmv import _strategy
from glmv._endpoint import AsyncRun, Desk, Run, T, quoted
from glmv._errors import ContentFilterError, DeadlineExceeded, GLMVError, MalformedResponse, ServerError
from glmv._flow import WITHDRAWN, Call, Pause, Step, answer_of, fetch
from glmv._messages import Messages
from glmv._prepare import chat_call
from glmv._request import ChatRequest
from glmv._types import Completion

# Seconds between two questions: the first pause, what each is longer than the one before, and the longest.
FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 1.0, 1.5, 10.0
# No document says how long a task may take; whoever knows better gives `deadline`.
PATIENCE = 3600.0


@dataclass(frozen=True, slots=True)
class Task:
    """A request that was handed in.

    Attributes:
        id: what `result` and `wait` take.
        status: "PROCESSING", "SUCCESS", or what the platform says.
        request_id, model: as the platform sent them. The endpoint swaps models (glm-4.6 was seen to become
            glm-4.7): `completion.model` says which one answered.
        completion: the answer, once the status is "SUCCESS".
        notes: what was changed on the way in, one line each.
        raw: the body as it came.
    """

    id: str
    status: str
    request_id: str | None = None
    model: str | None = None
    completion: Completion | None = None
    notes: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _asked: str | None = field(default=None, repr=False)
    _cut: tuple[str, ...] = field(default=(), repr=False)
    _sizes: tuple[tuple[int, int] | None, ...] = field(default=(), repr=False)
    _boxes_of: int | None = field(default=None, repr=False)

    @property
    def done(self) -> bool:
        """Whether the answer is here."""
        return self.completion is not None


def submit(desk: Desk, request: ChatRequest) -> Generator[Step, Any, Task]:
    """Hand a request in; returns the task."""
    asked = once(request, desk)
    call = chat_call(asked, desk.settings, desk.place, desk.budget, stream=False)
    call.path = "/async/chat/completions"
    payload = yield from fetch(call)
    kept = Task("", "", notes=call.notes, _asked=request.model, _cut=call.cut, _sizes=call.sizes)
    return _task(payload, replace(kept, _boxes_of=call.boxes_of))


def once(request: ChatRequest, desk: Desk) -> ChatRequest:
    """A request that has one turn: what the platform has no field for is asked in words, and not checked.

    Raises:
        InvalidRequestError: as `_strategy.plan`.
    """
    asked = _strategy.plan(request, desk.place.dialect).request
    if asked.messages == request.messages:
        return asked
    told = "JSON or a tool call was asked for in words; there is no second turn here, so the answer is not checked."
    return asked.but(notes=(*asked.notes, told))


def result(desk: Desk, task: str | Task, deadline: float | None = None) -> Generator[Step, Any, Task]:
    """Ask once; returns the task as it stands.

    Raises:
        GLMVError: when the task failed, of the class of the code that the platform gave; ServerError without one.
    """
    known = task if isinstance(task, Task) else Task(task, "")
    path = f"/async-result/{quoted('task', known.id)}"
    try:
        payload = yield from fetch(desk.call("GET", path, deadline=deadline))
    except ContentFilterError as error:
        if (kept := withdrawn(error, desk)) is None:
            raise
        return replace(known, status="FAIL", completion=replace(kept, notes=known.notes))
    found = _task(payload, known)
    match found.status:
        case "FAIL":
            failed = ServerError(f"Task {found.id} failed; the platform says no more.")
            raise failed.fill(request_id=found.request_id)
        case "SUCCESS":
            return _answered(found, desk.call("GET", path))
        case _:
            return found


def wait(desk: Desk, task: str | Task, deadline: float | None) -> Generator[Step, Any, Task]:
    """Ask until there is an answer.

    Raises:
        DeadlineExceeded: when there is none in time; the task goes on.
    """
    name = task.id if isinstance(task, Task) else task
    return (
        yield from waited(
            lambda left: result(desk, task, left),
            lambda found: found.done,
            pauses(FIRST_PAUSE, LONGEST_PAUSE),
            deadline or PATIENCE,
            desk.clock,
            f"Task {name} has no answer",
        )
    )


def waited(
    look: Callable[[float | None], Generator[Step, Any, T]],
    done: Callable[[T], bool],
    between: Iterator[float],
    patience: float | None,
    clock: Callable[[], float],
    what: str,
) -> Generator[Step, Any, T]:
    """Look again and again, until it is done or the patience (seconds) ends."""
    until = None if patience is None else clock() + patience
    for pause in between:
        found = yield from look(None if until is None else max(until - clock(), 0.001))
        if done(found):
            return found
        if until is not None and clock() + pause >= until:
            raise DeadlineExceeded(f"{what} after {patience:g} s. It goes on: ask again later.", retryable=True)
        yield Pause(pause)
    raise AssertionError("pauses end")


def pauses(first: float, longest: float) -> Iterator[float]:
    """Growing pauses without end."""
    while True:
        yield first
        first = min(first * GROWTH, longest)


def _task(payload: Mapping[str, Any], known: Task) -> Task:
    name = payload.get("id") or known.id
    if not name:
        raise MalformedResponse(f"The answer to a task holds no id; it has {sorted(payload)}.")
    return replace(
        known,
        id=str(name),
        status=str(payload.get("task_status") or ("SUCCESS" if payload.get("choices") else "PROCESSING")).upper(),
        request_id=str(payload["request_id"]) if payload.get("request_id") else known.request_id,
        model=str(payload["model"]) if payload.get("model") else known.model,
        raw=payload,
    )


def _answered(task: Task, call: Call) -> Task:
    call.cut, call.notes = task._cut, task.notes  # noqa: SLF001 - made in this file
    call.sizes, call.boxes_of = task._sizes, task._boxes_of  # noqa: SLF001 - see above
    answered = task.model or ""
    if task._asked and answered.lower() != task._asked.lower():  # noqa: SLF001 - see above
        call.notes += (f"model: {task._asked} was asked for and {answered} answered.",)  # noqa: SLF001 - see above
    return replace(task, completion=answer_of(call, dict(task.raw)))


def withdrawn(error: GLMVError, desk: Desk) -> Completion | None:
    """The answer that stands for unsafe content (1301) where the app judges that itself; None where it is an error."""
    if error.code != WITHDRAWN or desk.settings.on_sensitive == "raise":
        return None
    return Completion(
        finish_reason="sensitive",
        content_filter=error.content_filter,
        request_id=error.request_id,
        attempts=error.attempts,
    )


class Tasks:
    """Asynchronous calls of one client: `glm.tasks`."""

    def __init__(self, desk: Callable[[], Desk], run: Run) -> None:
        self._desk = desk
        self._run = run

    def submit(self, messages: Messages, *, model: str | None = None, **options: Any) -> Task:
        """Hand a request in and do not wait for its answer; arguments and errors as `Client.chat`."""
        desk = self._desk()
        request = desk.request(messages, model, options)
        return self._run(submit(desk, request), request.model, request.call.get("timeout"))

    def result(self, task: str | Task) -> Task:
        """How a task stands: with its `completion` when it is done.

        Raises:
            GLMVError: when the task failed; the class says why.
        """
        return self._run(result(self._desk(), task))

    def wait(self, task: str | Task, *, deadline: float | None = None) -> Task:
        """Ask with growing pauses until the answer is there.

        Args:
            task: what `submit` returned, or its id.
            deadline: seconds; None is an hour.

        Raises:
            DeadlineExceeded: when the answer is not there in time; the task goes on.
            GLMVError: when the task failed; the class says why.
        """
        return self._run(wait(self._desk(), task, deadline))


class AsyncTasks:
    """Asynchronous calls of one client: `glm.tasks`, with `await`."""

    def __init__(self, desk: Callable[[], Desk], run: AsyncRun) -> None:
        self._desk = desk
        self._run = run

    async def submit(self, messages: Messages, *, model: str | None = None, **options: Any) -> Task:
        """As `Tasks.submit`."""
        desk = self._desk()
        request = desk.request(messages, model, options)
        return await self._run(submit(desk, request), request.model, request.call.get("timeout"))

    async def result(self, task: str | Task) -> Task:
        """As `Tasks.result`."""
        return await self._run(result(self._desk(), task))

    async def wait(self, task: str | Task, *, deadline: float | None = None) -> Task:
        """As `Tasks.wait`."""
        return await self._run(wait(self._desk(), task, deadline))
