"""An error of one item, or of the code that reads the rows, does not affect other items."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

import glmv
from glmv_batch import Item, Job, Row
from glmv_batch import _calls as module
from glmv_batch._question import Question
from glmv_emulator import Emulator
from tests.batch.conftest import lines

MODEL = "glm-4.6v-flash"
COUNT = 40


def job(emulator: Emulator, source: Any, prompt: str | None = "Which colour is it?", **options: Any) -> Job:
    settings = {"model": MODEL, "max_concurrency": 2, "thinking": False, **options}
    return Job(source, prompt, base_url=emulator.base_url, api_key=emulator.api_key, **settings)


def wait_until_paused(running: Job) -> None:
    """Wait until the job starts no more calls because nobody reads its rows."""
    rested, result = threading.Event(), -1
    while running.progress.done != result:
        result = running.progress.done
        rested.wait(0.5)


def test_closing_the_iterator_of_rows_stops_the_job_before_its_end(emulator: Emulator, photos: Path) -> None:
    running = job(emulator, photos)
    rows = running.rows()
    next(rows)
    wait_until_paused(running)
    rows.close()
    assert 1 < running.progress.done < COUNT


async def test_closing_the_asynchronous_iterator_of_rows_stops_the_job_before_its_end(
    emulator: Emulator, photos: Path
) -> None:
    running = job(emulator, photos)
    rows = running.arows()
    await anext(rows)
    await rows.aclose()
    assert running.progress.done < COUNT


def test_a_second_run_during_the_first_is_refused_and_leaves_the_output_unchanged(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    out, errors = tmp_path / "o.jsonl", []

    def second(row: Row) -> None:
        if not errors:
            with pytest.raises(glmv.InvalidRequestError, match="Another run uses the ledger") as refused:
                job(emulator, photos).write(out)
            errors.append(str(refused.value))

    job(emulator, photos).write(out, on_row=second)
    assert f"process {os.getpid()} on" in errors[0]
    assert sorted(row["key"] for row in lines(out)) == sorted(path.name for path in photos.iterdir())
    assert len(emulator.requests) == COUNT


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems have no such names")
def test_a_picture_file_whose_name_is_not_utf_8_is_answered(emulator: Emulator, photos: Path, tmp_path: Path) -> None:
    (photos / "00.png").rename(os.fsdecode(os.fsencode(photos) + b"/\xff.png"))
    job(emulator, photos).write(tmp_path / "o.jsonl")
    again = job(emulator, photos)
    again.write(tmp_path / "o.jsonl")
    assert again.progress.known == COUNT
    assert "\udcff.png" in {row["key"] for row in lines(tmp_path / "o.jsonl")}


def test_an_exception_of_the_messages_function_becomes_a_failed_row(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    def ask(item: Item) -> Any:
        if item.name == "07.png":
            raise KeyError("title")
        return [item.part(), "Which colour is it?"]

    progress = job(emulator, photos, None, messages=ask).write(tmp_path / "o.jsonl")
    assert (progress.answered, progress.failed, dict(progress.errors)) == (COUNT - 1, 1, {"KeyError": 1})


def test_the_messages_function_runs_once_per_item_in_a_thread(
    emulator: Emulator, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, encoded, threads = threading.get_ident(), set(), []
    encode = glmv.Image.base64

    def seen(image: glmv.Image) -> Any:
        encoded.add(threading.current_thread().name.rpartition("_")[0])
        return encode(image)

    def ask(item: Item) -> Any:
        threads.append(threading.get_ident())
        return [item.part(), "Which colour is it?"]

    monkeypatch.setattr(glmv.Image, "base64", seen)
    assert len(list(job(emulator, photos, None, messages=ask).rows())) == COUNT
    assert len(threads) == COUNT
    assert here not in threads
    assert "glmv pictures" in encoded


def test_an_exception_of_the_source_ends_the_job_and_the_ledger_keeps_all_answers(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    def source() -> Iterator[Path]:
        yield from sorted(photos.iterdir())[:5]
        raise OSError("the lake is gone")

    rows = []
    with pytest.raises(OSError, match="the lake is gone"):
        rows.extend(job(emulator, source()).rows(ledger=tmp_path / "l"))
    count = len(emulator.requests)
    whole = job(emulator, photos)
    list(whole.rows(ledger=tmp_path / "l"))
    assert whole.progress.known == count


def test_fewer_pictures_are_read_ahead_if_the_gate_allows_fewer_concurrent_calls(
    emulator: Emulator, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result: set[str] = set()
    most = 0

    class Counted(Item):
        def part(self) -> Any:
            nonlocal most
            result.add(self.name)
            most = max(most, len(result))
            return super().part()

    class Narrow:
        width = 1

    running = job(emulator, [Counted(path.name, path) for path in photos.iterdir()], max_concurrency=20)
    before = module.Calls.__init__

    def narrowed(self: Any, *args: Any, **more: Any) -> None:
        before(self, *args, **more)
        self._gate = Narrow

    monkeypatch.setattr(module.Calls, "__init__", narrowed)
    handed = module.Calls._hand_on

    def counted(self: Any, number: int, row: Row | None) -> None:
        if row is not None:
            result.discard(row.key)
        handed(self, number, row)

    monkeypatch.setattr(module.Calls, "_hand_on", counted)
    assert len(list(running.rows())) == COUNT
    assert 1 <= most <= 1 + module.AHEAD + 1  # one more call, whose row is being passed to the reader


def test_answers_are_not_reused_if_the_next_run_gets_a_client_with_other_options(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    for temperature in (0.1, 0.9):
        client = glmv.AsyncClient(
            emulator.api_key, base_url=emulator.base_url, model=MODEL, temperature=temperature, thinking=False
        )
        progress = Job(photos, "Which colour is it?", client=client).write(tmp_path / "o.jsonl")
        assert (progress.answered, progress.known) == (COUNT, 0)


def test_a_job_with_a_ledger_that_cannot_be_opened_raises_before_any_request(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder.ledger").mkdir()
    with pytest.raises(glmv.InvalidRequestError, match=r"folder\.ledger cannot be opened"):
        list(job(emulator, photos).rows(ledger=tmp_path / "folder.ledger"))
    assert len(emulator.requests) == 0


def test_an_answer_that_violates_its_schema_is_a_failed_row_with_the_text() -> None:
    question = Question("What is it?", schema={"type": "object", "properties": {"a": {"type": "integer"}}})
    answer = glmv.Completion(text="It is a cat.", usage=glmv.Usage(10, 5, 15), model=MODEL)
    row = question.row_of(Item("cat.png"), answer, 0.1)
    assert (row.ok, row.text, row.error_class, row.retryable) == (False, "It is a cat.", "MalformedResponse", True)
    assert row.usage == answer.usage


class Renamed(pydantic.BaseModel):
    """A class whose field has an alias, and whose converted value would be refused if it were validated again."""

    color: str = pydantic.Field(alias="main_color")

    @pydantic.field_validator("color")
    @classmethod
    def marked(cls, value: str) -> str:
        if value.startswith("#"):
            raise ValueError("It is marked already.")
        return f"#{value}"


def test_stored_answers_are_reused_even_if_a_second_validation_would_refuse_them(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for again in (False, True):
        result = job(emulator, photos, schema=Renamed).write(tmp_path / "o.parquet", order="input")
        assert (result.answered, result.failed, result.known) == ((0, 0, COUNT) if again else (COUNT, 0, 0))
        colours = parquet.read_table(tmp_path / "o.parquet").column("main_color").to_pylist()
        assert all(colour.startswith("#") for colour in colours), colours


def test_an_exception_that_the_caller_keeps_does_not_keep_the_ledger_open(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    def broken(row: Row) -> None:
        raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError) as caught:
        job(emulator, photos).write(tmp_path / "o.jsonl", on_row=broken)
    assert caught.value.__traceback__ is not None  # holds the frame of `write`
    assert job(emulator, photos).write(tmp_path / "o.jsonl").done == COUNT


def test_messages_given_as_an_iterator_are_sent_with_every_picture_of_the_job(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    def ask(item: Item) -> Any:
        yield item.part()
        yield "Which colour is it?"

    for _ in range(2):
        for messages in (ask, iter(["Which colour", "is it?"])):
            progress = job(emulator, photos, None, messages=messages).write(tmp_path / "o.jsonl", order="input")
            assert progress.failed == 0
            assert len({row["text"] for row in lines(tmp_path / "o.jsonl")}) == COUNT
    assert len(emulator.requests) == 2 * COUNT


def test_an_item_whose_messages_cannot_be_hashed_is_a_failed_row_and_is_not_sent(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    def ask(item: Item) -> Any:
        return [{"role": "user", "content": (part for part in [item.part(), "?"])}]

    result = job(emulator, photos, None, messages=ask).write(tmp_path / "o.jsonl")
    assert (result.answered, result.errors["TypeError"], len(emulator.requests)) == (0, COUNT, 0)


TURN = glmv.Message("user", "Which colour?")


@pytest.mark.parametrize(
    "messages",
    [
        "Which colour?",
        ["Which colour?"],
        TURN,
        [glmv.Message("system", "Be brief."), TURN],
        {"role": "user", "content": "Which colour?"},
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ["Which colour?"]}],
    ],
    ids=["text", "texts", "message", "conversation", "dict", "dicts"],
)
def test_a_job_puts_the_picture_before_the_text_of_the_last_turn(
    emulator: Emulator, photos: Path, messages: Any
) -> None:
    [row] = job(emulator, [photos / "00.png"], None, messages=messages).rows()
    assert row.ok, row.error
    turn = emulator.requests[0].body["messages"][-1]
    assert [part["type"] for part in turn["content"]] == ["image_url", "text"]


@pytest.mark.parametrize(
    "via", [{}, {"via": "platform", "model": "glm-4v-plus-0111", "thinking": None}], ids=["calls", "batches"]
)
def test_an_answer_that_violates_its_schema_is_stored_with_its_price_until_a_retry(
    emulator: Emulator, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, via: dict[str, Any]
) -> None:
    monkeypatch.setattr("glmv_batch._batches.FIRST_PAUSE", 0.01)
    result = job(emulator, [photos / "00.png"], schema={"type": "object", "not": {}}, **via)
    [row] = result.rows(ledger=tmp_path / "l")
    assert (row.error_class, row.retryable, row.model) == ("MalformedResponse", True, via.get("model", MODEL))
    assert row.text
    assert (result.progress.unpriced, result.progress.spent is not None) == (0, True)
    count = len(emulator.requests)
    list(result.rows(ledger=tmp_path / "l"))
    assert len(emulator.requests) == count
    list(result.rows(ledger=tmp_path / "l", retry_failed=True))
    assert len(emulator.requests) > count
