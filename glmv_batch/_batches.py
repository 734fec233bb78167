"""Run a job through the platform's own batches: half the price, no concurrency limit, answers within about a day.

Of the vision models, batches accept only glm-4v, glm-4v-plus and glm-4v-plus-0111.

Source: docs.bigmodel.cn, "批量处理" (at most 50,000 lines and 100 MB in a file, `custom_id` of at least 6 characters,
output in another order than the input).

The job is cut into chunks; each becomes one batch. The ledger records a chunk before it is submitted, and the batch has
the chunk's name in its metadata. So if a run is killed after the batch was created and before its id is recorded, the
next run finds the batch by this name, and does not pay for it twice.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import glmv
from glmv_batch._outage import server_not_reached

MAX_LINES = 50_000
MAX_BYTES = 100 * 1024 * 1024
CUSTOM_ID = 32  # hex digits of an item's key: 128 bits distinguish any number of items
# Seconds between two polls of the batches, which take minutes to hours.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
# Seconds to keep trying while the platform does not answer; the batches continue meanwhile.
PATIENCE = 3_600.0

_LINE = 512  # bytes of a line without its messages: custom_id, model, options
_METADATA = "glmv_chunk"


class Request(Protocol):
    """The request for one item; its picture is read only when it is needed."""

    @property
    def key(self) -> str:
        """The item's key, in hexadecimal digits."""

    @property
    def size(self) -> int:
        """Approximate number of bytes that are sent."""

    def messages(self) -> Any:
        """The messages for `glmv.Client.chat`; reads the picture."""


class Chunk(NamedTuple):
    """Items that are submitted together: the chunk's name, and the id of its batch once the platform has created it."""

    name: str
    batch: str | None


class Chunks(Protocol):
    """The chunks in the ledger. Each method returns after its change is on disk."""

    def chunk_planned(self, name: str, keys: list[str]) -> None: ...
    def chunk_sent(self, name: str, batch: str) -> None: ...
    def chunk_ended(self, name: str) -> None: ...
    def chunks(self) -> list[Chunk]: ...
    def chunk_keys(self, name: str) -> Iterable[str]: ...


def refuse_model(settings: glmv.Settings, name: str) -> None:
    """Raise an error if the platform's batches do not accept the model.

    Args:
        settings: the client's settings.
        name: the model's name.

    Raises:
        UnsupportedContent: batches do not accept pictures for the model; the error lists the models that work.
    """
    row = settings.catalog_row(name)
    if row is not None and row.sees and not row.batch:
        accepted = ", ".join(model.name for model in glmv.models() if model.batch)
        raise glmv.UnsupportedContent(f"The platform's batches accept pictures only for {accepted}; got {name}.")


