"""A job runs through the platform's batches in chunks; after a kill, the next run resumes them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import glmv
from glmv_batch import _batches as module
from glmv_batch._batches import Chunk, PlatformBatches
from glmv_emulator import Emulator

MODEL = "glm-4v-plus-0111"


@dataclass
class Ask:
    """One text question, small or large."""

    text: str
    size: int = 100
    fails: bool = False
    read: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def messages(self) -> Any:
        self.read.append(self.text)
        if self.fails:
            raise glmv.InvalidRequestError("There is no such file.")
        return self.text


class Chunks:
    """An in-memory ledger."""

    def __init__(self) -> None:
        self.records: dict[str, tuple[str | None, list[str]]] = {}
        self.sizes: list[int] = []

    def chunk_planned(self, name: str, keys: list[str]) -> None:
        self.records[name] = None, keys

    def chunk_sent(self, name: str, batch: str) -> None:
        self.records[name] = batch, self.records[name][1]
        self.sizes.append(len(self.records[name][1]))

    def chunk_ended(self, name: str) -> None:
        del self.records[name]

    def chunks(self) -> list[Chunk]:
        return [Chunk(name, batch) for name, (batch, _) in self.records.items()]

    def chunk_keys(self, name: str) -> list[str]:
        return self.records[name][1]


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)


@pytest.fixture
def chunks() -> Chunks:
    return Chunks()


@pytest.fixture
def platform(emulator: Emulator, chunks: Chunks) -> Iterator[PlatformBatches]:
    with glmv.Client(emulator.api_key, base_url=emulator.base_url) as client:
        yield batches_of(client, chunks)


def batches_of(client: glmv.Client, chunks: Chunks, **options: Any) -> PlatformBatches:
    return PlatformBatches(client, chunks, model=MODEL, options=options, stop=threading.Event())


def asks(count: int, **more: Any) -> list[Ask]:
    return [Ask(f"Say the number {number}.", **more) for number in range(count)]


def test_each_item_submitted_in_a_batch_gets_its_own_answer(platform: PlatformBatches, chunks: Chunks) -> None:
    questions = asks(7)
    assert list(platform.submit(questions)) == []
    answers = dict(platform.answers())
    assert set(answers) == {ask.key for ask in questions}
    for ask in questions:
        answer = answers[ask.key]
        assert isinstance(answer, glmv.Completion)
        assert answer.usage is not None
    assert chunks.records == {}


def test_the_answers_of_a_batch_are_given_only_to_a_job_with_the_same_question(
    emulator: Emulator, chunks: Chunks
) -> None:
    with glmv.Client(emulator.api_key, base_url=emulator.base_url) as client:

        def asking(question: str) -> PlatformBatches:
            return PlatformBatches(
                client, chunks, model=MODEL, options={}, stop=threading.Event(), question_hash=question
            )

        assert list(asking("one").submit(asks(2))) == []
        assert list(asking("other").answers()) == []
        assert len(dict(asking("one").answers())) == 2


def test_items_beyond_the_limits_of_a_batch_start_a_new_chunk(
    platform: PlatformBatches, chunks: Chunks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LINES", 3)
    list(platform.submit(asks(7)))
    assert chunks.sizes == [3, 3, 1]
    chunks.sizes.clear()
    monkeypatch.setattr(module, "MAX_BYTES", 10_000)
    list(platform.submit(asks(4, size=4_000)))
    assert chunks.sizes == [2, 2]


def test_a_chunk_that_is_too_large_is_halved_until_it_fits(
    platform: PlatformBatches, chunks: Chunks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glmv.endpoints.batches.MAX_REQUESTS", 2)
    list(platform.submit(asks(5)))
    assert sum(chunks.sizes) == 5
    assert max(chunks.sizes) <= 2
    assert len(dict(platform.answers())) == 5


def test_an_item_that_cannot_be_sent_fails_and_the_other_items_are_sent(platform: PlatformBatches) -> None:
    good, bad = asks(2), Ask("torn", fails=True)
    [(key, error)] = platform.submit([good[0], bad, good[1]])
    assert key == bad.key
    assert "no such file" in str(error)
    assert set(dict(platform.answers())) == {ask.key for ask in good}


def test_items_of_a_source_are_not_read_before_their_chunk_is_made(
    platform: PlatformBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LINES", 2)
    read: list[str] = []

    def source() -> Iterator[Ask]:
        for ask in asks(5, read=read):
            assert len(read) >= 2 * (int(ask.text.split()[-1][:-1]) // 3)
            yield ask

    list(platform.submit(source()))
    assert len(read) == 5


def test_the_next_run_uses_a_batch_that_was_created_just_before_a_kill(
    emulator: Emulator, platform: PlatformBatches, chunks: Chunks
) -> None:
    questions = asks(3)
    list(platform.submit(questions))
    [name] = chunks.records
    chunks.records[name] = None, chunks.records[name][1]  # killed before the id came to the ledger
    with glmv.Client(emulator.api_key, base_url=emulator.base_url) as client:
        again = batches_of(client, chunks)
        again.resume()
        assert set(dict(again.answers())) == {ask.key for ask in questions}
    assert sum(request.path.endswith("/batches") and request.method == "POST" for request in emulator.requests) == 1


def test_resuming_drops_a_chunk_whose_batch_was_never_created(platform: PlatformBatches, chunks: Chunks) -> None:
    chunks.chunk_planned("never-sent", ["k"])
    platform.resume()
    assert chunks.records == {}


def test_a_batch_with_a_schema_returns_answers_in_json(emulator: Emulator, chunks: Chunks) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    with glmv.Client(emulator.api_key, base_url=emulator.base_url) as client:
        platform = batches_of(client, chunks, response_format=wanted)
        list(platform.submit(asks(1)))
        [(_, answer)] = platform.answers()
    assert isinstance(answer, glmv.Completion)
    assert answer.text.startswith("{")


def test_the_error_for_a_model_that_does_not_support_batches_names_models_that_do(chunks: Chunks) -> None:
    with glmv.Client("test-id.test-secret") as client, pytest.raises(glmv.UnsupportedContent) as refused:
        PlatformBatches(client, chunks, model="glm-4.6v", options={}, stop=threading.Event())
    assert "glm-4v, glm-4v-plus, glm-4v-plus-0111" in str(refused.value)


def test_a_cancelled_batch_returns_answers_and_retryable_errors(platform: PlatformBatches, chunks: Chunks) -> None:
    questions = asks(40)
    list(platform.submit(questions))
    platform.cancel()
    result = dict(platform.answers())
    assert set(result) == {ask.key for ask in questions}
    for answer in result.values():
        assert isinstance(answer, glmv.Completion) or (isinstance(answer, glmv.GLMVError) and answer.retryable)


def test_a_stopped_job_leaves_its_running_batches_to_the_next_run(platform: PlatformBatches, chunks: Chunks) -> None:
    list(platform.submit(asks(2)))
    platform._stop.set()
    assert list(platform.answers()) == []
    assert len(chunks.chunks()) == 1


def test_a_batch_that_no_longer_exists_raises_and_the_option_retry_failed_drops_it(
    platform: PlatformBatches, chunks: Chunks
) -> None:
    list(platform.submit(asks(2)))
    [(name, (_, keys))] = chunks.records.items()
    chunks.records[name] = "batch_of_another_key", keys
    platform.resume()
    with pytest.raises(glmv.NotFoundError, match=r"Batch batch_of_another_key was not found.*retry_failed=True"):
        list(platform.answers())
    platform.resume(retry_failed=True)
    assert chunks.records == {}


def test_polling_for_a_batch_continues_after_temporary_errors_but_not_for_ever(
    platform: PlatformBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(chunk: Chunk) -> Any:
        if troubles:
            raise troubles.pop()
        return really(chunk)

    really = platform._results
    monkeypatch.setattr(platform, "_results", busy)
    list(platform.submit(asks(2)))
    troubles: list[glmv.GLMVError] = [glmv.ServerError("busy"), glmv.ConnectionFailed("reset")]
    assert len(dict(platform.answers())) == 2
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    list(platform.submit(asks(2)))
    troubles.append(glmv.ServerError("busy for hours"))
    with pytest.raises(glmv.ServerError, match="busy for hours"):
        list(platform.answers())


def test_a_batch_that_cannot_be_cancelled_does_not_prevent_cancelling_other_batches(
    platform: PlatformBatches, chunks: Chunks
) -> None:
    list(platform.submit(asks(40)))
    chunks.records = {"chunk-gone": ("batch_gone", []), **chunks.records}
    assert platform.cancel() <= 1
    assert platform._client.batches.list()[0].status in {"cancelling", "cancelled", "completed"}


def test_a_batch_is_submitted_exactly_once_after_the_platform_becomes_reachable(
    platform: PlatformBatches, chunks: Chunks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any, **kwargs: Any) -> Any:
        if len(results) < 3:
            raise glmv.ConnectionFailed("No connection.").fill(kind="dns")
        return really(*args, **kwargs)

    results: list[str | None] = []
    platform._waits = results.append
    batches = type(platform._client.batches)
    really = batches.create
    monkeypatch.setattr(batches, "create", away)
    assert list(platform.submit(asks(2))) == []
    assert results[-1] is None
    assert all(line and "No connection." in line for line in results[:-1])
    assert len(chunks.sizes) == len(chunks.records) == 1
    assert len(dict(platform.answers())) == 2


def test_a_batch_whose_submission_may_have_arrived_is_not_submitted_twice(
    platform: PlatformBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise glmv.ConnectionFailed("It broke.").fill(kind="reset")

    monkeypatch.setattr(type(platform._client.batches), "create", broken)
    with pytest.raises(glmv.ConnectionFailed):
        list(platform.submit(asks(2)))
