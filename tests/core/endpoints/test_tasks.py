"""Asynchronous tasks of the platform, from submission to the answer."""

from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any

import pytest

import glmv
from glmv.endpoints.tasks import submit, wait

ACK = {"id": "9", "request_id": "r-1", "model": "glm-4.6v", "task_status": "PROCESSING"}
DONE = {
    **ACK,
    "task_status": "SUCCESS",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a cat"}}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}


def test_a_task_is_submitted_as_a_chat_request_without_the_field_stream(wire: Any) -> None:
    platform = wire(lambda _: ACK)
    task = platform.client().tasks.submit(["What?", glmv.Image.from_url("https://example.com/a.png")], temperature=0.5)
    assert platform.lines == ["POST /async/chat/completions"]
    body = platform.bodies[0]
    assert body["temperature"] == 0.5
    assert body["messages"][0]["content"][1] == {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert "stream" not in body
    assert len(body["request_id"]) >= 6
    assert (task.id, task.request_id, task.model, task.status, task.done) == (
        "9",
        "r-1",
        "glm-4.6v",
        "PROCESSING",
        False,
    )


def test_unsupported_content_of_a_task_is_refused_before_sending(wire: Any) -> None:
    platform = wire(lambda _: ACK)
    pictures = [glmv.Image.from_url(f"https://example.com/{n}.png") for n in range(6)]
    with pytest.raises(glmv.LimitExceeded):
        platform.client().tasks.submit(pictures, model="glm-4v")
    assert platform.requests == []


def test_a_finished_task_has_the_answer(wire: Any) -> None:
    task = wire(lambda _: DONE).client().tasks.result("9")
    assert task.done
    assert task.completion is not None
    assert task.completion.text == "a cat"
    assert task.completion.usage == glmv.Usage(5, 2, 7)
    assert task.completion.finish_reason == "stop"


def test_a_running_task_reports_its_status(wire: Any) -> None:
    task = wire(lambda _: ACK).client().tasks.result("9")
    assert (task.status, task.completion) == ("PROCESSING", None)


def test_waiting_for_a_task_polls_with_growing_pauses_of_up_to_ten_seconds(wire: Any) -> None:
    answers = iter([ACK] * 9 + [DONE])
    platform = wire(lambda _: next(answers))
    task = platform.run(wait(platform.context(), "9"))
    assert task.completion.text == "a cat"
    assert platform.pauses[0] == 1.0
    assert platform.pauses[-1] == 10.0
    assert all(later <= 1.5 * sooner for sooner, later in pairwise(platform.pauses))
    assert platform.pauses == sorted(platform.pauses)


def test_waiting_for_a_task_raises_at_the_deadline_and_never_sleeps_beyond_it(wire: Any) -> None:
    platform = wire(lambda _: ACK)
    started = platform.now
    with pytest.raises(glmv.DeadlineExceeded, match=r"Task 9 .* 6 s"):
        platform.run(wait(platform.context(), "9", deadline=6))
    assert platform.now - started <= 6
    assert len(platform.requests) == len(platform.pauses) + 1


def test_reading_the_result_of_a_failed_task_raises_an_error(wire: Any) -> None:
    failed = {**ACK, "task_status": "FAIL"}
    with pytest.raises(glmv.ServerError, match="Task 9 failed") as caught:
        wire(lambda _: failed).client().tasks.result("9")
    assert caught.value.request_id == "r-1"


def test_the_code_of_a_failed_task_decides_the_class_of_its_error(wire: Any) -> None:
    failed = {**ACK, "task_status": "FAIL", "error": {"code": "1301", "message": "unsafe"}}
    with pytest.raises(glmv.ContentFilterError) as caught:
        wire(lambda _: failed).client().tasks.wait("9")
    assert caught.value.code == "1301"


def test_unsafe_task_content_gives_an_empty_answer_if_option_on_sensitive_is_return(wire: Any) -> None:
    failed = {**ACK, "task_status": "FAIL", "contentFilter": [{"level": 0, "role": "user"}],
              "error": {"code": "1301", "message": "unsafe"}}  # fmt: skip
    task = wire(lambda _: failed).client(on_sensitive="return").tasks.wait("9")
    assert (task.status, task.done) == ("FAIL", True)
    assert (task.completion.text, task.completion.finish_reason) == ("", "sensitive")
    assert task.completion.content_filter == [{"level": 0, "role": "user"}]


def test_a_withdrawn_answer_raises_unless_the_option_on_sensitive_says_return(wire: Any) -> None:
    choice = {"index": 0, "finish_reason": "sensitive", "message": {"role": "assistant", "content": "x"}}
    withdrawn = {**DONE, "choices": [choice]}
    with pytest.raises(glmv.ContentFilterError):
        wire(lambda _: withdrawn).client().tasks.result("9")
    result = wire(lambda _: withdrawn).client(on_sensitive="return").tasks.result("9")
    assert result.completion is not None
    assert result.completion.finish_reason == "sensitive"


def test_an_answer_by_another_model_than_requested_names_both_models_in_a_note(wire: Any) -> None:
    platform = wire(lambda request: ACK if request.method == "POST" else {**DONE, "model": "glm-4.7-ali"})
    tasks = platform.client(model="glm-4.6v").tasks
    task = tasks.wait(tasks.submit("hello"))
    assert task.completion is not None
    assert task.completion.model == "glm-4.7-ali"
    assert any("glm-4.6v" in note and "glm-4.7-ali" in note for note in task.completion.notes)


def test_a_task_answer_is_cut_at_a_stop_word_and_has_the_notes_of_its_task(wire: Any) -> None:
    answer = {**DONE, "choices": [{"finish_reason": "stop", "message": {"content": "one two three"}}]}
    platform = wire(lambda request: ACK if request.method == "POST" else answer)
    tasks = platform.client(model="glm-4.6v").tasks
    task = tasks.submit("count", stop=["nine", "three"], temperature=0)
    result = tasks.result(task).completion
    assert result is not None
    assert result.text == "one two "
    assert result.notes == task.notes != ()


def test_the_result_of_a_task_can_be_read_after_pickling_the_task(wire: Any) -> None:
    platform = wire(lambda request: ACK if request.method == "POST" else DONE)
    task = platform.run(submit(platform.context(), platform.context().request("hi", None, {})))
    result = pickle.loads(pickle.dumps(task))
    assert platform.client().tasks.result(result).done


def test_a_task_for_json_gets_an_instruction_and_a_note_that_json_is_not_checked(wire: Any) -> None:
    platform = wire(lambda _: ACK)
    task = platform.client().tasks.submit("a cat?", response_format={"type": "json_object"})
    assert platform.bodies[0]["messages"][0]["role"] == "system"
    assert any("not checked" in note for note in task.notes)


@pytest.mark.parametrize("name", ["", "  ", None, 7])
def test_an_invalid_task_id_is_refused_before_sending(wire: Any, name: Any) -> None:
    platform = wire(lambda _: DONE)
    with pytest.raises(glmv.InvalidRequestError, match="id of a task"):
        platform.client().tasks.result(name)
    assert platform.requests == []


def test_a_task_id_is_escaped_in_the_path_of_the_request(wire: Any) -> None:
    platform = wire(lambda _: DONE)
    platform.client().tasks.result("../files?x=1")
    assert platform.lines == ["GET /async-result/..%2Ffiles%3Fx%3D1"]


@pytest.mark.parametrize("body", [{}, {"task_status": "SUCCESS", "id": "9"}, {"task_status": "SUCCESS", "choices": []}])
def test_a_finished_task_without_an_answer_raises_a_glmv_error(wire: Any, body: Any) -> None:
    with pytest.raises(glmv.MalformedResponse):
        wire(lambda _: body or {"usage": {}, "id": "9", "task_status": "SUCCESS"}).client().tasks.result("9")


async def test_the_async_client_submits_a_task_and_waits_for_its_answer(wire: Any) -> None:
    platform = wire(lambda request: ACK if request.method == "POST" else DONE)
    async with platform.async_client() as glm:
        task = await glm.tasks.submit("hi")
        assert (await glm.tasks.result(task.id)).done
        assert (await glm.tasks.wait(task)).completion.text == "a cat"
