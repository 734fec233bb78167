"""Jobs on many machines: Ray Data starts the workers, replaces dead ones and moves the rows (needs the extra `ray`).

    import glmv_batch.ray
    ds = ray.data.read_parquet("s3://lake/photos")                       # a column of paths, URLs, bytes or pictures
    ds = glmv_batch.ray.over(ds, "Describe it.", column="image", actors=4, slots=10)
    ds.write_parquet("s3://lake/answers")

One small actor, the coordinator, divides the account's slots among the workers and stores the latest answers. When a
worker dies, Ray runs its unfinished tasks again, and rows that were already answered are not sent again.

During an outage of the network or the server, each worker waits, as a job on one machine does, and logs a warning.
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

import glmv

try:
    import ray
    import ray.data
    from ray.exceptions import ActorDiedError, GetTimeoutError, RayActorError, RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as missing:
    raise glmv.why_not_imported(missing, "glmv_batch.ray", "ray", "2.44", "ray") from None

from glmv_batch._fields import free
from glmv_batch._items import Item, items
from glmv_batch._outage import Outage, is_platform
from glmv_batch._parquet import flat, table_columns
from glmv_batch._progress import Progress
from glmv_batch._question import Question, failed, json_schema_of
from glmv_batch._row import Row, plain

if TYPE_CHECKING:
    import pyarrow as pa

# Rows of one task. When a worker dies, only a few tasks run again; more rows in a task mean fewer tasks for the driver.
ROWS_PER_TASK = 8
# Pictures that a worker reads beyond the number of its concurrent calls.
AHEAD = 2
# Answers that the coordinator stores, a few kB each; running tasks have far fewer rows.
REMEMBERED = 20_000
# Seconds between two requests for a share while none is free, and seconds in which a worker must show that it is alive.
PAUSE, PATIENCE = 0.5, 2.0
# Seconds after which a worker requests its share again; a repeated request returns the same share.
UNHEARD = 30.0

Ask = Callable[[Item], Awaitable[Any]]
log = logging.getLogger("glmv_batch")
# Errors that every further row would get, so no more rows are sent.
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
    """Add the model's answers to the rows of a data set of pictures. Lazy, like everything in Ray Data.

    Args:
        dataset: a `ray.data.Dataset` with a column of pictures: paths that each worker can open, URLs, bytes, or
            arrays as `ray.data.read_images` makes them.
        prompt, messages, schema: as for `glmv_batch.Job`.
        actors: number of workers; they share the slots.
        slots: number of concurrent calls for the account and model; None means the model's documented number.
        make: instead of prompt or messages: a function that is called once in each worker, with the worker's number of
            slots. It returns an asynchronous function from `Item` to an answer (a text, a mapping, a pydantic object,
            a `Completion`).
        column: the column with the picture; None has the same meaning as for `glmv_batch.Job`.
        api_key: a function that returns the key, called in each worker; None means the key in the worker's environment.
        rows_per_task: rows that Ray passes to a worker at a time; None leaves the blocks unchanged.
        num_cpus: CPUs that Ray reserves for a worker.
        options: fields of `glmv.Settings`, such as model, temperature, base_url.

    Returns:
        The data set with the further columns `text`, the schema's columns, `model`, `prompt_tokens`,
        `completion_tokens`, `cached_tokens`, `reasoning_tokens`, `attempts`, `seconds`, `error`, `error_class`,
        `code`, `retryable` and `notes`; if the data set already has such a name, the column is `answer_<name>`. A row
        that fails has its error in these columns, and the job continues.

    Raises:
        InvalidRequestError: an option is wrong, or there are more actors than slots.
        AuthenticationError: the workers have no key.
    """
    if slots is None:
        slots = _documented(options.get("model"), options.get("base_model"))
    divided_slots = shares(slots, actors)
    question = {"prompt": prompt, "messages": messages, "schema": schema, "make": make}
    _question(api_key=api_key, **question)
    glmv.AsyncClient(None, **options)  # raises for a misspelt option
    if not ray.is_initialized():
        ray.init()
    problem = ray.get(ray.remote(num_cpus=0)(_problem).remote(api_key, options))
    if problem is not None:
        raise problem
    # On the driver's machine: the job ends with the driver anyway, and no other machine can take the coordinator down.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    coordinator = ray.remote(_Coordinator).options(num_cpus=0, scheduling_strategy=here).remote(divided_slots)
    if rows_per_task is not None:
        dataset = dataset.repartition(target_num_rows_per_block=rows_per_task)
    # Enough tasks for each worker to use its whole share while one of them ends.
    at_once = -(-max(divided_slots) // (rows_per_task or ROWS_PER_TASK)) + 1
    return dataset.map_batches(
        Vision,
        fn_constructor_kwargs={**question, "column": column, "share": coordinator, "api_key": api_key, **options},
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=num_cpus,
        max_concurrency=at_once,
        compute=ray.data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=at_once),
    )


def shares(slots: int, actors: int) -> list[int]:
    """The number of slots for each actor. The numbers add up to `slots`, and differ by at most one.

    Raises:
        InvalidRequestError: there are more actors than slots.
    """
    if not 1 <= actors <= slots:
        raise glmv.InvalidRequestError(
            f"{slots} slots cannot be shared among {actors} actors: each actor needs one. "
            "Use fewer actors, or set slots=... if the account allows more concurrent calls."
        )
    each, more = divmod(slots, actors)
    return [each + (place < more) for place in range(actors)]


class Vision:
    """A worker, which adds answers to the rows it is given. Started by `over` or by `Dataset.map_batches`.

        ds.map_batches(Vision, fn_constructor_kwargs={"prompt": "Describe it.", "share": 2}, batch_size=8,
                       batch_format="pyarrow", compute=ray.data.ActorPoolStrategy(size=5))

    Args:
        share: number of concurrent calls of this worker; the shares of all workers must add up to the account's slots.
        prompt, messages, schema, make, column, api_key, options: as for `over`.

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
        _ = self._client.address  # raises if there is no key
        self._make: Ask | None = None if make is None else make(width)
        self._column = column
        self._ready = asyncio.Semaphore(width + AHEAD)
        self._fatal: glmv.GLMVError | None = None
        self._progress, self._moved = Progress(), asyncio.Event()
        self._outage = Outage(self._progress, self._moved, known=is_platform(self._client.address.base_url))
        self._types, self._parsed = table_columns(json_schema_of(schema, "serialization"))

    async def __call__(self, table: pa.Table) -> AsyncIterator[pa.Table]:
        """Yield the table's rows in the same order, with the columns of the answers."""
        rows = await asyncio.to_thread(table.to_pylist)
        task = await asyncio.to_thread(_digest, table) if self._coordinator is not None else ""
        stored = await self._stored_answers(task)
        results = await asyncio.gather(
            *(self._answer(task, place, row, stored.get(place)) for place, row in enumerate(rows))
        )
        yield await asyncio.to_thread(self._with_answers, table, results)

    async def _stored_answers(self, task: str) -> Mapping[int, Row]:
        """The answers that a dead worker already had for this task."""
        if self._coordinator is None:
            return {}
        try:
            stored: Mapping[int, Row] = await self._coordinator.answers.remote(task)
        except RayActorError:  # without the coordinator the job continues: each worker has its share
            return {}
        return stored

    async def _answer(self, task: str, place: int, columns: Mapping[str, Any], stored: Row | None) -> Row:
        if stored is not None:
            return stored
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
            except Exception as error:  # noqa: BLE001 - any failure becomes the row's error, and the job continues
                if not self._is_asked_again(error, name, trying=trying):
                    row = failed(item, error, time.monotonic() - started)
            finally:
                self._outage.let_go(trying=trying)
                self._moved.set()
                self._moved.clear()
        return replace(row, parsed=plain(row.parsed), columns={})

    def _is_asked_again(self, error: Exception, row: int, *, trying: bool) -> bool:
        """Whether a row is sent again because of an outage. False after an error that every row would get."""
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
        """Make one call. `options` are for the client; a function from `make` does not get them."""
        if self._make is not None:
            return await self._make(item)
        messages = await asyncio.to_thread(self._question.messages_of, item)
        return await self._client.chat(messages, **{**self._question.options, **options})

    def _with_answers(self, table: pa.Table, rows: list[Row]) -> pa.Table:
        import pyarrow as pa

        facts = [flat(row, self._parsed) for row in rows]
        for field in self._types:
            if field.name != "key":  # the data set has its own columns for that
                name = free(field.name, "answer_", table.column_names)
                table = table.append_column(name, pa.array([fact.get(field.name) for fact in facts], field.type))
        return table


