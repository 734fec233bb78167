"""Asynchronous calls: submit a request and fetch the answer later.

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

# Seconds between two requests for the status: the first pause, the factor between two pauses, and the longest pause.
FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 1.0, 1.5, 10.0
# No document says how long a task may take: this is the default of `deadline`, in seconds.
PATIENCE = 3600.0


@public_class
@dataclass(frozen=True, slots=True)
class Task:
    """A submitted request.

    Attributes:
        id: the id for `result` and `wait`.
        status: "PROCESSING", "SUCCESS", or another value that the platform sent.
        request_id, model: as the platform sent them. The platform may answer with another model than the requested one
            (it once used glm-4.7 for glm-4.6): `completion.model` is the model that answered.
        completion: the answer when the status is "SUCCESS". With `on_sensitive="return"` a task that failed because of
            flagged content has an empty answer.
        notes: what the client changed in the request, one line each.
        raw: the JSON object as received.
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
        """Whether the task has its answer."""
        return self.completion is not None


def asked(
    context: Context, messages: Messages, model: str | None, options: dict[str, Any]
) -> Generator[Step, Any, Task]:
    """Submit messages; returns the task."""
    return (yield from submit(context, (yield from context.converted(messages, model, options))))


def submit(context: Context, request: ChatRequest) -> Generator[Step, Any, Task]:
    """Submit a request; returns the task."""
    call, policy = yield from context.prepared(once(request, context))
    payload = yield from fetch(call._replace(path="/async/chat/completions"), policy)
    return _task(payload, Task("", "", notes=call.reading.notes, _asked=request.model, _reading=call.reading))


def once(request: ChatRequest, context: Context) -> ChatRequest:
    """Prepares a request for a task or a batch, where the model is not asked again and the answer is not checked.

    If the server has no field for JSON or for a tool call, the prompt asks for it, and a note says that the answer is
    not checked.

    Raises:
        InvalidRequestError: as `first_turn` raises it.
    """
    prepared = first_turn(request, context.address.dialect)
    if prepared.messages == request.messages:
        return prepared
    note = "The prompt asks for JSON or a tool call. Answers of tasks and batches are not checked for that."
    return prepared.but(notes=(*prepared.notes, note))


def result(context: Context, /, task: str | Task, *, deadline: float | None = None) -> Generator[Step, Any, Task]:
    """The current state of a task, with its `completion` when it is done.

    Args:
        task: the task that `submit` returned, or its id.
        deadline: seconds. The client's deadline applies, too.

    Raises:
        GLMVError: the task failed. The class depends on the platform's error code; without a code it is ServerError.
    """
    before = task if isinstance(task, Task) else Task(task, "")
    path = f"/async-result/{quoted('task', before.id)}"
    try:
        payload = yield from context.fetch("GET", path, deadline=deadline)
    except ContentFilterError as error:
        if (completion := withdrawn(error, context)) is None:
            raise
        return replace(before, status="FAIL", completion=replace(completion, notes=before.notes))
    current = _task(payload, before)
    match current.status:
        case "FAIL":
            failed = ServerError(f"Task {current.id} failed; the platform gave no reason.")
            raise failed.fill(request_id=current.request_id)
        case "SUCCESS":
            return _answered(current, context)
        case _:
            return current


def wait(context: Context, /, task: str | Task, *, deadline: float | None = None) -> Generator[Step, Any, Task]:
    """Wait until a task is done, with growing pauses between the requests for its state.

    Args:
        task: the task that `submit` returned, or its id.
        deadline: seconds; None means an hour.

    Raises:
        DeadlineExceeded: the task is not done in time; it continues on the platform.
        GLMVError: the task failed; the class says why.
    """
    name = task.id if isinstance(task, Task) else task
    return (
        yield from waited(
            lambda left: result(context, task, deadline=left),
            lambda current: current.done,
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
    longest: float | None,
    clock: Callable[[], float],
    what: str,
) -> Generator[Step, Any, T]:
    """Call `look` until `done` accepts its result.

    Args:
        look: gets the result. Its argument is the number of seconds that are left, or None for no limit.
        done: whether a result is final.
        between: seconds of each pause.
        longest: the most seconds to wait; None means no limit.
        clock: returns monotonic seconds.
        what: the beginning of the message of `DeadlineExceeded`.

    Raises:
        DeadlineExceeded: the next pause would end after `longest` seconds.
    """
    until = None if longest is None else clock() + longest
    for pause in between:
        state = yield from look(None if until is None else max(until - clock(), 0.001))
        if done(state):
            return state
        if until is not None and clock() + pause >= until:
            raise DeadlineExceeded(f"{what} after {longest:g} s. It is still running: ask again later.", retryable=True)
        yield Pause(pause)
    raise AssertionError("pauses end")


def pauses(first: float, longest: float) -> Iterator[float]:
    """An endless series of growing pauses, in seconds."""
    while True:
        yield first
        first = min(first * GROWTH, longest)


def _task(payload: Mapping[str, Any], before: Task) -> Task:
    name = payload.get("id") or before.id
    if not name:
        raise MalformedResponse(f"The response about a task has no id; its fields are {sorted(payload)}.")
    return replace(
        before,
        id=str(name),
        status=str(payload.get("task_status") or ("SUCCESS" if payload.get("choices") else "PROCESSING")).upper(),
        request_id=str(payload["request_id"]) if payload.get("request_id") else before.request_id,
        model=str(payload["model"]) if payload.get("model") else before.model,
        raw=payload,
    )


def _answered(task: Task, context: Context) -> Task:
    notes, model = task.notes, task.model or ""
    if task._asked and model.lower() != task._asked.lower():  # noqa: SLF001 - a field of this module's class
        notes += (f"model: the request was for {task._asked}; {model} answered.",)  # noqa: SLF001 - see above
    reading = task._reading._replace(notes=notes)  # noqa: SLF001 - see above
    return replace(task, completion=context.answer(dict(task.raw), reading))


def withdrawn(error: GLMVError, context: Context) -> Completion | None:
    """An empty answer if the error reports flagged content and `on_sensitive` is "return"; otherwise None."""
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
        """Submit a request without waiting for its answer. Arguments and errors are those of `Client.chat`."""
        return self._run(asked(self._context(), messages, model, cast("dict[str, Any]", options)))

    result = blocking(result)
    wait = blocking(wait)


class AsyncTasks(AsyncEndpoint):
    """`glm.tasks` of an asynchronous client: the methods of `Tasks`, with `await`."""

    @shows(CallKeywords)
    async def submit(self, messages: Messages, *, model: str | None = None, **options: Unpack[CallKeywords]) -> Task:
        """The asynchronous form of `Tasks.submit`."""
        return await self._run(asked(self._context(), messages, model, cast("dict[str, Any]", options)))

    result = awaiting(result)
    wait = awaiting(wait)
