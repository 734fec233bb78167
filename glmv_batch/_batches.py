"""The platform's own batches as a way to ask: half the price, no limit of concurrency, an answer within a day or so.

Of the models that see, they take glm-4v, glm-4v-plus and glm-4v-plus-0111 alone.

Source: docs.bigmodel.cn, "批量处理" (50,000 lines and 100 MB a file, `custom_id` of 6 characters or more, output in
another order than the input).

A chunk of the job is one batch there. The ledger knows a chunk before it is handed in and its name travels along as
metadata, so a run that was killed between the two finds the batch again and pays for nothing twice.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import glmv
from glmv_batch._outage import nobody_reached

MAX_LINES = 50_000
MAX_BYTES = 100 * 1024 * 1024
CUSTOM_ID = 32  # hex digits of an item's key: 128 bits tell any number of items apart
# Seconds between two looks at the batches: they take minutes to hours.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
# Seconds without an answer of the platform that are sat out: the batches go on meanwhile.
PATIENCE = 3_600.0

_LINE = 512  # bytes of a line around its messages: custom_id, model, options
_METADATA = "glmv_chunk"


class Request(Protocol):
    """What is asked about one item, read when it is needed and not before."""

    @property
    def key(self) -> str:
        """The item's key, hex."""

    @property
    def size(self) -> int:
        """Bytes that it will have on the wire, about."""

    def messages(self) -> Any:
        """What `glmv.Client.chat` takes; reads the picture."""


class Chunk(NamedTuple):
    """Items that are handed in together: its name, and the platform's id once it has one."""

    name: str
    batch: str | None


class Chunks(Protocol):
    """What the ledger keeps of chunks; each is on disk when it returns."""

    def chunk_planned(self, name: str, keys: list[str]) -> None: ...
    def chunk_sent(self, name: str, batch: str) -> None: ...
    def chunk_ended(self, name: str) -> None: ...
    def chunks(self) -> list[Chunk]: ...
    def chunk_keys(self, name: str) -> Iterable[str]: ...


def refuse_model(settings: glmv.Settings, name: str) -> None:
    """Refuse a model that the platform's batches do not take.

    Args:
        settings: of the client.
        name: of the model.

    Raises:
        UnsupportedContent: with the list of those that they do take.
    """
    row = settings.catalog_row(name)
    if row is not None and row.sees and not row.batch:
        taken = ", ".join(model.name for model in glmv.models() if model.batch)
        raise glmv.UnsupportedContent(f"The platform's batches take pictures for {taken}; {name} is none of them.")


