"""`boxes_of` names the picture to whose pixels boxes are converted; every kind of call accepts it."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image as Pillow

import glmv

ANSWER = {
    "id": "1",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "[0, 500, 1000, 1000]"}}
    ],
}
BATCH = {"id": "batch_1", "status": "completed", "output_file_id": "f-out"}
BOX = glmv.Box((0, 500, 1000, 1000), (0, 100, 300, 200), 1)


def picture(width: int, height: int) -> glmv.Image:
    buffer = io.BytesIO()
    Pillow.new("RGB", (width, height)).save(buffer, "PNG")
    return glmv.Image.from_bytes(buffer.getvalue())


PICTURES = ["Where is the cat?", picture(40, 40), picture(300, 200)]


def respond(request: httpx.Request) -> httpx.Response:
    match request.method, request.url.path.split("/v4", 1)[1]:
        case "POST", "/async/chat/completions":
            return httpx.Response(200, json={"id": "9", "task_status": "PROCESSING"})
        case "GET", "/async-result/9":
            return httpx.Response(200, json={**ANSWER, "id": "9", "task_status": "SUCCESS"})
        case "POST", "/files":
            return httpx.Response(200, json={"id": "f-in"})
        case _, "/batches" | "/batches/batch_1":
            return httpx.Response(200, json=BATCH)
        case "GET", "/files/f-out/content":
            line = {"custom_id": "glmv-000000", "response": {"status_code": 200, "body": ANSWER}}
            return httpx.Response(200, content=json.dumps(line).encode())
        case _:
            return httpx.Response(200, json=ANSWER)


@pytest.fixture
def glm() -> glmv.Client:
    return glmv.Client("test-id.test-secret", http_client=httpx.Client(transport=httpx.MockTransport(respond)))


def of_batch(glm: glmv.Client, **options: Any) -> glmv.Completion | None:
    batch = glm.batches.create([PICTURES], model="glm-4v-plus", **options)
    return glm.batches.results(batch)[0].completion


WAYS: dict[str, Any] = {
    "at once": lambda glm, **options: glm.chat(PICTURES, **options),
    "streamed": lambda glm, **options: list(glm.stream(PICTURES, **options))[-1],
    "as a task": lambda glm, **options: glm.tasks.wait(glm.tasks.submit(PICTURES, **options)).completion,
    "in a batch": of_batch,
}


@pytest.mark.parametrize("way", WAYS)
def test_boxes_in_one_of_several_pictures_have_pixels_only_if_boxes_of_is_set(glm: glmv.Client, way: str) -> None:
    assert WAYS[way](glm, boxes_of=1).boxes == (BOX,)
    assert WAYS[way](glm).boxes == (glmv.Box(BOX.grid),)


def test_the_option_boxes_of_is_refused_if_it_is_not_the_index_of_a_picture(glm: glmv.Client) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="boxes_of=2 is out of range: there are 2 pictures"):
        glm.chat(PICTURES, boxes_of=2)
    with pytest.raises(glmv.InvalidRequestError, match="boxes_of"):
        glm.chat(PICTURES, boxes_of=-1)