class PlatformBatches:
    """The chunks of a job as batches of the platform. Its methods block, so it runs in its own thread."""

    def __init__(
        self,
        client: glmv.Client,
        chunks: Chunks,
        *,
        model: str | None,
        options: Mapping[str, Any],
        stop: threading.Event,
        question_hash: str = "",
        waits: Callable[[str | None], None] = lambda reason: None,
    ) -> None:
        """Create the object; nothing is sent.

        Args:
            waits: called with the reason while the platform cannot be reached, and with None when it answers again.
        """
        refuse_model(client.settings, model or client.settings.model)
        self._client = client
        self._chunks = chunks
        self._model = model
        self._options = dict(options)
        self._stop = stop
        self._waits = waits
        # The question is part of the name: batches of other questions are left alone, as their rows are not this job's.
        self._name = f"chunk-{question_hash[:12]}-"

    def resume(self, *, retry_failed: bool = False) -> None:
        """Find the batches that an earlier run submitted, and remove chunks that never reached the platform.

        Args:
            retry_failed: also remove chunks whose batch no longer exists on the platform.
        """
        for chunk in self._mine():
            try:
                if retry_failed and chunk.batch is not None:
                    self._client.batches.get(chunk.batch)
            except glmv.InvalidRequestError:
                self._chunks.chunk_ended(chunk.name)
        lost = [chunk for chunk in self._chunks.chunks() if chunk.batch is None]
        if not lost:
            return
        by_name = {
            str((batch.raw.get("metadata") or {}).get(_METADATA)): batch for batch in self._client.batches.list()
        }
        for chunk in lost:
            if (batch := by_name.get(chunk.name)) is not None:
                self._chunks.chunk_sent(chunk.name, batch.id)
            else:
                self._chunks.chunk_ended(chunk.name)

    def submit(self, requests: Iterable[Request]) -> Iterator[tuple[str, glmv.GLMVError]]:
        """Create batches of requests; yields the key and the error of each request that cannot be sent."""
        for chunk in self._cut(requests):
            if self._stop.is_set():
                return
            yield from self._create(chunk)

    def _cut(self, requests: Iterable[Request]) -> Iterator[list[Request]]:
        """Requests -> lists that fit into one batch."""
        chunk: list[Request] = []
        size = 0
        for request in requests:
            more = request.size + _LINE
            if chunk and (len(chunk) == MAX_LINES or size + more > MAX_BYTES):
                yield chunk
                chunk, size = [], 0
            chunk.append(request)
            size += more
        if chunk:
            yield chunk

    def _create(self, requests: list[Request]) -> Iterator[tuple[str, glmv.GLMVError]]:
        pause, since = FIRST_PAUSE, time.monotonic()
        while requests:
            body = _Requests(requests)
            name = f"{self._name}{secrets.token_hex(8)}"
            self._chunks.chunk_planned(name, [request.key for request in requests])
            try:
                batch = self._client.batches.create(
                    body, model=self._model, metadata={_METADATA: name}, **self._options
                )
            except glmv.LimitExceeded as full:
                self._chunks.chunk_ended(name)
                if len(requests) == 1:
                    yield requests[0].key, full
                    return
                # A fitted picture can be larger than its file. So if the chunk is too large, try it in two halves.
                yield from self._create(requests[: len(requests) // 2])
                requests = requests[len(requests) // 2 :]
            except (glmv.InvalidRequestError, glmv.UnsupportedContent) as wrong:
                self._chunks.chunk_ended(name)
                if body.last is None or wrong.status_code is not None:
                    raise  # the error concerns the whole file, not one line
                yield body.last.key, wrong
                requests = [request for request in requests if request is not body.last]
            except glmv.ConnectionFailed as away:
                if not server_not_reached(away) or time.monotonic() - since > PATIENCE:
                    raise  # the batch may have been created: the next run looks for it
                self._chunks.chunk_ended(name)
                self._waits(f"{away.message} Trying again in {pause:.0f} s.")
                if self._stop.wait(pause):
                    return
                pause = min(pause * 1.5, LONGEST_PAUSE)
            else:
                self._waits(None)
                self._chunks.chunk_sent(name, batch.id)
                return

    def answers(self) -> Iterator[tuple[str, glmv.Completion | glmv.GLMVError]]:
        """Yield each item's key and its answer or error, until all batches have ended or the job is stopped."""
        pause = FIRST_PAUSE
        last_answer = time.monotonic()
        while (waiting := self._mine()) and not self._stop.is_set():
            ended = False
            for chunk in waiting:
                try:
                    results = self._results(chunk)
                    last_answer = time.monotonic()
                    self._waits(None)
                except glmv.GLMVError as trouble:
                    if not trouble.retryable or time.monotonic() - last_answer > PATIENCE:
                        raise
                    self._waits(trouble.message)
                    results = None
                if results is not None:
                    yield from results
                    self._chunks.chunk_ended(chunk.name)
                    ended = True
            pause = FIRST_PAUSE if ended else min(pause * 1.5, LONGEST_PAUSE)
            if not ended:
                self._stop.wait(pause)

    def _mine(self) -> list[Chunk]:
        return [chunk for chunk in self._chunks.chunks() if chunk.name.startswith(self._name)]

    def _results(self, chunk: Chunk) -> list[tuple[str, glmv.Completion | glmv.GLMVError]] | None:
        """The answers and errors of a chunk's items; None while its batch is running."""
        answers: dict[str, glmv.Completion | glmv.GLMVError | None] = {}
        try:
            batch = self._client.batches.get(chunk.batch or "")
        except glmv.InvalidRequestError as gone:
            raise glmv.NotFoundError(
                f"Batch {chunk.batch} was not found with this API key: {gone.message} If it was created with another "
                "key, use that key. Otherwise retry_failed=True sends its items again, and they are paid for again."
            ) from gone
        if not batch.ended:
            return None
        try:
            schema = self._options.get("response_format")
            for result in self._client.batches.results(batch, response_format=schema):
                answers[result.custom_id] = result.completion or result.error
            message = f"Batch {batch.id} is {batch.status} and has no answer for this item."
            otherwise: glmv.GLMVError = glmv.ServerError(message, retryable=True)
        except glmv.NotFoundError as gone:  # the platform deletes files after a while
            message = f"The answers of batch {batch.id} no longer exist: {gone.message}"
            otherwise = glmv.ServerError(message, retryable=True)
        except glmv.InvalidRequestError as refused:  # the platform refused the whole file
            otherwise = refused
        return [(key, answers.get(key[:CUSTOM_ID]) or otherwise) for key in self._chunks.chunk_keys(chunk.name)]

    def cancel(self) -> int:
        """Cancel the running batches; returns how many. Answers that already exist can still be fetched."""
        self.resume()
        count = 0
        for chunk in self._chunks.chunks():
            # A batch that has ended or was deleted cannot be cancelled; go on with the others.
            with contextlib.suppress(glmv.InvalidRequestError):
                self._client.batches.cancel(chunk.batch or "")
                count += 1
        return count


class _Requests(Mapping[str, Any]):
    """Requests by `custom_id`. A picture is read when its request is written, so only one is in memory at a time."""

    def __init__(self, requests: list[Request]) -> None:
        self._requests = {request.key[:CUSTOM_ID]: request for request in requests}
        self.last: Request | None = None

    def __getitem__(self, custom_id: str) -> Any:
        self.last = self._requests[custom_id]
        return self.last.messages()

    def __iter__(self) -> Iterator[str]:
        return iter(self._requests)

    def __len__(self) -> int:
        return len(self._requests)
