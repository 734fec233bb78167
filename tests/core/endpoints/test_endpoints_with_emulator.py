"""Tasks, embeddings, files and batches against the emulator, which shares no code with the client."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import glmv
from glmv.endpoints import batches, tasks

PICTURES = Path(__file__).parents[3] / "examples" / "pictures"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between polls; other tests check their length with a fake clock."""
    for module in (tasks, batches):
        monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
        monkeypatch.setattr(module, "LONGEST_PAUSE", 0.01)


@pytest.fixture
def photo() -> glmv.Image:
    return glmv.Image.from_path(next(path for path in sorted(PICTURES.iterdir()) if path.suffix in (".jpg", ".png")))


@pytest.fixture
def glm(glmv_emulator: Any) -> Iterator[glmv.Client]:
    with glmv.Client(glmv_emulator.api_key, base_url=glmv_emulator.base_url) as client:
        yield client


def test_a_task_gives_the_same_answer_as_a_chat(glm: glmv.Client, photo: glmv.Image) -> None:
    task = glm.tasks.submit(["What is in the picture?", photo])
    assert task.status == "PROCESSING"
    assert glm.tasks.result(task.id).status == "PROCESSING"
    completion = glm.tasks.wait(task).completion
    chat = glm.chat(["What is in the picture?", photo])
    assert completion is not None
    assert (completion.text, completion.usage, completion.finish_reason) == (chat.text, chat.usage, "stop")


def test_waiting_for_a_task_whose_answer_was_withdrawn_raises_a_glmv_error(glm: glmv.Client) -> None:
    task = glm.tasks.submit("EMU-SENSITIVE-OUTPUT please")
    with pytest.raises(glmv.GLMVError):
        glm.tasks.wait(task)


def test_an_answer_by_another_model_than_requested_names_the_model_in_a_note(glm: glmv.Client) -> None:
    task = glm.tasks.wait(glm.tasks.submit("hello", model="glm-4.6"))
    assert task.completion is not None
    assert task.completion.model == "glm-4.7"
    assert any("glm-4.7" in note for note in task.completion.notes)


def test_an_unknown_task_raises_not_found(glm: glmv.Client) -> None:
    with pytest.raises(glmv.InvalidRequestError):
        glm.tasks.result("no-such-task")


def test_many_tasks_can_be_awaited_at_once(glmv_emulator: Any) -> None:
    async def main() -> list[str]:
        async with glmv.AsyncClient(glmv_emulator.api_key, base_url=glmv_emulator.base_url) as glm:
            tasks = [await glm.tasks.submit(f"Say {n}") for n in range(8)]
            result = await asyncio.gather(*(glm.tasks.wait(task) for task in tasks))
            return [task.id for task in tasks if task.id not in {done.id for done in result}]

    assert asyncio.run(main()) == []


def test_similar_texts_have_similar_vectors(glm: glmv.Client) -> None:
    embeddings = glm.embed(["a red car on a road", "the red car on the road", "quarterly tax report"], dimensions=256)
    assert [len(vector) for vector in embeddings.vectors] == [256] * 3

    def cosine(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))

    one, other, far = embeddings.vectors
    assert cosine(one, other) > cosine(one, far) + 0.2


def test_every_documented_vector_size_is_returned(glm: glmv.Client) -> None:
    for size in (256, 512, 1024, 2048):
        assert len(glm.embed("a cat", dimensions=size).vectors[0]) == size
    assert len(glm.embed("a cat").vectors[0]) == 2048
    assert len(glm.embed("a cat", model="embedding-2", dimensions=1024).vectors[0]) == 1024


def test_a_hundred_texts_keep_their_order(glm: glmv.Client) -> None:
    texts = [f"text number {n}" for n in range(100)]
    together = glm.embed(texts, dimensions=256)
    assert len(together.vectors) == 100
    for index in (0, 63, 64, 99):
        assert together.vectors[index] == pytest.approx(glm.embed(texts[index], dimensions=256).vectors[0])


def test_count_tokens_equals_the_prompt_tokens_of_a_chat_with_the_same_messages(
    glm: glmv.Client, photo: glmv.Image
) -> None:
    for messages in ("hello", ["What?", photo]):
        answer = glm.chat(messages)
        assert answer.usage is not None
        assert glm.count_tokens(messages) == answer.usage.prompt_tokens


def test_a_file_is_uploaded_listed_and_deleted(glm: glmv.Client, tmp_path: Path) -> None:
    path = tmp_path / "报告.pdf"
    path.write_bytes(b"%PDF-1.7\n%%EOF\n")
    file = glm.files.upload(path)
    assert (file.name, file.bytes, file.purpose) == ("报告.pdf", 15, "user_data")
    assert file.id in [file.id for file in glm.files.list(purpose="user_data")]
    glm.files.delete(file.id)
    assert file.id not in [file.id for file in glm.files.list()]
    with pytest.raises(glmv.GLMVError):
        glm.files.delete(file.id)


def test_downloading_an_uploaded_file_is_refused(glm: glmv.Client) -> None:
    file = glm.files.upload(b"%PDF-1.7\n", name="a.pdf")
    with pytest.raises(glmv.InvalidRequestError):
        glm.files.content(file.id)


def test_the_results_of_a_batch_have_the_order_of_its_requests(glm: glmv.Client, photo: glmv.Image) -> None:
    requests = [[f"Say {n}.", photo] for n in range(6)]
    batch = glm.batches.wait(glm.batches.create(requests, model="glm-4v-plus"))
    assert (batch.status, batch.total, batch.completed) == ("completed", 6, 6)
    assert batch.created_at is not None
    assert batch.created_at < 10**11
    results = glm.batches.results(batch)
    expected = [glm.chat(request, model="glm-4v-plus").text for request in requests]
    assert [result.completion and result.completion.text for result in results] == expected
    again = glm.batches.results(batch.id)
    assert [result.custom_id for result in again] == [result.custom_id for result in results]


def test_only_the_refused_request_of_a_batch_has_an_error(glm: glmv.Client) -> None:
    requests = {"good-one": "hello", "bad-one": "EMU-SENSITIVE-INPUT"}
    batch = glm.batches.wait(glm.batches.create(requests, model="glm-4-plus"))
    good, bad = glm.batches.results(batch)
    assert good.completion is not None
    assert isinstance(bad.error, glmv.ContentFilterError)


def test_a_new_batch_is_listed_and_can_be_cancelled(glm: glmv.Client) -> None:
    batch = glm.batches.create(["hello"] * 50, model="glm-4-plus")
    assert batch.id in [listed.id for listed in glm.batches.list(limit=5)]
    try:
        stopped = glm.batches.cancel(batch)
    except glmv.InvalidRequestError:
        stopped = glm.batches.get(batch)  # it was faster
    assert stopped.status in ("cancelling", "cancelled", "completed")
    assert glm.batches.wait(batch).ended


def test_embed_and_files_accept_a_plain_key_or_a_signed_token_but_no_unknown_key(glmv_emulator: Any) -> None:
    for auth in ("key", "token"):
        with glmv.Client(glmv_emulator.api_key, base_url=glmv_emulator.base_url, auth=auth) as glm:
            assert glm.embed("x", dimensions=256).vectors
            assert glm.files.list() == []
    with pytest.raises(glmv.AuthenticationError):
        glmv.Client("other.key", base_url=glmv_emulator.base_url).files.list()
