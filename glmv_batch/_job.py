"""A job: the same question about many items, by calls or by the platform's batches."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, Unpack, cast
from urllib.parse import urlsplit

from pydantic import SecretStr

import glmv
from glmv_batch._batches import PlatformBatches, refuse_model
from glmv_batch._items import Item, count_of, items, same_file
from glmv_batch._ledger import Ledger, LedgerUnreadable
from glmv_batch._prices import BATCH_SHARE, Budget
from glmv_batch._progress import Progress
from glmv_batch._question import Question, json_schema_of
from glmv_batch._row import Row
from glmv_batch._run import ByBatches, ByCalls, JobRun, RunSettings, Thread
from glmv_batch._sinks import Sink, sink

Order = Literal["arrival", "input"]
PathLike = str | os.PathLike[str]

# Seconds between two checks for Ctrl-C while no row arrives.
_LOOK = 0.5


class Job:
    """Ask the same question about many items.

    Examples:
        >>> job = Job("photos", "Describe it in one sentence.", model="glm-4.6v")
        >>> job.write("answers.jsonl")  # or .csv, .parquet; the ledger is next to it
        >>> for row in job.rows(ledger="answers.ledger"):  # or one by one
        ...     print(row.key, row.text)

    Args:
        source: a folder of pictures or of Parquet files, a pattern, a CSV, TSV, JSONL or Parquet file, or an iterable
            of paths, URLs, bytes, Pillow pictures, rows (mappings), parts of `glmv` or `Item`; also tables of pyarrow,
            pandas, polars and DuckDB (whatever has `__arrow_c_stream__`), and data sets of Hugging Face, Ray and
            PyTorch. Items are read one by one.
        prompt: the question about each item.
        messages: messages to which the picture is added, or a function from `Item` to messages. They replace `prompt`.
        schema: a pydantic class or JSON Schema that each answer must fit; see `Row.parsed`.
        column: the table's column with the picture; None means, in each row, the first of these columns that
            is not empty: `image`, `picture`, `photo`, `path`, `file`, `url`, `image_url` or `video`.
        via: "calls", or "platform" for the platform's own batches: half the price, answers within about a day. They
            accept pictures only for glm-4v, glm-4v-plus and glm-4v-plus-0111.
        api_key: the platform's key, or a function that returns it, called before each attempt; None reads the
            environment. With via="calls" the function may be asynchronous.
        budget: "10 CNY", "$3" or "2000000 tokens": no call starts that would exceed it. Money is computed by the
            catalogue's price in that currency.
        client: a `glmv.AsyncClient` to use instead of a key and a server; you close it.
        options: fields of `glmv.Settings`, as for `glmv.Client`. Some of them:
            model: the name of the model.
            base_model: the model's name in the catalogue, if `model` is a server's alias. Limits, prices and the
                number of concurrent calls are then those of `base_model`.
            base_url: as for `glmv.Client`.
            max_concurrency: the number of concurrent calls; None means the documented number.

    Raises:
        InvalidRequestError: an argument is wrong; nothing was sent.
    """

    @glmv.shows(glmv.ClientKeywords)
    def __init__(
        self,
        source: Any,
        prompt: str | None = None,
        *,
        messages: Any = None,
        schema: Any = None,
        column: str | None = None,
        via: Literal["calls", "platform"] = "calls",
        api_key: glmv.AsyncApiKey | None = None,
        budget: str | None = None,
        client: glmv.AsyncClient | None = None,
        **options: Unpack[glmv.ClientKeywords],
    ) -> None:
        # From here on no variable contains the key in plain text, since error reports may show variables.
        match api_key:
            case str():
                key: glmv.AsyncApiKey | None = SecretStr(api_key)
            case _ if api_key is None or isinstance(api_key, SecretStr) or callable(api_key):
                key = api_key
            case _:
                kind = type(api_key).__name__  # type: ignore[unreachable]  # callers may not check types
                del api_key
                cast("dict[str, Any]", options).clear()
                raise glmv.InvalidRequestError(f"api_key must be a str, a SecretStr or a function; got {kind}.")
        del api_key
        self._source = source
        self._column = column
        self._own = client
        connection = cast("dict[str, Any]", options)  # it may contain headers with credentials, and is emptied below
        call_options = {name: connection.pop(name) for name in glmv.Options.model_fields if name in connection}
        model = connection.get("model")
        self._question = Question(prompt, messages=messages, schema=schema, model=model, options=call_options)
        self._settings = glmv.without_values(lambda: self._connection_settings(connection, key, via), connection)
        self._model = model or self._settings.model
        self._base_model = self._settings.base_model if self._model == self._settings.model else None
        match via:
            case "calls":
                self._kind: type[ByCalls | ByBatches] = ByCalls
            case "platform":
                self._kind = ByBatches
                refuse_model(self._settings, self._model)
                if budget is not None:
                    raise glmv.InvalidRequestError(
                        "budget cannot be used with via='platform': the cost of a batch is known only after its end."
                    )
            case _:
                raise glmv.InvalidRequestError(f"via must be 'calls' or 'platform'; got {via!r}.")
        self._share = BATCH_SHARE if via == "platform" else 1.0
        self._budget = budget
        self._new_budget()  # raises now if it is invalid
        self.progress = Progress(share=self._share)
        self._is_read = False
        self._stop: Callable[[str], None] = lambda why: None

    def _connection_settings(self, settings: dict[str, Any], key: glmv.AsyncApiKey | None, via: str) -> glmv.Settings:
        """The settings of the user's client, or the settings passed to the job.

        Raises:
            InvalidRequestError: settings other than `model` are passed together with a client, a setting is wrong, or
                only the HTTP client that the job does not use is passed (`http_client` or `http_async_client`).
        """
        connection = {name: value for name, value in settings.items() if value is not None}
        if self._own is None:
            made = glmv.Settings(**connection, api_key=key)
            used, unused = "http_async_client", "http_client"
            if via == "platform":
                used, unused = unused, used
            if getattr(made, used) is None and getattr(made, unused) is not None:
                raise glmv.InvalidRequestError(
                    f"A job with via={via!r} sends with {used}; got only {unused}, whose proxy, certificates and hooks "
                    "would not be used."
                )
            return made
        clash = {*connection, *(["api_key"] if key else [])} - {"model"}
        if clash:
            names = ", ".join(sorted(clash))
            raise glmv.InvalidRequestError(f"client already has its own {names}: pass either client or {names}.")
        return self._own.settings

    def write(
        self,
        path: PathLike,
        *,
        ledger: PathLike | None = None,
        order: Order = "arrival",
        retry_failed: bool = False,
        on_row: Callable[[Row], None] | None = None,
        keep_columns: Sequence[str] | bool = False,
    ) -> Progress:
        """Run, and write a file: `.jsonl`, `.csv`, `.tsv` or `.parquet`. The next run continues where this one stopped.

        Args:
            path: the output. It exists after the run; during the run its rows are in `<path>.part`, which is locked so
                that no other job writes it. If the output is in the source's folder, it is not read as an item.
            ledger: the file that stores the answers; None means `<path>.ledger`.
            order: "arrival" writes each row when its answer arrives; "input" keeps the order of the source.
            retry_failed: send again the items that failed in an earlier run and may succeed now.
            on_row: called with each row, for instance to show the `progress`.
            keep_columns: names of the table's columns to copy into the output, or True for all. If the output
                already has a column of that name (`text`, `model`, ...), the copy is called `source_<name>`. Pictures
                are not copied.

        Returns:
            `progress`; its `str` is a summary.

        Raises:
            GLMVError: an error that every item would get (a wrong key, an empty account, a full disk, a table
                that cannot be read, an empty source, a damaged ledger, an output that another job writes).
                All answers so far are in the ledger.
            KeyboardInterrupt: raised after the running calls have ended and their answers are stored.
        """
        out = Path(path)
        beside = Path(f"{os.fspath(path)}.ledger" if ledger is None else ledger)
        self._check_output(out, beside)
        if self._is_read and isinstance(self._source, Iterator):
            raise glmv.InvalidRequestError(
                "The source of this job can be read only once and has already been read: the new output would lack "
                "these rows. Make a new job."
            )
        # Closed here, because a notebook keeps the last error, and with it the run and its ledger would stay open.
        with (
            sink(out, json_schema_of(self._question.schema, "serialization"), keep_columns) as file,
            closing(self._rows(self._run(beside, order, retry_failed, file, out))) as rows,
        ):
            try:
                for row in rows:
                    file.write(row)
                    if on_row is not None:
                        on_row(row)
            except KeyboardInterrupt:
                self.stop("interrupted")
                for row in rows:  # the rows of the running calls
                    file.write(row)
                raise
        return self.progress

    def rows(
        self, *, ledger: PathLike | None = None, order: Order = "arrival", retry_failed: bool = False
    ) -> Generator[Row, None, None]:
        """Run, and yield row after row. Without a ledger, no answers are stored.

        After Ctrl-C, or when the loop is left, no more calls start; the running calls finish, and the ledger
        stores their answers.

        Raises:
            GLMVError: for the same reasons as in `write`.
        """
        yield from self._rows(self._run(ledger, order, retry_failed))

    def _rows(self, job_run: JobRun) -> Generator[Row, None, None]:
        ready: queue.SimpleQueue[Row | BaseException | None] = queue.SimpleQueue()
        run = Thread(job_run, ready.put)
        self._stop = run.stop
        run.start()
        interrupted: BaseException | None = None
        ended = False
        try:
            while True:
                try:
                    row = ready.get(timeout=_LOOK)
                except queue.Empty:
                    continue
                except KeyboardInterrupt as error:
                    if interrupted is not None:
                        raise
                    interrupted = error
                    run.stop("interrupted")
                    continue
                match row:
                    case None:
                        ended = True
                        break
                    case Row():
                        run.taken()
                        yield row
                    case BaseException():
                        ended = True
                        raise row
        finally:
            if not ended:
                run.stop("interrupted")
            run.join()
        if interrupted is not None:
            raise interrupted

    async def arows(
        self, *, ledger: PathLike | None = None, order: Order = "arrival", retry_failed: bool = False
    ) -> AsyncGenerator[Row, None]:
        """`rows` for `async for`, on the running event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise glmv.InvalidRequestError(
                "arows needs a running event loop of asyncio. With trio, iterate over `rows` in a thread "
                "(`trio.to_thread.run_sync`)."
            ) from None
        ready: asyncio.Queue[Row | None] = asyncio.Queue()
        run = self._run(ledger, order, retry_failed)
        self._stop = run.stop
        task = asyncio.create_task(run(ready.put_nowait))
        task.add_done_callback(lambda done: ready.put_nowait(None))
        try:
            while (row := await ready.get()) is not None:
                run.taken()
                yield row
            await task
        finally:
            if not task.done():
                run.stop("interrupted")
                await asyncio.wait([task])

    def stop(self, why: str = "stopped") -> None:
        """Start no more calls; the running ones finish and yield their rows. Callable from any thread."""
        self._stop(why)

    def cancel(self, ledger: PathLike) -> int:
        """Cancel all batches of the platform that are in this ledger; return the number of cancelled batches.

        The next run still fetches the answers that existed when the batches were cancelled.
        """
        with self._sync_client() as client, Ledger(ledger, place=self._place()) as job_ledger:
            return PlatformBatches(client, job_ledger, model=self._model, options={}, stop=threading.Event()).cancel()

    def _run(
        self,
        ledger: PathLike | None,
        order: Order,
        retry_failed: bool,
        file: Sink | None = None,
        out: Path | None = None,
    ) -> JobRun:
        if order not in ("arrival", "input"):
            raise glmv.InvalidRequestError(f"order must be 'arrival' or 'input'; got {order!r}.")
        if order == "input" and self._kind is ByBatches:
            raise glmv.InvalidRequestError(
                "order='input' cannot be used with via='platform': rows of batches come in order of arrival."
            )
        budget = self._new_budget()
        self.progress = Progress(
            share=self._share, base_url=self._base_url(), base_model=self._base_model, currency=budget.currency
        )
        source = items(self._source, self._column, keep=() if file is None else file.source_columns.names, but=out)
        threading.Thread(target=self._count, args=(self.progress, out), name="glmv count", daemon=True).start()
        return self._kind(
            RunSettings(
                source=self._read(source),
                claim=(lambda: None) if file is None else file.claim,
                question=self._question,
                model=self._model,
                client=self._client,
                own=self._own is not None,
                sync_client=self._sync_client,
                ledger=ledger,
                place=self._place(),
                progress=self.progress,
                budget=budget,
                retry_failed=retry_failed,
                ordered=order == "input",
            )
        )

    def _check_output(self, out: Path, ledger: Path) -> None:
        """Check that writing the output destroys neither the source nor stored answers.

        Raises:
            InvalidRequestError: writing would destroy one of them, or the output's path is not a valid path.
        """
        source = Path(self._source) if isinstance(self._source, str | os.PathLike) else None
        try:
            is_source = source is not None and same_file(out, source)
            is_ledger = same_file(out, ledger)
            lost = ledger.is_file() and not ledger.stat().st_size and out.is_file() and out.stat().st_size > 0
        except (OSError, ValueError) as error:  # the name is too long, or contains a zero byte
            reason = getattr(error, "strerror", None) or str(error)
            raise glmv.InvalidRequestError(
                f"The output {glmv.shown(os.fspath(out))} cannot be written: {reason}."
            ) from error
        if is_source or is_ledger:
            raise glmv.InvalidRequestError(
                f"{glmv.shown(os.fspath(out))} is the {'source' if is_source else 'ledger'} of this job, and the "
                "output would replace it: name another file."
            )
        if lost:  # SQLite takes an empty file for a new database: all items would be paid for a second time
            raise LedgerUnreadable(ledger, ValueError(f"it is empty, but {out.name} has answers"))

    def _read(self, source: Iterator[Item]) -> Iterator[Item]:
        self._is_read = True
        yield from source

    def _new_budget(self) -> Budget:
        return Budget.of(self._budget, self._model, base_model=self._base_model)

    def _count(self, progress: Progress, out: Path | None) -> None:
        try:
            progress.total = count_of(self._source, but=out)
        except Exception:  # noqa: BLE001, S110 - the run itself raises the error of the source
            pass

    def _client(self) -> glmv.AsyncClient:
        return self._own or glmv.AsyncClient.of(self._settings)

    def _sync_client(self) -> glmv.Client:
        return glmv.Client.of(self._settings)

    def _base_url(self) -> str:
        return self._client().address.base_url

    def _place(self) -> str:
        """The server's host and port, which the ledger stores; "loopback" if the server is on this machine.

        On this machine it is probably an emulator, whose port changes.

        Raises:
            AuthenticationError: there is no key.
        """
        url = urlsplit(self._base_url())
        return "loopback" if url.hostname in {"127.0.0.1", "localhost", "::1"} else url.netloc


Job.__module__ = "glmv_batch"