class _Coordinator:
    """The actor that gives each worker of a job its share of the slots and stores the latest answers."""

    def __init__(self, divided: list[int]) -> None:
        self._free = divided
        self._shares: dict[str, tuple[int, Any]] = {}
        self._answers: OrderedDict[str, dict[int, Row]] = OrderedDict()
        self._count = 0

    async def take(self, worker: str, handle: Any) -> int | None:
        """A share for a worker; None while living workers have all shares. A restarted worker gets its old share."""
        if worker not in self._shares:
            if not self._free:
                await self._reclaim()
            if not self._free:
                return None
            self._shares[worker] = self._free.pop(0), handle
        return self._shares[worker][0]

    async def _reclaim(self) -> None:
        shares = list(self._shares.items())
        states = await asyncio.gather(*(_is_dead(handle) for _, (_, handle) in shares))
        for (worker, (share, _)), dead in zip(shares, states, strict=True):
            if dead and self._shares.pop(worker, None) is not None:
                self._free.append(share)

    async def answers(self, task: str) -> dict[int, Row]:
        """The answers to the rows of a task, by the index of the row."""
        return self._answers.get(task, {})

    async def keep(self, task: str, place: int, row: Row) -> None:
        """Store an answer. If there are too many answers, those of the oldest task are removed."""
        self._answers.setdefault(task, {})[place] = row
        self._count += 1
        while self._count > REMEMBERED:
            self._count -= len(self._answers.popitem(last=False)[1])


