"""Many machines: Ray Data runs the workers, replaces those that die, and carries the rows (the extra `ray`).

    import glmv_batch.ray
    ds = ray.data.read_parquet("s3://lake/photos")                       # a column of paths, URLs, bytes or pictures
    ds = glmv_batch.ray.over(ds, "Describe it.", column="image", actors=4, slots=10)
    ds.write_parquet("s3://lake/answers")

One small actor, the coordinator, shares the account's slots out among the workers, and remembers the latest answers:
when a worker dies, Ray runs its unfinished tasks again, and what was answered in them already is not asked again.

Each worker waits by itself while the network or the server is away, as a job on one machine does, and logs a warning.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ray
import ray.data
from ray.exceptions import ActorDiedError, GetTimeoutError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import glmv
from glmv_batch._fields import free
from glmv_batch._items import Item, items
from glmv_batch._outage import Outage, is_platform
from glmv_batch._parquet import flat, table_columns
from glmv_batch._progress import Progress
from glmv_batch._question import Question, failed, json_schema_of
from glmv_batch._row import Row, plain

if TYPE_CHECKING:
    import pyarrow as pa

# Rows of one task: a worker that dies gives back no more than a few of these, and the driver keeps track of few rows.
ROWS_PER_TASK = 8
# Pictures that a worker has read beyond those it may send at once.
AHEAD = 2
# Answers that the coordinator remembers, a few kB each; tasks under way are far fewer rows.
REMEMBERED = 20_000
# Seconds between two questions for a share while all are held, and those that a holder has to show that it lives.
PAUSE, PATIENCE = 0.5, 2.0
# Seconds after which a worker asks for its share once more: asking twice gives the same.
UNHEARD = 30.0

Ask = Callable[[Item], Awaitable[Any]]
log = logging.getLogger("glmv_batch")
# What will be the same for every further row: they are not sent any more.
_FATAL = (glmv.AuthenticationError, glmv.PermissionDeniedError, glmv.QuotaError)


def over(
    dataset: Any,
    prompt: str | None = None,
    *,
    actors: int,
    slots: int | None = None,
    messages: Any = None,
    schema: Any = None,
    make: Callable[[int], Ask] | None = None,
    column: str | None = None,
    api_key: Callable[[], str] | None = None,
    rows_per_task: int | None = ROWS_PER_TASK,
    num_cpus: float = 0.5,
    **options: Any,
) -> Any:
    """A data set of pictures -> the same rows with what the model says of each; lazy, as everything in Ray Data.

    Args:
        dataset: a `ray.data.Dataset` with a column of pictures: paths that each worker can open, URLs, bytes, or
            arrays as `ray.data.read_images` makes them.
        prompt, messages, schema: as in `glmv_batch.Job`.
        actors: workers; they share the slots.
        slots: calls under way at once for the account and model; None is the model's documented number.
        make: instead of prompt or messages: called once in each worker with its share of the slots, returns an
            asynchronous function from `Item` to an answer (a text, a mapping, a pydantic object, a `Completion`).
        column: the column that holds the picture; None as in `glmv_batch.Job`.
        api_key: a function that returns the key, called in each worker; None reads the environment there.
        rows_per_task: rows that Ray hands to a worker at a time; None leaves the blocks as they are.
        num_cpus: what a worker asks of its machine.
        options: fields of `glmv.Settings`, such as model, temperature, base_url.

    Returns:
        The data set with the further columns `text`, those of the schema, `model`, `prompt_tokens`,
        `completion_tokens`, `cached_tokens`, `reasoning_tokens`, `attempts`, `seconds`, `error`, `error_class`,
        `code`, `retryable` and `notes`; one whose name is taken is called `answer_<name>`. A row that failed has its
        error there, and the job goes on.

    Raises:
        InvalidRequestError: an option is wrong, or there are more actors than slots.
        AuthenticationError: a worker would find no key.
    """
    if slots is None:
        slots = _documented(options.get("model"), options.get("base_model"))
    divided = shares(slots, actors)
    asked = {"prompt": prompt, "messages": messages, "schema": schema, "make": make}
    _question(api_key=api_key, **asked)
    glmv.AsyncClient(None, **options)  # refuses what is misspelt
    if not ray.is_initialized():
        ray.init()
    problem = ray.get(ray.remote(num_cpus=0)(_problem).remote(api_key, options))
    if problem is not None:
        raise problem
    # Where the driver is: without the driver there is no job, and nothing else can lose the coordinator.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    coordinator = ray.remote(_Coordinator).options(num_cpus=0, scheduling_strategy=here).remote(divided)
    if rows_per_task is not None:
        dataset = dataset.repartition(target_num_rows_per_block=rows_per_task)
    # So many tasks that each worker's share is busy while one of them ends.
    at_once = -(-max(divided) // (rows_per_task or ROWS_PER_TASK)) + 1
    return dataset.map_batches(
        Vision,
        fn_constructor_kwargs={**asked, "column": column, "share": coordinator, "api_key": api_key, **options},
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=num_cpus,
        max_concurrency=at_once,
        compute=ray.data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=at_once),
    )


def shares(slots: int, actors: int) -> list[int]:
    """Slots -> how many each actor may use; they add up to the slots, and differ by one at most.

    Raises:
        InvalidRequestError: there are more actors than slots.
    """
    if not 1 <= actors <= slots:
        raise glmv.InvalidRequestError(
            f"{slots} slots cannot be shared among {actors} actors: each needs one. "
            "Take fewer actors, or say slots=... if the account allows more calls at once."
        )
    each, more = divmod(slots, actors)
    return [each + (place < more) for place in range(actors)]


class Vision:
    """One worker: rows in, the same rows with their answers out. `over` starts it; `Dataset.map_batches` can, too.

        ds.map_batches(Vision, fn_constructor_kwargs={"prompt": "Describe it.", "share": 2}, batch_size=8,
                       batch_format="pyarrow", compute=ray.data.ActorPoolStrategy(size=5))

    Args:
        share: calls that this worker may have under way at once; the shares of all must add up to the account's slots.
        prompt, messages, schema, make, column, api_key, options: as in `over`.

    Raises:
        AuthenticationError: there is no key.
        InvalidRequestError: an option is wrong.
    """

    def __init__(
        self,
        prompt: str | None = None,
        *,
        share: Any,
        messages: Any = None,
        schema: Any = None,
        make: Callable[[int], Ask] | None = None,
        column: str | None = None,
        api_key: Callable[[], str] | None = None,
        **options: Any,
    ) -> None:
        self._question = _question(prompt=prompt, messages=messages, schema=schema, make=make, api_key=api_key)
        self._coordinator = None if isinstance(share, int) else share
        width = share if isinstance(share, int) else _share_of(share)
        self._client = glmv.AsyncClient(_key(api_key), **{**options, "max_concurrency": width})
        _ = self._client.address  # asks for the key
        self._make: Ask | None = None if make is None else make(width)
        self._column = column
        self._ready = asyncio.Semaphore(width + AHEAD)
        self._fatal: glmv.GLMVError | None = None
        self._progress, self._moved = Progress(), asyncio.Event()
        self._outage = Outage(self._progress, self._moved, known=is_platform(self._client.address.base_url))
        self._types, self._parsed = table_columns(json_schema_of(schema, "serialization"))

    async def __call__(self, table: pa.Table) -> AsyncIterator[pa.Table]:
        """A table -> the same with further columns, in the same order."""
        rows = await asyncio.to_thread(table.to_pylist)
        task = await asyncio.to_thread(_digest, table) if self._coordinator is not None else ""
        known = await self._known(task)
        told = await asyncio.gather(*(self._told(task, place, row, known.get(place)) for place, row in enumerate(rows)))
        yield await asyncio.to_thread(self._joined, table, told)

    async def _known(self, task: str) -> Mapping[int, Row]:
        """What was answered of this task by a worker that died."""
        if self._coordinator is None:
            return {}
        try:
            known: Mapping[int, Row] = await self._coordinator.known.remote(task)
        except RayActorError:  # without it the job goes on: each worker has its share
            return {}
        return known

    async def _told(self, task: str, place: int, columns: Mapping[str, Any], known: Row | None) -> Row:
        if known is not None:
            return known
        async with self._ready:
            row = await self._row(columns)
        if self._coordinator is not None and row.ok:
            self._coordinator.keep.remote(task, place, row)  # not waited for: a replacement takes seconds to start
        return row

    async def _row(self, columns: Mapping[str, Any]) -> Row:
        started = time.monotonic()
        item, row, name = Item(""), None, id(columns)
        while row is None:
            trying = await self._outage.turn(name, lambda: self._fatal is not None)
            if self._fatal is not None:
                row = replace(failed(item, self._fatal, 0.0), attempts=0)
                break
            try:
                item = _item(columns, self._column)
                answer = await self._ask(item, {"max_retries": 0} if trying else {})
                self._outage.heard(name)
                row = self._question.row_of(item, answer, time.monotonic() - started)
            except Exception as error:  # noqa: BLE001 - a row that fails is a row with an error, and the job goes on
                if not self._is_asked_again(error, name, trying=trying):
                    row = failed(item, error, time.monotonic() - started)
            finally:
                self._outage.let_go(trying=trying)
                self._moved.set()
                self._moved.clear()
        return replace(row, parsed=plain(row.parsed), columns={})

    def _is_asked_again(self, error: Exception, row: int, *, trying: bool) -> bool:
        """Whether a failure is the network's. What will be the same for all rows is kept for the others."""
        if isinstance(error, _FATAL):
            self._fatal = error
            return False
        try:
            again = self._outage.failed(error, row, trying=trying)
        except glmv.GLMVError as same_for_all:
            self._fatal = same_for_all
            return False
        if again and self._progress.waiting is not None:
            log.warning("%s", self._progress.waiting)
        return again

    async def _ask(self, item: Item, options: Mapping[str, Any]) -> Any:
        """Ask once. `options` are for the client; what `make` returned has its own."""
        if self._make is not None:
            return await self._make(item)
        messages = await asyncio.to_thread(self._question.messages_of, item)
        return await self._client.chat(messages, **{**self._question.options, **options})

    def _joined(self, table: pa.Table, rows: list[Row]) -> pa.Table:
        import pyarrow as pa

        facts = [flat(row, self._parsed) for row in rows]
        for field in self._types:
            if field.name != "key":  # the row itself says which it is
                name = free(field.name, "answer_", table.column_names)
                table = table.append_column(name, pa.array([fact.get(field.name) for fact in facts], field.type))
        return table


