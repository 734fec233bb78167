"""The platform's other endpoints on the emulator: tasks, embeddings, tokenizer, files and batches."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest


def until(done: Any, what: Any) -> Any:
    """Poll until the answer is as expected."""
    for _ in range(500):
        answer = what()
        if done(answer):
            return answer
        time.sleep(0.005)
    raise AssertionError(answer)


def error(answer: Any) -> str:
    return str(answer.json().get("error", {}).get("code", ""))


# Tasks


def test_after_two_polls_an_asynchronous_task_has_the_same_answer_as_a_direct_call(emulate: Any) -> None:
    glm = emulate(async_polls=2)
    body = {"model": "glm-4v-flash", "messages": [glm.user((glm.emu.host(glm.drawn()),), "Describe it")]}
    ticket = glm.post(body | {"request_id": "my-task"}, "/async/chat/completions").json()
    assert ticket == {**ticket, "task_status": "PROCESSING", "request_id": "my-task", "model": "glm-4v-flash"}
    polls = [glm.get(f"/async-result/{ticket['id']}").json() for _ in range(3)]
    assert [poll["task_status"] for poll in polls] == ["PROCESSING", "PROCESSING", "SUCCESS"]
    direct = glm.post(body).json()
    assert polls[2]["choices"] == direct["choices"]
    assert polls[2]["usage"] == direct["usage"]


def test_an_asynchronous_task_for_glm_4_6_is_answered_by_glm_4_7(emulate: Any) -> None:
    glm = emulate(async_polls=0)
    ticket = glm.post({"model": "glm-4.6", "messages": [glm.user("Hello")]}, "/async/chat/completions").json()
    assert glm.get(f"/async-result/{ticket['id']}").json()["model"] == "glm-4.7"


def test_an_asynchronous_task_with_filtered_content_has_status_fail(emulate: Any) -> None:
    glm = emulate(async_polls=0)
    body = {"model": "glm-4v-flash", "messages": [glm.user("EMU-SENSITIVE-OUTPUT")]}
    ticket = glm.post(body, "/async/chat/completions").json()
    assert glm.get(f"/async-result/{ticket['id']}").json()["task_status"] == "FAIL"


def test_an_asynchronous_task_for_glm_4v_is_refused_and_an_unknown_task_gets_404(glm: Any) -> None:
    body = {"model": "glm-4v", "messages": [glm.user("Hello")]}
    assert error(glm.post(body, "/async/chat/completions")) == "1212"
    assert glm.get("/async-result/no-such-task").status_code == 404


# Embeddings and tokenizer


def vectors(glm: Any, *texts: str, **more: Any) -> list[list[float]]:
    body = {"model": "embedding-3", "input": list(texts), "dimensions": 512} | more
    answer = glm.post(body, "/embeddings").json()
    assert [one["index"] for one in answer["data"]] == list(range(len(texts)))
    return [one["embedding"] for one in answer["data"]]


def product(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("question", "near", "far"),
    [
        ("a cat on the sofa", "the cats sleep on a sofa", "quarterly revenue by region"),
        ("一只猫在沙发上", "沙发上有一只小猫", "各地区季度收入"),
    ],
)
def test_similar_texts_have_similar_vectors(glm: Any, question: str, near: str, far: str) -> None:
    query, close, distant = vectors(glm, question, near, far)
    assert product(query, query) == pytest.approx(1, abs=1e-5)
    assert product(query, close) > product(query, distant) + 0.2


def test_a_vector_has_the_documented_dimensions_and_equal_texts_have_equal_vectors(glm: Any) -> None:
    default = glm.post({"model": "embedding-3", "input": "x y"}, "/embeddings").json()["data"][0]["embedding"]
    older = glm.post({"model": "embedding-2", "input": ["x y"]}, "/embeddings").json()["data"][0]["embedding"]
    assert (len(default), len(older)) == (2048, 1024)
    assert vectors(glm, "same text") == vectors(glm, "same text")


@pytest.mark.parametrize(
    ("code", "more"),
    [
        ("1214", {"dimensions": 100}),
        ("1214", {"model": "embedding-2", "dimensions": 2048}),
        ("1214", {"input": []}),
        ("1214", {"input": ["x"] * 65}),
        ("1214", {"input": [""]}),
        ("1214", {"input": [5]}),
        ("1213", {"input": None}),
        ("1213", {"model": None}),
        ("1211", {"model": "embedding-9"}),
        ("1212", {"model": "glm-4v"}),
        ("1261", {"input": "长" * 3073}),
        ("1261", {"model": "embedding-2", "input": ["长" * 500] * 17}),
    ],
)
def test_embedding_requests_that_the_documentation_forbids_are_refused(
    glm: Any, code: str, more: dict[str, Any]
) -> None:
    assert error(glm.post({"model": "embedding-3", "input": "x"} | more, "/embeddings")) == code


def test_the_tokenizer_counts_as_many_prompt_tokens_as_the_usage_of_a_chat(glm: Any) -> None:
    body = {"model": "glm-4.6v", "messages": [glm.user((glm.emu.host(glm.drawn()),), "How many?")]}
    answer = glm.post(body, "/tokenizer").json()["usage"]["prompt_tokens"]
    assert answer == glm.post(body).json()["usage"]["prompt_tokens"]


# Files and batches


def upload(glm: Any, data: bytes, purpose: str = "batch", name: str = "lines.jsonl") -> Any:
    return glm.http.post(f"{glm.emu.base_url}/files", data={"purpose": purpose}, files={"file": (name, data)})


def line(name: str, text: str = "Hello", **more: Any) -> dict[str, Any]:
    body = {"model": "glm-4v-plus", "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}
    return {"custom_id": name, "method": "POST", "url": "/v4/chat/completions", "body": body} | more


def jsonl(*lines: Any) -> bytes:
    return "\n".join(json.dumps(one) for one in lines).encode()


def test_a_file_is_uploaded_listed_and_deleted(glm: Any) -> None:
    results = [upload(glm, b"some words", "user_data", f"{number}.txt").json() for number in range(3)]
    assert (results[0]["bytes"], results[0]["purpose"], results[0]["filename"]) == (10, "user_data", "0.txt")
    listed = glm.get("/files", params={"purpose": "user_data", "limit": 2}).json()
    assert [one["id"] for one in listed["data"]] == [results[2]["id"], results[1]["id"]]
    assert listed["has_more"]
    rest = glm.get("/files", params={"after": results[1]["id"]}).json()
    assert [one["id"] for one in rest["data"]] == [results[0]["id"]]
    deleted = glm.http.delete(f"{glm.emu.base_url}/files/{results[0]['id']}").json()
    assert deleted == {"id": results[0]["id"], "object": "file", "deleted": True}
    assert glm.http.delete(f"{glm.emu.base_url}/files/{results[0]['id']}").status_code == 404


def test_in_era_2024_an_upload_returns_the_file_name_in_a_field_in_camel_case(emulate: Any) -> None:
    data = upload(emulate(era="2024"), b"x", "user_data").json()
    assert data["fileName"] == "lines.jsonl"
    assert "filename" not in data


def test_only_uploaded_files_of_purpose_user_data_can_be_used_in_a_message(glm: Any) -> None:
    result = upload(glm, b"some words", "user_data").json()["id"]
    other = upload(glm, b"some words", "retrieval").json()["id"]
    for identity, code in ((result, ""), (other, "1210")):
        file = {"type": "file", "file": {"file_id": identity}}
        assert glm.code(file, "Sum up", model="glm-5.3-flash") == code


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("1210", b""),
        ("1210", b"no json"),
        ("1210", jsonl({"custom_id": "request-1"})),
        ("1210", jsonl(line("request-1", body={"model": "glm-4.6"}))),
        ("1214", jsonl(line("short"))),
        ("1214", jsonl(line("request-1"), line("request-1"))),
        ("1214", jsonl(line("request-1", url="/v4/embeddings"))),
        ("1214", jsonl(line("request-1", method="GET"))),
    ],
)
def test_an_invalid_batch_file_is_refused_at_upload(glm: Any, code: str, data: bytes) -> None:
    assert error(upload(glm, data)) == code


def test_uploads_that_are_incomplete_or_invalid_or_too_large_are_refused(glm: Any) -> None:
    url = f"{glm.emu.base_url}/files"
    assert error(glm.http.post(url, data={"purpose": "batch"})) == "1213"
    assert error(glm.http.post(url, files={"file": b"x"})) == "1213"
    assert error(upload(glm, b"x", "decoration")) == "1214"
    assert error(glm.http.post(url, content=b"--x", headers={"content-type": "multipart/form-data"})) == "1210"
    assert upload(glm, b"x" * (100 * 1024 * 1024 + 1), "retrieval").status_code == 435


def test_a_batch_returns_answers_in_an_order_other_than_that_of_its_lines(glm: Any) -> None:
    names = [f"request-{number}" for number in range(12)]
    # One of them asks for more than its model writes: it fails alone.
    bad = line("request-x")
    bad["body"]["max_tokens"] = 10_000
    file = upload(glm, jsonl(*(line(name, f"Say {name}") for name in names), bad)).json()["id"]
    body = {"input_file_id": file, "endpoint": "/v4/chat/completions", "metadata": {"a": "b"}}
    data = glm.post(body, "/batches").json()
    assert data["status"] == "validating"
    assert data["request_counts"] == {"total": None, "completed": None, "failed": None}
    assert data["output_file_id"] == ""
    assert data["created_at"] > 10**12
    done = until(lambda batch: batch["status"] == "completed", lambda: glm.get(f"/batches/{data['id']}").json())
    assert done["request_counts"] == {"total": 13, "completed": 12, "failed": 1}
    output = glm.get(f"/files/{done['output_file_id']}/content").text
    answers = [json.loads(one) for one in output.splitlines()]
    assert sorted(answer["custom_id"] for answer in answers) == sorted(names)
    assert [answer["custom_id"] for answer in answers] != names
    assert all(answer["response"]["body"]["request_id"] == answer["custom_id"] for answer in answers)
    (failed,) = [json.loads(one) for one in glm.get(f"/files/{done['error_file_id']}/content").text.splitlines()]
    assert (failed["custom_id"], failed["response"]["body"]["error"]["code"]) == ("request-x", "1214")
    assert error(glm.get(f"/files/{file}/content")) == "1210"
    assert [batch["id"] for batch in glm.get("/batches").json()["data"]] == [data["id"]]


def test_a_batch_deletes_its_input_file_if_the_request_asks_for_this(glm: Any) -> None:
    file = upload(glm, jsonl(line("request-1"))).json()["id"]
    body = {"input_file_id": file, "endpoint": "/v4/chat/completions", "auto_delete_input_file": True}
    data = glm.post(body, "/batches").json()
    until(lambda batch: batch["status"] == "completed", lambda: glm.get(f"/batches/{data['id']}").json())
    assert [one["purpose"] for one in glm.get("/files").json()["data"]] == ["batch_output"]


def test_a_cancelled_batch_keeps_its_finished_answers(emulate: Any) -> None:
    glm = emulate()
    glm.emu.answer(lambda ask: time.sleep(0.02) or "yes")
    file = upload(glm, jsonl(*(line(f"request-{number}") for number in range(200)))).json()["id"]
    data = glm.post({"input_file_id": file, "endpoint": "/v4/chat/completions"}, "/batches").json()
    until(lambda batch: batch["request_counts"]["completed"], lambda: glm.get(f"/batches/{data['id']}").json())
    assert glm.post({}, f"/batches/{data['id']}/cancel").json()["status"] == "cancelling"
    done = until(lambda batch: batch["status"] == "cancelled", lambda: glm.get(f"/batches/{data['id']}").json())
    assert 0 < done["request_counts"]["completed"] < 200
    assert done["output_file_id"]
    assert error(glm.post({}, f"/batches/{data['id']}/cancel")) == "1214"


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("1213", {}),
        ("1213", {"input_file_id": "x"}),
        ("1214", {"input_file_id": "x", "endpoint": "/v4/embeddings"}),
        ("1214", {"input_file_id": "no-such-file", "endpoint": "/v4/chat/completions"}),
        ("1210", []),
    ],
)
def test_invalid_requests_to_create_a_batch_are_refused(glm: Any, code: str, body: Any) -> None:
    assert error(glm.post(body, "/batches")) == code
