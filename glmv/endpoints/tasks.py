"""Asynchronous calls: hand a request in, come back for the answer.

Source: docs.bigmodel.cn, "对话补全(异步)" and "查询异步结果" (paths, `task_status`: PROCESSING, SUCCESS or FAIL).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Unpack, cast

from glmv._public import public_class
from glmv.endpoints.context import AsyncEndpoint, Context, Endpoint, T, awaiting, blocking, quoted
from glmv.errors import ContentFilterError, DeadlineExceeded, GLMVError, MalformedResponse, ServerError
from glmv.exchange.flow import fetch
from glmv.exchange.steps import Pause, Step
from glmv.keywords import CallKeywords, shows
from glmv.options import ChatRequest
from glmv.request.messages import Messages
from glmv.request.prepare import Reading
from glmv.structured.plan import first_turn
from glmv.types import Completion
from glmv.wire.codes import WITHDRAWN, reason_of

# Seconds between two questions: the first pause, what each is longer than the one before, and the longest.
FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 1.0, 1.5, 10.0
# No document says how long a task may take; whoever knows better gives `deadline`.
PATIENCE = 3600.0


@public_class
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
    _reading: Reading = field(default_factory=Reading, repr=False)

    @property
    def done(self) -> bool:
        """Whether the answer is here."""
        return self.completion is not None


def asked(
    context: Context, messages: Messages, model: str | None, options: dict[str, Any]
) -> Generator[Step, Any, Task]:
    """Hand messages in; returns the task."""
    return (yield from submit(context, (yield from context.converted(messages, model, options))))


def submit(context: Context, request: ChatRequest) -> Generator[Step, Any, Task]:
    """Hand a request in; returns the task."""
    call, policy = yield from context.prepared(once(request, context))
    payload = yield from fetch(call._replace(path="/async/chat/completions"), policy)
    return _task(payload, Task("", "", notes=call.reading.notes, _asked=request.model, _reading=call.reading))


def once(request: ChatRequest, context: Context) -> ChatRequest:
    """A request that has one turn: what the platform has no field for is asked in words, and not checked.

    Raises:
        InvalidRequestError: as `first_turn`.
    """
    asked = first_turn(request, context.address.dialect)
    if asked.messages == request.messages:
        return asked
    told = "JSON or a tool call was asked for in words; there is no second turn here, so the answer is not checked."
    return asked.but(notes=(*asked.notes, told))


def result(context: Context, /, task: str | Task, *, deadline: float | None = None) -> Generator[Step, Any, Task]:
    """How a task stands: with its `completion` when it is done.

    Args:
        task: what `submit` returned, or its id.
        deadline: seconds, when shorter than the client's own.

    Raises:
        GLMVError: when the task failed, of the class of the code that the platform gave; ServerError without one.
    """
    known = task if isinstance(task, Task) else Task(task, "")
    path = f"/async-result/{quoted('task', known.id)}"
    try:
        payload = yield from context.fetch("GET", path, deadline=deadline)
    except ContentFilterError as error:
        if (kept := withdrawn(error, context)) is None:
            raise
        return replace(known, status="FAIL", completion=replace(kept, notes=known.notes))
    found = _task(payload, known)
    match found.status:
        case "FAIL":
            failed = ServerError(f"Task {found.id} failed; the platform says no more.")
            raise failed.fill(request_id=found.request_id)
        case "SUCCESS":
            return _answered(found, context)
        case _:
            return found


def wait(context: Context, /, task: str | Task, *, deadline: float | None = None) -> Generator[Step, Any, Task]:
    """Ask with growing pauses until the answer is there.

    Args:
        task: what `submit` returned, or its id.
        deadline: seconds; None is an hour.

    Raises:
        DeadlineExceeded: when the answer is not there in time; the task goes on.
        GLMVError: when the task failed; the class says why.
    """
    name = task.id if isinstance(task, Task) else task
    return (
        yield from waited(
            lambda left: result(context, task, deadline=left),
            lambda found: found.done,
            pauses(FIRST_PAUSE, LONGEST_PAUSE),
            deadline or PATIENCE,
            context.clock,
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


def _answered(task: Task, context: Context) -> Task:
    notes, answered = task.notes, task.model or ""
    if task._asked and answered.lower() != task._asked.lower():  # noqa: SLF001 - a field of this module's class
        notes += (f"model: {task._asked} was asked for and {answered} answered.",)  # noqa: SLF001 - see above
    reading = task._reading._replace(notes=notes)  # noqa: SLF001 - see above
    return replace(task, completion=context.answer(dict(task.raw), reading))


def withdrawn(error: GLMVError, context: Context) -> Completion | None:
    """The answer that stands for unsafe content (1301) where the app judges that itself; None where it is an error."""
    if error.code not in WITHDRAWN or context.settings.on_sensitive == "raise":
        return None
    return Completion(
        finish_reason=reason_of(error.code),
        content_filter=error.content_filter,
        request_id=error.request_id,
        attempts=error.attempts,
    )


class Tasks(Endpoint):
    """Asynchronous calls of one client: `glm.tasks`."""

    @shows(CallKeywords)
    def submit(self, messages: Messages, *, model: str | None = None, **options: Unpack[CallKeywords]) -> Task:
        """Hand a request in and do not wait for its answer; arguments and errors as `Client.chat`."""
        return self._run(asked(self._context(), messages, model, cast("dict[str, Any]", options)))

    result = blocking(result)
    wait = blocking(wait)


class AsyncTasks(AsyncEndpoint):
    """Asynchronous calls of one client: `glm.tasks`, with `await`."""

    @shows(CallKeywords)
    async def submit(self, messages: Messages, *, model: str | None = None, **options: Unpack[CallKeywords]) -> Task:
        """As `Tasks.submit`."""
        return await self._run(asked(self._context(), messages, model, cast("dict[str, Any]", options)))

    result = awaiting(result)
    wait = awaiting(wait)