class _Coordinator:
    """Gives each worker its share, and remembers the latest answers. One actor for a job."""

    def __init__(self, divided: list[int]) -> None:
        self._free = divided
        self._held: dict[str, tuple[int, Any]] = {}
        self._answers: OrderedDict[str, dict[int, Row]] = OrderedDict()
        self._count = 0

    async def take(self, worker: str, handle: Any) -> int | None:
        """A share for a worker, None while the living hold all. A worker that Ray started again has its own still."""
        if worker not in self._held:
            if not self._free:
                await self._reclaim()
            if not self._free:
                return None
            self._held[worker] = self._free.pop(0), handle
        return self._held[worker][0]

    async def _reclaim(self) -> None:
        held = list(self._held.items())
        gone = await asyncio.gather(*(_is_dead(handle) for _, (_, handle) in held))
        for (worker, (share, _)), dead in zip(held, gone, strict=True):
            if dead and self._held.pop(worker, None) is not None:
                self._free.append(share)

    async def known(self, task: str) -> dict[int, Row]:
        """The answers to rows of a task, by their place in it."""
        return self._answers.get(task, {})

    async def keep(self, task: str, place: int, row: Row) -> None:
        """Remember an answer; the oldest are forgotten."""
        self._answers.setdefault(task, {})[place] = row
        self._count += 1
        while self._count > REMEMBERED:
            self._count -= len(self._answers.popitem(last=False)[1])


