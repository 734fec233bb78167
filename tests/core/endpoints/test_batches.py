"""Batches: many requests in one file, and their answers in the order of the requests."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import glmv
from glmv.endpoints import batches
from glmv.endpoints.batches import Batch, gathered, wait

PICTURE = glmv.Image.from_url("https://example.com/a.png")
BATCH = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v4/chat/completions",
    "input_file_id": "f-in",
    "output_file_id": "",
    "error_file_id": "",
    "status": "validating",
    "created_at": 1715674031399,
    "request_counts": {"completed": None, "failed": None, "total": None},
}
DONE = {
    **BATCH,
    "status": "completed",
    "output_file_id": "f-out",
    "request_counts": {"completed": 2, "failed": 1, "total": 3},
}


def line(custom_id: str, text: str = "yes", **body: Any) -> bytes:
    """A line of the output file: the answer to one request."""
    answer = {
        "created": 1716472886,
        "usage": {"completion_tokens": 1, "prompt_tokens": 9, "total_tokens": 10},
        "model": "glm-4v-plus",
        "id": "8685314030377838818",
        "choices": [{"finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": text}}],
        "request_id": f"615-{custom_id}",
        **body,
    }
    row = {"response": {"status_code": 200, "body": answer}, "custom_id": custom_id, "id": "batch_17"}
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def refused(custom_id: str, status: int = 400) -> bytes:
    body = {"error": {"code": "1301", "message": "unsafe"}}
    return json.dumps({"response": {"status_code": status, "body": body}, "custom_id": custom_id}).encode() + b"\n"


def platform(output: bytes = b"", errors: bytes = b"", **batch: Any) -> Any:
    """Answers of a platform with one completed batch."""

    def answer(request: httpx.Request) -> Any:
        path = request.url.path.split("/v4", 1)[1]
        match request.method, path:
            case "POST", "/files":
                return {"id": "f-in", "fileName": "batch.jsonl"}
            case "POST", "/batches":
                return BATCH
            case "GET", "/batches/batch_1":
                return {**DONE, **batch}
            case "GET", "/files/f-out/content":
                return output
            case "GET", "/files/f-err/content":
                return errors
            case _:
                return httpx.Response(404)

    return answer


def uploaded_requests(wire: Any) -> list[dict[str, Any]]:
    """The requests in the uploaded file, one per line."""
    body = next(request.content for request in wire.requests if request.url.path.endswith("/files"))
    return [json.loads(row) for row in body.split(b"\r\n") if row.startswith(b"{") for row in row.splitlines()]


def test_create_uploads_the_requests_as_a_file_and_creates_a_batch_from_that_file(wire: Any) -> None:
    server = wire(platform())
    batch = server.client(model="glm-4v-plus").batches.create([["What is it?", PICTURE], "hello"], temperature=0.5)
    assert server.lines == ["POST /files", "POST /batches"]
    first, second = uploaded_requests(server)
    assert (first["method"], first["url"]) == ("POST", "/v4/chat/completions")
    assert first["body"] == {
        "model": "glm-4v-plus",
        "temperature": 0.5,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                ],
            }
        ],
    }
    assert first["custom_id"] != second["custom_id"]
    assert min(len(first["custom_id"]), len(second["custom_id"])) >= 6
    assert json.loads(server.requests[1].content) == {"input_file_id": "f-in", "endpoint": "/v4/chat/completions"}
    assert (batch.id, batch.status, batch.ended) == ("batch_1", "validating", False)


def test_created_at_of_a_batch_is_in_seconds_and_missing_fields_are_none(wire: Any) -> None:
    batch = wire(platform()).client().batches.create(["hi"])
    assert batch.created_at == 1715674031
    assert (batch.output_file_id, batch.error_file_id, batch.total) == (None, None, None)


def test_create_with_a_file_id_makes_a_batch_of_the_uploaded_file(wire: Any) -> None:
    server = wire(platform())
    server.client().batches.create("f-7", metadata={"job": "x"}, auto_delete_input_file=False)
    assert server.bodies == [
        {
            "input_file_id": "f-7",
            "endpoint": "/v4/chat/completions",
            "metadata": {"job": "x"},
            "auto_delete_input_file": False,
        }
    ]


def test_options_together_with_an_uploaded_file_are_refused(wire: Any) -> None:
    server = wire(platform())
    with pytest.raises(glmv.InvalidRequestError, match="already"):
        server.client().batches.create("f-7", temperature=0.5)
    assert server.requests == []


def test_the_answers_of_a_batch_come_in_the_order_of_its_requests(wire: Any) -> None:
    output = b"\n  " + line("glmv-000002", "three") + b"\r\n\n" + line("glmv-000000", "one\u2028\u0085still")
    server = wire(platform(output, refused("glmv-000001"), error_file_id="f-err"))
    batches = server.client(model="glm-4v").batches
    first, second, third = batches.results(batches.create(["a", "b", "c"]))
    assert first.completion.text == "one\u2028\u0085still"
    assert first.completion.usage == glmv.Usage(9, 1, 10)
    assert first.completion.request_id == "615-glmv-000000"
    assert isinstance(second.error, glmv.ContentFilterError)
    assert second.completion is None
    assert third.completion.text == "three"
    assert third.error is None


def test_results_fetched_by_the_id_of_a_batch_are_in_the_order_of_its_requests(wire: Any) -> None:
    output = line("glmv-000002", "3") + line("glmv-000000", "1")
    results = wire(platform(output)).client().batches.results("batch_1")
    assert [result.custom_id for result in results] == ["glmv-000000", "glmv-000001", "glmv-000002"]
    assert isinstance(results[1].error, glmv.MalformedResponse)


def test_custom_ids_given_by_the_caller_are_sent_and_returned_with_the_answers(wire: Any) -> None:
    server = wire(platform(line("second-one", "2") + line("first-one", "1")))
    batches = server.client(model="glm-4v").batches
    batch = batches.create({"first-one": "a", "second-one": "b"})
    assert [row["custom_id"] for row in uploaded_requests(server)] == ["first-one", "second-one"]
    assert [(result.custom_id, result.completion.text) for result in batches.results(batch)] == [
        ("first-one", "1"),
        ("second-one", "2"),
    ]


@pytest.mark.parametrize("name", ["short", "", 7])
def test_a_custom_id_of_less_than_six_characters_is_refused(wire: Any, name: Any) -> None:
    server = wire(platform())
    with pytest.raises(glmv.LimitExceeded, match="6 characters"):
        server.client().batches.create({name: "a"})
    assert server.requests == []


def test_more_requests_than_the_limit_of_a_batch_are_refused_before_sending(wire: Any, monkeypatch: Any) -> None:
    server = wire(platform())
    monkeypatch.setattr(batches, "MAX_REQUESTS", 3)
    server.client().batches.create(["x"] * 3)
    server.requests.clear()
    with pytest.raises(glmv.LimitExceeded, match="takes at most 3 requests"):
        server.client().batches.create(["x"] * 4)
    assert server.requests == []
    monkeypatch.undo()
    assert batches.MAX_REQUESTS == 50_000


def test_a_batch_of_more_than_100_mb_is_refused_before_sending(wire: Any) -> None:
    server = wire(platform())
    with pytest.raises(glmv.LimitExceeded, match=r"100 MB.*glmv-000010"):
        server.client(model="glm-4-plus").batches.create(["x" * 10_000_000] * 12)
    assert server.requests == []


def test_the_error_of_a_video_in_a_batch_names_the_id_of_the_request_with_the_video(wire: Any) -> None:
    server = wire(platform())
    video = glmv.Video.from_url("https://example.com/a.mp4")
    with pytest.raises(glmv.UnsupportedContent, match=r"glmv-000001: .*got Video"):
        server.client(model="glm-4v-plus").batches.create(["a", [video, "b"]])
    assert server.requests == []


def test_a_batch_has_a_note_if_the_batch_guide_does_not_list_its_model(wire: Any) -> None:
    server = wire(platform())
    assert server.client(model="glm-4v").batches.create(["a"]).notes == ()
    assert any("glm-4.6v" in note for note in server.client(model="glm-4.6v").batches.create(["a"]).notes)


def test_one_request_id_for_all_requests_of_a_batch_is_refused(wire: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="custom_id"):
        wire(platform()).client().batches.create(["a"], request_id="abcdef")


def test_an_empty_batch_is_refused(wire: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="at least one request"):
        wire(platform()).client().batches.create([])


def test_the_error_of_a_refused_batch_names_the_id_of_the_uploaded_file(wire: Any) -> None:
    def answer(request: httpx.Request) -> Any:
        busy = httpx.Response(400, json={"error": {"code": "1214", "message": "no"}})
        return busy if request.url.path.endswith("/batches") else {"id": "f-in"}

    with pytest.raises(glmv.InvalidRequestError) as caught:
        wire(answer).client().batches.create(["a"])
    assert "f-in" in caught.value.__notes__[0]
    assert "create('f-in')" in str(caught.value)


def test_the_creation_of_a_batch_is_not_repeated_after_a_timeout(wire: Any) -> None:
    server = wire(platform())

    def broken(request: httpx.Request) -> Any:
        if request.url.path.endswith("/batches"):
            raise httpx.ReadTimeout("late", request=request)
        return {"id": "f-in"}

    server.answer = broken
    with pytest.raises(glmv.RequestTimeout):
        server.client().batches.create(["a"])
    assert server.lines == ["POST /files", "POST /batches"]


def test_a_batch_is_polled_until_it_is_completed(wire: Any) -> None:
    states = iter(["validating", "in_progress", "in_progress", "finalizing", "completed"])
    server = wire(lambda _: {**BATCH, "status": next(states)})
    batch = server.run(wait(server.context(), "batch_1"))
    assert batch.status == "completed"
    assert server.pauses == sorted(server.pauses)
    assert 1 <= server.pauses[0] <= server.pauses[-1] <= 60


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_a_batch_is_polled_until_it_fails_or_expires_or_is_cancelled(wire: Any, status: str) -> None:
    server = wire(lambda _: {**BATCH, "status": status})
    assert server.run(wait(server.context(), "batch_1")).status == status


def test_waiting_for_a_running_batch_raises_at_the_deadline(wire: Any) -> None:
    server = wire(lambda _: BATCH)
    with pytest.raises(glmv.DeadlineExceeded, match="Batch batch_1"):
        server.run(wait(server.context(), "batch_1", deadline=30))
    assert sum(server.pauses) <= 30


def test_json_in_results_is_unwrapped_and_an_answer_without_json_is_an_error(wire: Any) -> None:
    schema = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
    json_format = {"type": "json_schema", "json_schema": {"name": "receipt", "schema": schema}}
    fenced, prose = 'Here:\n```json\n{"total": 4.5}\n```', "It is a cat."
    glm = wire(platform(line("glmv-000000", fenced) + line("glmv-000001", prose))).client()
    good, bad, _ = glm.batches.results("batch_1", response_format=json_format)
    assert good.completion is not None
    assert json.loads(good.completion.text) == {"total": 4.5}
    assert isinstance(bad.error, glmv.MalformedResponse)
    assert bad.error.partial is not None
    assert bad.error.partial.text == prose


def test_unsafe_content_is_an_error_or_an_answer_as_the_option_on_sensitive_says(wire: Any) -> None:
    server = wire(platform(line("request-1", "one") + refused("request-2")))
    _, error = server.client().batches.results("batch_1")
    assert isinstance(error.error, glmv.ContentFilterError)
    _, result = server.client(on_sensitive="return").batches.results("batch_1")
    assert result.error is None
    assert (result.completion.text, result.completion.finish_reason) == ("", "sensitive")


def test_results_of_a_running_batch_are_refused(wire: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="in_progress"):
        wire(platform(status="in_progress")).client().batches.results("batch_1")


def test_results_of_a_failed_batch_raise_an_error_with_the_platforms_reason(wire: Any) -> None:
    why = {"object": "list", "data": [{"code": "1210", "message": "wrong model", "line": 3}]}
    with pytest.raises(glmv.InvalidRequestError, match="wrong model"):
        wire(lambda _: {**BATCH, "status": "failed", "errors": why}).client().batches.results("batch_1")


def test_an_expired_batch_gives_its_finished_answers(wire: Any) -> None:
    results = wire(platform(line("glmv-000001"), status="expired")).client().batches.results("batch_1")
    assert [result.completion is None for result in results] == [True, False, True]
    assert "expired" in str(results[0].error)


def test_a_batch_answer_is_cut_at_a_stop_word_and_has_the_notes_of_its_request(wire: Any) -> None:
    server = wire(platform(line("glmv-000000", "one, two. nine")))
    batches = server.client(model="glm-4v").batches
    (result,) = batches.results(batches.create(["count"], stop=["ten", "nine"]))
    assert result.completion.text == "one, two. "
    assert result.completion.notes


def test_a_broken_line_of_results_is_an_error_and_does_not_affect_other_lines(wire: Any) -> None:
    output = b'{"broken\n[1]\n' + line("glmv-000000")
    counts = {"total": 1, "completed": 1, "failed": 0}
    results = wire(platform(output, request_counts=counts)).client().batches.results("batch_1")
    assert results[0].completion.text == "yes"
    assert [type(result.error) for result in results[1:]] == [glmv.MalformedResponse] * 2


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"response": {"status_code": 429, "body": {}}}, glmv.RateLimitError),
        ({"response": {"status_code": 500, "body": None}}, glmv.ServerError),
        ({"response": None, "error": {"code": "1211", "message": "no such model"}}, glmv.NotFoundError),
        ({"response": {"status_code": 200, "body": {"choices": []}}}, glmv.MalformedResponse),
        ({}, glmv.MalformedResponse),
        ({"response": {"body": {"choices": [{"finish_reason": "network_error", "message": {}}]}}}, glmv.GLMVError),
    ],
)
def test_status_code_and_body_of_a_failed_line_decide_the_class_of_its_error(
    wire: Any, row: Any, error: type[Exception]
) -> None:
    data = json.dumps({"custom_id": "one-of-mine", **row}).encode()
    (result,) = gathered(wire(None).context(), Batch("b", "completed"), data)
    assert isinstance(result.error, error)
    assert result.completion is None


@given(st.one_of(st.binary(max_size=300), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["custom_id", "response", "body", "status_code", "choices", "error", "message", "content"]),
        inner, max_size=5),
    max_leaves=12).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_each_result_read_from_any_output_file_has_either_an_answer_or_an_error(wire: Any, data: bytes) -> None:
    for result in gathered(wire(None).context(), Batch("b", "completed"), data):
        assert (result.completion is None) != (result.error is None)


def test_batches_list_returns_batches_and_cancel_returns_the_status_cancelling(wire: Any) -> None:
    server = wire(lambda request: {"data": [BATCH]} if request.method == "GET" else {**BATCH, "status": "cancelling"})
    client = server.client()
    assert [batch.id for batch in client.batches.list()] == ["batch_1"]
    assert client.batches.cancel("batch_1").status == "cancelling"
    assert server.lines == ["GET /batches", "POST /batches/batch_1/cancel"]


async def test_the_async_client_creates_a_batch_and_waits_for_its_results(wire: Any) -> None:
    server = wire(platform(line("glmv-000000", "1") + line("glmv-000001", "2") + line("glmv-000002", "3")))
    async with server.async_client(model="glm-4v") as glm:
        batch = await glm.batches.create(["a", "b", "c"])
        assert (await glm.batches.get(batch)).ended
        batch = await glm.batches.wait(batch)
        assert [result.completion.text for result in await glm.batches.results(batch)] == ["1", "2", "3"]


@pytest.mark.parametrize("cuts", [[60, None], [60, 90], [60, 60]])
def test_an_output_file_that_arrives_cut_off_is_fetched_again(wire: Any, cuts: list[int | None]) -> None:
    whole = line("glmv-000000") + line("glmv-000001") + line("glmv-000002")
    lengths = iter(cuts)
    answer = platform(request_counts={"total": 3, "completed": 3, "failed": 0})

    def platform_with_cuts(request: httpx.Request) -> Any:
        if not request.url.path.endswith("/content"):
            return answer(request)
        length = next(lengths)
        return whole if length is None else whole[:-length]

    server = wire(platform_with_cuts)
    if cuts[1] == 90:
        with pytest.raises(glmv.ConnectionFailed, match="in the middle of a line twice") as raised:
            server.client().batches.results("batch_1")
        assert raised.value.retryable
        return
    results = server.client().batches.results("batch_1")
    assert len([result for result in results if result.completion]) == (3 if cuts[1] is None else 2)
    assert server.lines.count("GET /files/f-out/content") == 2


def test_an_output_file_without_a_line_break_at_its_end_is_fetched_once(wire: Any) -> None:
    server = wire(platform(line("glmv-000000")[:-1], request_counts={"total": 1, "completed": 1, "failed": 0}))
    assert [result.completion.text for result in server.client().batches.results("batch_1")] == ["yes"]
    assert server.lines.count("GET /files/f-out/content") == 1