async def _is_dead(worker: Any) -> bool:
    """Whether an actor has ended permanently. False if the actor is busy or restarting."""
    try:
        await asyncio.wait_for(worker.__ray_ready__.remote(), PATIENCE)
    except ActorDiedError:
        return True
    except (RayError, TimeoutError):
        return False
    return False


def _share_of(coordinator: Any) -> int:
    """The number of slots for the worker in this process. Waits until a share is free."""
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
    """The error that the calls of a worker would raise, or None. Ray runs this function in a worker's environment."""
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
            "api_key must be a function that returns the key; each worker calls the function. A key passed here "
            "would be sent with the tasks. Instead of api_key, you can set ZHIPUAI_API_KEY or ZAI_API_KEY where the "
            "workers run."
        )
    if make is not None:
        if prompt is not None or messages is not None:
            raise glmv.InvalidRequestError("Pass only one of prompt=..., messages=... and make=....")
        prompt = ""  # it is not used: the function that `make` returns has its own
    return Question(prompt, messages=messages, schema=schema)


def _documented(model: str | None, base_model: str | None) -> int:
    name = model or glmv.Settings().model
    row = glmv.find_model(base_model or name)
    if row is None or row.concurrency is None:
        raise glmv.InvalidRequestError(f"The number of concurrent calls for {name} is not documented: set slots=...")
    return row.concurrency


def _item(columns: Mapping[str, Any], column: str | None) -> Item:
    """The item for a row. Arrays, as `ray.data.read_images` makes them, become pictures."""
    pictures = {name: _picture(value) for name, value in columns.items() if hasattr(value, "__array_interface__")}
    return next(items([{**columns, **pictures}], column))


def _picture(array: Any) -> Any:
    from PIL import Image

    return Image.fromarray(array) if array.ndim in (2, 3) else None


def _digest(table: pa.Table) -> str:
    """The id of a task: a hash of its rows. Every worker computes the same id."""
    import pyarrow as pa

    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return hashlib.sha256(out.getvalue()).hexdigest()