async def _is_dead(worker: Any) -> bool:
    """Whether an actor will never come back; one that is busy or being started again will."""
    try:
        await asyncio.wait_for(worker.__ray_ready__.remote(), PATIENCE)
    except ActorDiedError:
        return True
    except (RayError, TimeoutError):
        return False
    return False


def _share_of(coordinator: Any) -> int:
    """The share of the worker that this process is; waits while the living hold all."""
    me = ray.get_runtime_context()
    while True:
        try:
            share = ray.get(coordinator.take.remote(me.get_actor_id(), me.current_actor), timeout=UNHEARD)
        except GetTimeoutError:
            continue
        if share is not None:
            return int(share)
        time.sleep(PAUSE)


def _problem(api_key: Callable[[], str] | None, options: Mapping[str, Any]) -> glmv.GLMVError | None:
    """Why a worker could not ask, if so. Runs where workers run, with their environment."""
    try:
        _ = glmv.AsyncClient(_key(api_key), **options).address
    except glmv.GLMVError as problem:
        return problem
    return None


def _key(api_key: Callable[[], str] | None) -> str | None:
    if api_key is None:
        return None
    if key := api_key():
        return key
    raise glmv.AuthenticationError("No API key: api_key() returned nothing in the worker.")


def _question(*, prompt: Any, messages: Any, schema: Any, make: Any, api_key: Any) -> Question:
    if api_key is not None and not callable(api_key):
        raise glmv.InvalidRequestError(
            "api_key is a function here, called in each worker: a key itself would travel with the tasks. "
            "Or set ZHIPUAI_API_KEY or ZAI_API_KEY where the workers run."
        )
    if make is not None:
        if prompt is not None or messages is not None:
            raise glmv.InvalidRequestError("Say prompt=..., messages=... or make=..., and one of them only.")
        prompt = ""  # it is not asked: what `make` returns asks
    return Question(prompt, messages=messages, schema=schema)


def _documented(model: str | None, base_model: str | None) -> int:
    name = model or glmv.Settings().model
    row = glmv.find_model(base_model or name)
    if row is None or row.concurrency is None:
        raise glmv.InvalidRequestError(f"How many calls at once the account has for {name} is not known: say slots=...")
    return row.concurrency


def _item(columns: Mapping[str, Any], column: str | None) -> Item:
    """A row -> what is asked about. Arrays, as `ray.data.read_images` makes them, become pictures."""
    pictures = {name: _picture(value) for name, value in columns.items() if hasattr(value, "__array_interface__")}
    return next(items([{**columns, **pictures}], column))


def _picture(array: Any) -> Any:
    from PIL import Image

    return Image.fromarray(array) if array.ndim in (2, 3) else None


def _digest(table: pa.Table) -> str:
    """What a task is known by: the same rows have the same, in whatever worker."""
    import pyarrow as pa

    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return hashlib.sha256(out.getvalue()).hexdigest()