class PlatformBatches:
    """Chunks of a job as batches of the platform. All of it blocks: it runs in a thread of its own."""

    def __init__(
        self,
        client: glmv.Client,
        chunks: Chunks,
        *,
        model: str | None,
        options: Mapping[str, Any],
        stop: threading.Event,
        question_hash: str = "",
        waits: Callable[[str | None], None] = lambda told: None,
    ) -> None:
        """Begin.

        Args:
            waits: told what is waited for while the platform cannot be reached, and None when it can again.
        """
        refuse_model(client.settings, model or client.settings.model)
        self._client = client
        self._chunks = chunks
        self._model = model
        self._options = dict(options)
        self._stop = stop
        self._waits = waits
        # Batches of another question stay as they are until that one is asked again: their rows are not of this job.
        self._name = f"chunk-{question_hash[:12]}-"

    def take_up(self, *, retry_failed: bool = False) -> None:
        """Find the batches that a run before this one handed in; what was planned and never arrived is forgotten.

        Args:
            retry_failed: also forget those that the platform knows no more.
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
        named = {str((batch.raw.get("metadata") or {}).get(_METADATA)): batch for batch in self._client.batches.list()}
        for chunk in lost:
            if (found := named.get(chunk.name)) is not None:
                self._chunks.chunk_sent(chunk.name, found.id)
            else:
                self._chunks.chunk_ended(chunk.name)

    def hand_in(self, requests: Iterable[Request]) -> Iterator[tuple[str, glmv.GLMVError]]:
        """Make batches of them; yields the keys of those that cannot be sent, each with what is wrong with it."""
        for chunk in self._cut(requests):
            if self._stop.is_set():
                return
            yield from self._create(chunk)

    def _cut(self, requests: Iterable[Request]) -> Iterator[list[Request]]:
        """Requests -> as many at a time as one batch takes."""
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
                # Pictures that were fitted can be larger than their files: two halves, then.
                yield from self._create(requests[: len(requests) // 2])
                requests = requests[len(requests) // 2 :]
            except (glmv.InvalidRequestError, glmv.UnsupportedContent) as wrong:
                self._chunks.chunk_ended(name)
                if body.last is None or wrong.status_code is not None:
                    raise  # of the whole file, and not of one of its lines
                yield body.last.key, wrong
                requests = [request for request in requests if request is not body.last]
            except glmv.ConnectionFailed as away:
                if not nobody_reached(away) or time.monotonic() - since > PATIENCE:
                    raise  # what may have arrived is looked for by the next run
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
        """What comes of the batches, by the key of each item, until all have ended or the job is stopped."""
        pause = FIRST_PAUSE
        heard = time.monotonic()
        while (waiting := self._mine()) and not self._stop.is_set():
            ended = False
            for chunk in waiting:
                try:
                    found = self._results(chunk)
                    heard = time.monotonic()
                    self._waits(None)
                except glmv.GLMVError as trouble:
                    if not trouble.retryable or time.monotonic() - heard > PATIENCE:
                        raise
                    self._waits(trouble.message)
                    found = None
                if found is not None:
                    yield from found
                    self._chunks.chunk_ended(chunk.name)
                    ended = True
            pause = FIRST_PAUSE if ended else min(pause * 1.5, LONGEST_PAUSE)
            if not ended:
                self._stop.wait(pause)

    def _mine(self) -> list[Chunk]:
        return [chunk for chunk in self._chunks.chunks() if chunk.name.startswith(self._name)]

    def _results(self, chunk: Chunk) -> list[tuple[str, glmv.Completion | glmv.GLMVError]] | None:
        """What became of a chunk's items; None while its batch goes on."""
        found: dict[str, glmv.Completion | glmv.GLMVError | None] = {}
        try:
            batch = self._client.batches.get(chunk.batch or "")
        except glmv.InvalidRequestError as gone:
            raise glmv.NotFoundError(
                f"The key that is asked with knows no batch {chunk.batch}: {gone.message} If no other key made it, "
                "retry_failed=True asks its items anew, and pays for them anew."
            ) from gone
        if not batch.ended:
            return None
        try:
            wanted = self._options.get("response_format")
            for result in self._client.batches.results(batch, response_format=wanted):
                found[result.custom_id] = result.completion or result.error
            told = f"Batch {batch.id} is {batch.status} and has no answer to this."
            otherwise: glmv.GLMVError = glmv.ServerError(told, retryable=True)
        except glmv.NotFoundError as gone:  # files are kept for a while only
            otherwise = glmv.ServerError(f"The answers of batch {batch.id} are no more: {gone.message}", retryable=True)
        except glmv.InvalidRequestError as refused:  # the whole file was
            otherwise = refused
        return [(key, found.get(key[:CUSTOM_ID]) or otherwise) for key in self._chunks.chunk_keys(chunk.name)]

    def cancel(self) -> int:
        """Stop the batches that are under way; returns how many. What is answered already still can be fetched."""
        self.take_up()
        stopped = 0
        for chunk in self._chunks.chunks():
            # Ended, or no more: one that cannot be stopped keeps none of the others.
            with contextlib.suppress(glmv.InvalidRequestError):
                self._client.batches.cancel(chunk.batch or "")
                stopped += 1
        return stopped


class _Requests(Mapping[str, Any]):
    """Requests by their `custom_id`, each read when its line is written: pictures never lie in memory together."""

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
