"""The official clients run the calls of the platform's SDK tests against the emulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_official_clients_can_turn_thinking_on_and_off(
    run: Run, official: str, glmv_emulator: Any, chart: Path
) -> None:
    got = run(official, "official.py", "thinking", URL=glmv_emulator.host(chart))
    assert got["whole"] == got["streamed"]
    assert got["whole"]["reasoning"]
    assert got["off"]["reasoning"] == ""
    assert got["off"]["text"] == got["whole"]["text"]


def test_official_clients_get_a_tool_call_and_an_answer_that_uses_its_result(
    run: Run, official: str, glmv_emulator: Any
) -> None:
    glmv_emulator.call("get_weather", city="Berlin")
    got = run(official, "official.py", "tools")
    assert (got["finish"], got["name"]) == ("tool_calls", "get_weather")
    assert got["arguments"] == {"city": "Berlin"}
    assert "rain" in got["text"]


def test_official_clients_poll_an_async_task_until_it_succeeds(run: Run, official: str) -> None:
    got = run(official, "official.py", "deferred")
    assert got["states"] == ["PROCESSING", "PROCESSING", "SUCCESS"]
    assert got["request_id"] == "deferred-1"
    assert got["text"]


def test_similar_texts_have_similar_embeddings(run: Run, official: str) -> None:
    got = run(official, "official.py", "embeddings")
    assert got["size"] == 256
    assert got["near"] > got["far"] + 0.2


def test_a_batch_of_an_official_client_runs_from_upload_to_answers(run: Run, official: str) -> None:
    got = run(official, "official.py", "files")
    assert got["listed"]
    assert (got["states"][0], got["states"][-1]) == ("validating", "completed")
    assert sorted(got["ids"]) == [f"request-{number}" for number in range(5)]
    assert all(got["texts"])
    assert (got["counts"]["total"], got["counts"]["completed"]) == (5, 5)
    assert got["metadata"] == {"what": "a test"}
    assert got["deleted"]


def test_requests_from_the_tests_of_the_official_clients_are_answered(run: Run, official: str) -> None:
    got = run(official, "official.py", "habits")
    assert all(got["texts"].values()), got["texts"]
    assert got["embedding"] == 1024


def test_batches_are_listed_page_by_page_newest_first(run: Run, official: str) -> None:
    got = run(official, "official.py", "pages")
    assert got["listed"] == got["made"][::-1]
    assert got["more"]
