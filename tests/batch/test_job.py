"""A job sends every item once, keeps the answers, and continues where it stopped."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import sqlite3
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import PIL.Image
import pydantic
import pytest

import glmv
from glmv.media import pixels
from glmv_batch import Item, Job, Row
from glmv_batch import _ledger as ledger_room
from glmv_emulator import Emulator
from tests.batch.conftest import lines
from tests.support.other_servers import OPENAI, OtherServer

MODEL = "glm-4.6v-flash"
COLORS = ("red", "green", "blue", "yellow", "white", "black", "purple", "orange")


class Shown(pydantic.BaseModel):
    main_color: str


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, color in enumerate(COLORS):
        draw(tmp_path / "photos" / f"{number}.png", color)
    return tmp_path / "photos"


def draw(path: Path, color: str) -> None:
    path.parent.mkdir(exist_ok=True)
    PIL.Image.new("RGB", (32, 32), color).save(path)


def job(emulator: Emulator, source: Any, prompt: str | None = "Which colour is it?", **options: Any) -> Job:
    settings = {"model": MODEL, "max_concurrency": 4, "thinking": False, **options}
    return Job(source, prompt, base_url=emulator.base_url, api_key=emulator.api_key, **settings)


def test_a_job_gives_one_answer_for_each_picture_of_a_folder(emulator: Emulator, photos: Path, tmp_path: Path) -> None:
    result = job(emulator, photos).write(tmp_path / "o.jsonl")
    values = {row["key"]: row["text"].lower() for row in lines(tmp_path / "o.jsonl")}
    assert set(values) == {f"{number}.png" for number in range(len(COLORS))}
    assert all(color in values[f"{number}.png"] for number, color in enumerate(COLORS))
    assert (result.answered, result.failed, result.known) == (len(COLORS), 0, 0)
    assert result.total == len(COLORS)


def test_a_second_run_of_the_same_job_sends_nothing_and_writes_the_same_rows(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.jsonl"
    job(emulator, photos).write(out, order="input")
    first, count = lines(out), len(emulator.requests)
    result = job(emulator, photos).write(out, order="input")
    assert len(emulator.requests) == count
    assert lines(out) == first
    assert result.known == len(COLORS)


@pytest.mark.parametrize(
    "change",
    [{"prompt": "What is it?"}, {"model": "glm-4.5v"}, {"temperature": 0.2}, {"schema": Shown}],
    ids=lambda change: next(iter(change)),
)
def test_pictures_are_sent_again_if_the_prompt_or_model_or_options_or_schema_changed(
    emulator: Emulator, photos: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    job(emulator, photos).write(tmp_path / "o.jsonl")
    result = job(emulator, photos, **change).write(tmp_path / "o.jsonl")
    assert (result.answered, result.known) == (len(COLORS), 0)


def test_a_changed_picture_is_sent_again_and_a_renamed_picture_is_not(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    job(emulator, photos).write(tmp_path / "o.jsonl")
    draw(photos / "0.png", "pink")
    (photos / "1.png").rename(photos / "renamed.png")
    result = job(emulator, photos).write(tmp_path / "o.jsonl")
    assert (result.answered, result.known) == (1, len(COLORS) - 1)
    values = {row["key"]: row["text"].lower() for row in lines(tmp_path / "o.jsonl")}
    assert "pink" in values["0.png"]
    assert "green" in values["renamed.png"]


def test_answers_are_reused_by_a_job_with_other_connection_settings(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    job(emulator, photos).write(tmp_path / "o.jsonl")
    result = job(emulator, photos, max_concurrency=2, timeout=20.0).write(tmp_path / "o.jsonl")
    assert result.answered == 0


def test_equal_pictures_that_wait_together_are_sent_once_and_get_one_row_each(emulator: Emulator, photos: Path) -> None:
    result = [photos / "0.png", photos / "1.png"] * 5
    rows = list(job(emulator, result).rows(order="input"))
    assert [row.key for row in rows] == [str(path) for path in result]
    assert all(row.ok for row in rows)
    # Without a ledger, those that come when the first has ended are asked again.
    assert 2 <= len(emulator.requests) < len(result)


def test_a_job_with_a_ledger_sends_thirty_equal_pictures_once(emulator: Emulator, photos: Path, tmp_path: Path) -> None:
    rows = list(job(emulator, [photos / "0.png"] * 30).rows(ledger=tmp_path / "l"))
    assert len(rows) == 30
    assert len(emulator.requests) == 1


def test_rows_can_come_in_the_order_of_the_input(emulator: Emulator, photos: Path) -> None:
    result = [photos / f"{number}.png" for number in range(len(COLORS))] * 3
    assert [row.key for row in job(emulator, result).rows(order="input")] == [str(path) for path in result]


def test_new_answers_and_answers_from_the_ledger_become_objects_of_the_schema_class(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        rows = list(job(emulator, photos, schema=Shown).rows(ledger=tmp_path / "l", order="input"))
        assert [row.parsed.main_color for row in rows] == list(COLORS)
    assert len(emulator.requests) == len(COLORS)


def test_an_item_that_cannot_be_sent_is_a_failed_row_and_other_items_are_answered(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    (photos / "torn.png").write_bytes(b"no picture")
    result = job(emulator, photos).write(tmp_path / "o.jsonl")
    [bad] = [row for row in lines(tmp_path / "o.jsonl") if "error" in row]
    assert (bad["key"], bad["error_class"], bad["retryable"]) == ("torn.png", "UnsupportedContent", False)
    assert (result.answered, result.failed, result.errors["UnsupportedContent"]) == (len(COLORS), 1, 1)


def test_an_item_without_picture_is_sent_only_if_a_function_makes_its_messages(
    emulator: Emulator, photos: Path
) -> None:
    source = [{"image": photos / "0.png"}, {"image": None, "id": "none"}, Item("nothing")]
    rows = list(job(emulator, source).rows(order="input"))
    assert [(row.key, row.error) for row in rows[1:]] == [
        (name, "The item has no picture; nothing was sent.") for name in ("none", "nothing")
    ]
    assert rows[0].ok
    assert len(emulator.requests) == 1
    words = list(job(emulator, [{"image": None}], None, messages=lambda item: "Are you there?").rows())
    assert words[0].ok


def test_a_failed_row_is_retried_in_the_next_run_only_with_the_option_retry_failed(
    emulator: Emulator, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glmv_batch._calls.BUSY_PAUSES", ())
    emulator.fail(times=1, code=1305)
    options = {"max_retries": 0, "max_concurrency": 1}
    result = job(emulator, photos, **options).write(tmp_path / "o.jsonl")
    assert (result.answered, result.failed) == (len(COLORS) - 1, 1)
    again = job(emulator, photos, **options).write(tmp_path / "o.jsonl")
    assert (again.answered, again.known, again.known_failed) == (0, len(COLORS), 1)
    assert f"{len(COLORS)} already in the ledger (1 of these failed);" in str(again)
    last = job(emulator, photos, **options).write(tmp_path / "o.jsonl", retry_failed=True)
    assert (last.answered, last.known) == (1, len(COLORS) - 1)
    assert all("text" in row for row in lines(tmp_path / "o.jsonl"))


def test_a_wrong_api_key_ends_the_job_after_at_most_five_requests(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    wrong = Job(photos, "What is it?", model=MODEL, base_url=emulator.base_url, api_key="test-id.wrong")
    with pytest.raises(glmv.AuthenticationError):
        wrong.write(tmp_path / "o.jsonl")
    assert len(emulator.requests) <= 5


def test_a_job_without_an_api_key_raises_before_any_item_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLMV_BASE_URL", "ZHIPUAI_BASE_URL", "ZAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    read = []
    source = (read.append(number) or "https://example.com/a.png" for number in count())  # type: ignore[func-returns-value]
    with pytest.raises(glmv.AuthenticationError):
        next(Job(source, "What is it?").rows())
    assert read == []


def test_a_job_reads_at_most_a_few_items_of_an_endless_source_ahead_of_its_rows(
    emulator: Emulator, photos: Path
) -> None:
    read = 0

    def endless() -> Iterator[Item]:
        nonlocal read
        for number in count():
            read = number + 1
            yield Item(str(number), photos / f"{number % len(COLORS)}.png")

    rows = job(emulator, endless(), max_concurrency=2).rows()
    results = [next(rows) for _ in range(30)]
    rows.close()
    assert len(results) == 30
    assert read <= 30 + 2 * (2 + 4) + 1


def test_a_job_sends_few_requests_ahead_if_its_rows_are_not_read(emulator: Emulator, photos: Path) -> None:
    rows = job(emulator, [photos / "0.png"] * 500, max_concurrency=1).rows()
    next(rows)
    rows.close()
    assert len(emulator.requests) < 50


def test_answers_are_kept_in_the_ledger_if_the_loop_over_the_rows_is_left_early(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    for row in job(emulator, photos, max_concurrency=2).rows(ledger=tmp_path / "l"):
        assert row.ok
        break
    count = len(emulator.requests)
    rest = list(job(emulator, photos).rows(ledger=tmp_path / "l"))
    assert len(rest) == len(COLORS)
    assert len(emulator.requests) == len(COLORS)
    assert count <= len(COLORS)


def test_answers_of_calls_that_run_at_ctrl_c_are_written_to_the_output(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    def interrupt(row: Row) -> None:
        raise KeyboardInterrupt

    interrupted = job(emulator, photos, max_concurrency=2)
    with pytest.raises(KeyboardInterrupt):
        interrupted.write(tmp_path / "o.jsonl", on_row=interrupt)
    assert len(lines(tmp_path / "o.jsonl")) == len(emulator.requests)
    assert interrupted.progress.stopped == "interrupted"
    result = job(emulator, photos).write(tmp_path / "o.jsonl")
    assert result.known + result.answered == len(COLORS)
    assert len(emulator.requests) == len(COLORS)


async def test_the_asynchronous_iterator_gives_a_row_for_each_picture_in_input_order(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    running = job(emulator, photos)
    results = [row async for row in running.arows(ledger=tmp_path / "l", order="input")]
    assert [row.key for row in results] == sorted(path.name for path in photos.iterdir())
    assert running.progress.stopped is None


async def test_the_event_loop_is_not_blocked_while_pictures_are_read(emulator: Emulator, tmp_path: Path) -> None:
    here = threading.get_ident()
    readers = set()

    class Slow(Item):
        def part(self) -> Any:
            readers.add(threading.get_ident())
            return glmv.Image.from_url("https://example.com/a.png")

    source = (Slow(str(number), "https://example.com/a.png") for number in range(5))
    rows = [row async for row in job(emulator, source).arows()]
    assert len(rows) == 5
    assert readers
    assert here not in readers


async def test_a_passed_client_is_used_and_left_open(emulator: Emulator, photos: Path) -> None:
    async with glmv.AsyncClient(emulator.api_key, base_url=emulator.base_url, model=MODEL) as client:
        own = Job(photos, "Which colour is it?", client=client, thinking=False)
        assert len([row async for row in own.arows()]) == len(COLORS)
        assert (await client.chat("Are you there?", thinking=False)).text


def test_a_job_with_both_a_client_and_an_api_key_is_refused(emulator: Emulator) -> None:
    client = glmv.AsyncClient(emulator.api_key, base_url=emulator.base_url)
    with pytest.raises(glmv.InvalidRequestError, match="api_key, base_url"):
        Job(["a"], "?", client=client, api_key="k", base_url="https://example.com")
    asyncio.run(client.aclose())


def test_a_second_run_with_a_ledger_in_use_raises_an_error_that_names_the_first_run(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    rows = job(emulator, photos, max_concurrency=1).rows(ledger=tmp_path / "l")
    next(rows)
    with pytest.raises(glmv.InvalidRequestError, match=r"Another run uses the ledger .*: process \d+ on .*, since 20"):
        list(job(emulator, photos, "The second run's question?").rows(ledger=tmp_path / "l"))
    assert not any("second run" in str(request.body) for request in emulator.requests)
    rows.close()


def test_a_second_job_that_writes_the_same_output_at_the_same_time_is_refused(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    out, messages = tmp_path / "o.jsonl", []

    def second(row: Row) -> None:
        if not messages:
            count = len(emulator.requests)
            with pytest.raises(glmv.InvalidRequestError, match=r"Another job writes .*o\.jsonl") as refused:
                job(emulator, photos, "The second question?").write(out, ledger=tmp_path / "another")
            messages.append(str(refused.value))
            assert len(emulator.requests) - count <= len(COLORS)

    job(emulator, photos).write(out, on_row=second)
    assert messages
    assert sorted(row["key"] for row in lines(out)) == sorted(path.name for path in photos.iterdir())
    assert not any("second question" in str(request.body) for request in emulator.requests)
    job(emulator, photos, "The second question?").write(out, ledger=tmp_path / "another")
    assert len(lines(out)) == len(COLORS)


def test_a_column_in_keep_columns_that_does_not_exist_raises_before_any_request(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    table = [{"id": 5, "photo": str(photos / "0.png"), "title": "Red"}]
    with pytest.raises(glmv.InvalidRequestError, match=r"keep_columns: item 1 has no column price; it has id, photo"):
        job(emulator, table).write(tmp_path / "o.jsonl", keep_columns=["title", "price"])
    with pytest.raises(glmv.InvalidRequestError, match="it has no columns"):
        job(emulator, photos).write(tmp_path / "o.jsonl", keep_columns=["title"])
    assert len(emulator.requests) == 0
    job(emulator, table).write(tmp_path / "o.jsonl", keep_columns=["title"])
    job(emulator, photos).write(tmp_path / "all.jsonl", keep_columns=True)
    assert [(row["key"], row["title"]) for row in lines(tmp_path / "o.jsonl")] == [(5, "Red")]
    assert len(lines(tmp_path / "all.jsonl")) == len(COLORS)


def test_a_job_through_the_platforms_batches_keeps_columns_and_keys_of_a_table(
    emulator: Emulator, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glmv_batch._batches.FIRST_PAUSE", 0.01)
    table = [{"id": 5, "photo": str(photos / "0.png"), "n": 1.5}, {"id": "six", "photo": str(photos / "1.png"), "n": 2}]
    result = job(emulator, table, model="glm-4v-plus", via="platform", max_concurrency=None, thinking=None)
    result.write(tmp_path / "o.jsonl", keep_columns=["n"])
    assert {(row["key"], row["n"]) for row in lines(tmp_path / "o.jsonl")} == {(5, 1.5), ("six", 2)}


def test_a_job_refuses_a_ledger_with_answers_of_a_different_server(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    list(job(emulator, photos).rows(ledger=tmp_path / "l"))
    elsewhere = Job(photos, "?", api_key="test-id.test-secret", base_url="https://open.bigmodel.cn")
    with pytest.raises(
        glmv.InvalidRequestError, match=r"has answers of loopback, but this job uses open\.bigmodel\.cn"
    ):
        next(elsewhere.rows(ledger=tmp_path / "l"))


def test_an_almost_full_disk_stops_the_job_before_the_first_call(
    emulator: Emulator, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_room, "MARGIN", 1 << 62)
    with pytest.raises(glmv.LimitExceeded, match="Free disk space and run again"):
        list(job(emulator, photos).rows(ledger=tmp_path / "l"))
    assert len(emulator.requests) == 0
    monkeypatch.undo()
    assert len(list(job(emulator, photos).rows(ledger=tmp_path / "l"))) == len(COLORS)


def test_a_ledger_that_cannot_grow_ends_the_job_and_keeps_the_stored_answers(
    emulator: Emulator, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = sqlite3.connect

    def small(*args: Any, **more: Any) -> sqlite3.Connection:
        db = pages(*args, **more)
        db.execute("pragma max_page_count = 14")
        return db

    monkeypatch.setattr(sqlite3, "connect", small)
    source = [Item(f"{number:>03}", f"https://example.com/{number}.png") for number in range(400)]
    rows: list[Row] = []
    with pytest.raises(glmv.LimitExceeded, match="cannot be written"):
        rows.extend(job(emulator, source, max_concurrency=2).rows(ledger=tmp_path / "l"))
    count = len(emulator.requests)
    assert 0 < count < 400
    monkeypatch.undo()
    second = job(emulator, source, max_concurrency=2)
    again = list(second.rows(ledger=tmp_path / "l"))
    assert len(again) == 400
    assert second.progress.known >= count - 2 - 4


def test_a_job_stops_before_it_exceeds_its_budget_of_tokens(emulator: Emulator, photos: Path, tmp_path: Path) -> None:
    one = next(job(emulator, [photos / "0.png"]).rows())
    assert one.usage is not None
    limit = 4 * one.usage.total_tokens
    bounded = job(emulator, photos, budget=f"{limit} tokens")
    result = bounded.write(tmp_path / "o.jsonl")
    assert result.stopped == "the budget is spent"
    assert 1 <= result.answered <= 4
    assert result.input_tokens + result.output_tokens <= limit
    assert job(emulator, photos).write(tmp_path / "o.jsonl").known == result.answered


@pytest.mark.parametrize(
    ("budget", "model", "message"),
    [
        ("much", MODEL, "budget must be written"),
        ("5", MODEL, "budget must be written"),
        ("5 CNY", "unknown-model", "price of unknown-model is not known"),
        ("$5", "glm-4v-plus-0111", "known in CNY and not in USD"),
    ],
)
def test_an_invalid_budget_is_refused(emulator: Emulator, budget: str, model: str, message: str) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=message):
        job(emulator, ["a.png"], model=model, budget=budget)


@pytest.mark.parametrize(("prompt", "messages"), [(None, None), ("?", "?")])
def test_a_job_with_both_prompt_and_messages_or_with_neither_is_refused(
    prompt: str | None, messages: str | None
) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="Pass either prompt"):
        Job(["a.png"], prompt, messages=messages)


def test_a_function_can_make_the_messages_for_each_item(emulator: Emulator) -> None:
    def ask(item: Item) -> Any:
        return f"Say the word {item.columns['word']}."

    source = [Item(word, columns={"word": word}) for word in ("apple", "pear")]
    rows = list(job(emulator, source, None, messages=ask).rows(order="input"))
    assert all(row.ok for row in rows)
    contents = [request.body["messages"][-1]["content"] for request in emulator.requests]
    assert {"apple" in str(text) for text in contents} == {True, False}


def test_the_error_for_an_unknown_option_names_the_most_similar_option() -> None:
    with pytest.raises(glmv.GLMVError, match="temperature"):
        Job(["a.png"], "?", temprature=0.1)


def test_a_job_can_run_through_the_platforms_batches(
    emulator: Emulator, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glmv_batch._batches.FIRST_PAUSE", 0.01)
    (photos / "same.png").write_bytes((photos / "0.png").read_bytes())
    (photos / "torn.png").write_bytes(b"no picture")
    options: dict[str, Any] = {"model": "glm-4v-plus-0111", "via": "platform", "thinking": None}
    result = job(emulator, photos, **options).write(tmp_path / "o.jsonl")
    values = {row["key"]: row for row in lines(tmp_path / "o.jsonl")}
    assert all(color in values[f"{number}.png"]["text"].lower() for number, color in enumerate(COLORS))
    assert values["same.png"]["text"] == values["0.png"]["text"]
    assert values["torn.png"]["error_class"] == "UnsupportedContent"
    assert (result.answered, result.failed, result.known) == (len(COLORS), 1, 1)
    posted = sum(request.path.endswith("/batches") and request.method == "POST" for request in emulator.requests)
    assert posted == 1
    again = job(emulator, photos, **options).write(tmp_path / "o.jsonl")
    assert (again.answered, again.known) == (0, len(COLORS) + 1)
    assert sum(request.path.endswith("/batches") and request.method == "POST" for request in emulator.requests) == 1


def test_rows_of_a_resumed_batch_have_keys_and_columns_of_the_current_source(
    emulator: Emulator, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glmv_batch._batches.FIRST_PAUSE", 0.01)
    options: dict[str, Any] = {"model": "glm-4v-plus-0111", "via": "platform", "thinking": None}
    items = [{"photo": str(photos / "0.png"), "shelf": shelf} for shelf in (1, 2)]
    first = job(emulator, items, **options)
    monkeypatch.setattr("glmv_batch._batches.PlatformBatches.answers", lambda platform: first.stop() or iter(()))
    assert list(first.rows(ledger=tmp_path / "l")) == []
    monkeypatch.undo()
    monkeypatch.setattr("glmv_batch._batches.FIRST_PAUSE", 0.01)
    (photos / "0.png").rename(photos / "renamed.png")
    items = [{"photo": str(photos / "renamed.png"), "shelf": shelf} for shelf in (3, 3)]
    again = job(emulator, items, **options)
    results = [(row.key, row.columns["shelf"]) for row in again.rows(ledger=tmp_path / "l")]
    assert results == [(str(photos / "renamed.png"), 3)] * 2
    assert (again.progress.answered, again.progress.known) == (1, 1)


def test_the_platforms_batches_refuse_to_give_rows_in_input_order(emulator: Emulator) -> None:
    running = job(emulator, ["a.png"], model="glm-4v-plus-0111", via="platform", thinking=None)
    with pytest.raises(glmv.InvalidRequestError, match="come in order of arrival"):
        next(running.rows(order="input"))


def test_a_job_through_the_platforms_batches_refuses_models_that_lack_batch_support() -> None:
    with pytest.raises(glmv.UnsupportedContent, match="accept pictures only for glm-4v, glm-4v-plus, glm-4v-plus-0111"):
        Job(["a.png"], "?", model="glm-4.6v", via="platform")


def test_progress_is_reported_as_text_and_as_json(emulator: Emulator, photos: Path, tmp_path: Path) -> None:
    seen = []
    running = job(emulator, photos, model="glm-4.6v")
    running.write(tmp_path / "o.jsonl", on_row=lambda row: seen.append(json.loads(running.progress.as_json())))
    assert [one["done"] for one in seen] == sorted(one["done"] for one in seen)
    last = seen[-1]
    assert (last["done"], last["total"], last["width"], last["errors"]) == (len(COLORS), len(COLORS), 4, {})
    assert (last["spent"], last["currency"], last["price_date"]) == (0, None, None)  # the emulator costs nothing
    assert last["rate"] > 0
    assert " tokens, free; " in str(running.progress)


async def test_a_picture_that_is_too_large_is_shrunk_outside_the_event_loops_thread(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, fitted_in = threading.get_ident(), set()
    fit = pixels.fit

    def seen(*args: Any) -> bytes:
        fitted_in.add(threading.get_ident())
        return fit(*args)

    monkeypatch.setattr(pixels, "fit", seen)
    PIL.Image.new("RGB", (7000, 40), "red").save(tmp_path / "wide.png")
    [row] = [row async for row in job(emulator, [tmp_path / "wide.png"]).arows()]
    assert row.ok
    assert "7000x40" in row.notes[0]
    assert fitted_in
    assert here not in fitted_in


def test_a_job_with_base_model_accepts_a_budget_for_an_unknown_model(photos: Path) -> None:
    server = OtherServer(OPENAI)
    client = glmv.AsyncClient(**server.options(base_model="glm-4.6v"))
    own = Job(photos, "Which colour?", client=client, budget="$1")
    assert {row.text for row in own.rows()} == {"Hi"}
    assert own.progress.spent is not None
    assert own.progress.spent.currency == "USD"
    assert {body["model"] for body in server.bodies} == {"ours"}
    assert all("base_model" not in body for body in server.bodies)
    with pytest.raises(glmv.InvalidRequestError, match="its own base_model"):
        Job(photos, "?", client=client, base_model="glm-4.6v")
    with pytest.raises(glmv.InvalidRequestError, match=r"base_model.*glm-4\.6v, "):
        Job(photos, "?", model="ours", base_model="glm-9")


def test_a_job_is_priced_by_its_base_model(photos: Path) -> None:
    client = glmv.AsyncClient(**OtherServer(OPENAI).options(model="GLM-4.6V", base_model="glm-4.5v"))
    priced = Job(photos, "Which colour?", client=client, budget="$1")
    assert all(row.ok for row in priced.rows())
    assert priced.progress.spent is not None
    row = glmv.find_model("glm-4.5v")
    assert row is not None
    assert priced.progress.spent.amount == pytest.approx(8 * row.price_in("USD").amount(5, 1, 0))


def test_a_job_at_the_emulator_is_free_with_any_base_model(emulator: Emulator, photos: Path) -> None:
    priced = job(emulator, photos, model="GLM-4.6V", base_model="glm-4.5v", budget="$1")
    assert all(row.ok for row in priced.rows())
    assert str(priced.progress.spent) == "free"


def test_a_job_can_be_created_without_a_key(monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
    monkeypatch.delenv("ZHIPUAI_API_KEY", raising=False)
    monkeypatch.delenv("ZAI_API_KEY", raising=False)
    assert Job(photos, "What is it?", budget="10 CNY").progress.done == 0


def test_a_job_over_an_iterator_refuses_a_second_write_and_keeps_the_first_output(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.tsv"
    running = job(emulator, (str(path) for path in sorted(photos.iterdir())))
    with pytest.raises(glmv.InvalidRequestError, match="has no column"):
        running.write(tmp_path / "none.tsv", keep_columns=["none"])
    with pytest.raises(glmv.InvalidRequestError, match="can be read only once and has already been read"):
        running.write(out)
    running = job(emulator, (str(path) for path in sorted(photos.iterdir())))
    out.with_name("blocked").touch()
    with pytest.raises(glmv.GLMVError):
        running.write(out, ledger=tmp_path / "blocked" / "ledger")  # nothing was read
    running.write(out)
    whole = out.read_bytes()
    with pytest.raises(glmv.InvalidRequestError, match="the new output would lack these rows"):
        running.write(out)
    assert out.read_bytes() == whole
    again = job(emulator, [str(path) for path in sorted(photos.iterdir())])
    assert [again.write(out).known for _ in range(2)] == [len(COLORS)] * 2


def test_the_asynchronous_iterator_raises_outside_of_asyncio_and_says_what_to_do(
    emulator: Emulator, photos: Path
) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="With trio, iterate over `rows` in a thread"):
        anext(job(emulator, photos).arows()).send(None)  # as an event loop that is none of asyncio would


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="needs an environment without ray")
def test_the_module_for_ray_says_how_to_install_ray() -> None:
    with pytest.raises(ModuleNotFoundError, match=r'needs ray 2\.44 or newer.*pip install -U "glmv\[ray\]"'):
        importlib.import_module("glmv_batch.ray")


@pytest.mark.parametrize("name", ["table.csv", "./table.csv", "link.csv"])
def test_an_output_that_is_the_source_is_refused_and_the_source_is_not_changed(
    emulator: Emulator, photos: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text("image\nphotos/0.png\n")
    Path("link.csv").symlink_to("table.csv")
    with pytest.raises(glmv.InvalidRequestError, match=r"is the source of this job, .*: name another file"):
        job(emulator, tmp_path / "table.csv").write(name)
    assert Path("table.csv").read_text() == "image\nphotos/0.png\n"


def test_an_output_that_is_the_ledger_is_refused_before_anything_is_paid_for(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.jsonl"
    with pytest.raises(glmv.InvalidRequestError, match="is the ledger of this job"):
        job(emulator, photos).write(out, ledger=tmp_path / "photos" / ".." / "o.jsonl")
    assert not out.exists()


@pytest.mark.parametrize("name", ["a\0b.jsonl", "x" * 5_000 + ".jsonl"], ids=["zero byte", "long name"])
def test_an_output_whose_path_cannot_be_a_file_name_is_refused(emulator: Emulator, tmp_path: Path, name: str) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="cannot be written: "):
        job(emulator, []).write(f"{tmp_path}/{name}")


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5_000 + ".png"], ids=["zero byte", "long name"])
def test_an_item_whose_path_cannot_be_a_file_name_is_a_failed_row_with_a_glmv_error(
    emulator: Emulator, name: str
) -> None:
    (row,) = job(emulator, [name]).rows()
    assert row.error_class == "InvalidRequestError"
    assert row.error is not None
    assert "picture: " in row.error or "There is no file" in row.error


@pytest.mark.parametrize(
    ("via", "given", "used"),
    [("calls", "http_client", "http_async_client"), ("platform", "http_async_client", "http_client")],
)
def test_an_http_client_that_a_job_would_not_use_is_refused(via: Any, given: str, used: str) -> None:
    client = httpx.Client() if given == "http_client" else httpx.AsyncClient()
    with pytest.raises(glmv.InvalidRequestError, match=f"sends with {used}; got only {given}, whose proxy"):
        Job("photos", "?", via=via, model="glm-4v-plus", api_key="a.b", **{given: client})


def test_advice_to_free_disk_space_is_given_only_for_a_full_disk(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "o.csv.part").mkdir()
    with pytest.raises(glmv.LimitExceeded, match="Make it writable, or name another output, and run again") as caught:
        job(emulator, photos).write(tmp_path / "o.csv")
    assert "disk space" not in str(caught.value)


@pytest.mark.parametrize(
    ("prompt", "messages", "message"),
    [(5, None, "prompt must be a text.*got int"), (None, object(), "messages must be a text.*got object")],
    ids=["prompt", "messages"],
)
def test_a_wrong_type_of_prompt_or_of_messages_is_refused(prompt: Any, messages: Any, message: str) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=message):
        Job(["a.png"], prompt, messages=messages, api_key="a.b")


@pytest.mark.parametrize(
    "options", [{"schema": {"type": "object", "enum": {1}}}, {"extra_body": {"a": {1}}}], ids=["schema", "option"]
)
def test_a_question_that_json_cannot_express_ends_the_job_before_anything_is_sent(
    emulator: Emulator, photos: Path, options: Any
) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="cannot be written as JSON: Object of type set"):
        list(job(emulator, photos, **options).rows())
    assert len(emulator.requests) == 0
