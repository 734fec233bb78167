"""The real platform, with a real key: `ZHIPUAI_API_KEY=... pytest -m live`. Without a key every test here is skipped.

They compare the emulator's assumptions with the platform; record differences in docs/fidelity.jsonl.
Each costs a few hundred tokens at most.
"""

from __future__ import annotations

import asyncio
import io
import os

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from PIL import Image as Picture
from pydantic import BaseModel

import glmv
from langchain_glmv import ChatGLMV, image
from llama_index_glmv import GLMV

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        not (os.environ.get("ZHIPUAI_API_KEY") or os.environ.get("ZAI_API_KEY")), reason="no key is set"
    ),
]

# A model that is free at bigmodel.cn and takes base64; another may be named.
MODEL = os.environ.get("GLMV_LIVE_MODEL", "glm-4.6v-flash")
QUESTION = "Which colour fills this picture? Answer with one English word."


@pytest.fixture(scope="module")
def red() -> bytes:
    out = io.BytesIO()
    Picture.new("RGB", (64, 64), (220, 20, 20)).save(out, "PNG")
    return out.getvalue()


def test_glmv_gets_an_answer_with_usage_and_ids(red: bytes) -> None:
    with glmv.Client(model=MODEL) as glm:
        answer = glm.chat([glmv.Image.from_bytes(red), QUESTION])
    assert "red" in answer.text.lower()
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0
    assert answer.id
    assert answer.request_id
    assert answer.finish_reason == "stop"


def test_a_stream_has_one_delta_marked_as_last_and_ends_with_usage(red: bytes) -> None:
    with glmv.Client(model=MODEL) as glm:
        for _ in range(2):
            deltas = list(glm.stream([glmv.Image.from_bytes(red), QUESTION]))
            assert [delta.last for delta in deltas].count(True) == 1
            assert deltas[-1].usage is not None
            assert "red" in "".join(delta.text for delta in deltas).lower()


def test_the_platform_accepts_a_signed_token_in_place_of_the_key() -> None:
    with glmv.Client(model=MODEL, auth="token") as glm:
        assert glm.chat("Say yes.").text


def test_a_langchain_stream_ends_with_usage(red: bytes) -> None:
    chunks = list(ChatGLMV(model=MODEL).stream([HumanMessage([image(red), {"type": "text", "text": QUESTION}])]))
    whole = sum(chunks[1:], start=chunks[0])
    assert "red" in whole.text.lower()
    assert whole.usage_metadata["input_tokens"] > 0  # type: ignore[index]  # a chunk with usage


def test_langchain_fills_an_object_with_the_colour_of_a_picture(red: bytes) -> None:
    class Colour(BaseModel):
        colour: str

    answer = ChatGLMV(model=MODEL).with_structured_output(Colour).invoke([("human", [QUESTION, image(red)])])
    assert isinstance(answer, Colour)
    assert "red" in answer.colour.lower()


def test_llama_index_answers_asynchronously(red: bytes) -> None:
    message = ChatMessage(role="user", blocks=[ImageBlock(image=red), TextBlock(text=QUESTION)])
    response = asyncio.run(GLMV(model=MODEL).achat([message]))
    assert "red" in (response.message.content or "").lower()


@pytest.mark.parametrize(
    ("model", "error"), [("glm-no-such-model", glmv.NotFoundError), (MODEL, glmv.AuthenticationError)]
)
def test_an_unknown_model_and_a_wrong_key_raise_the_documented_errors(model: str, error: type[glmv.GLMVError]) -> None:
    key = None if error is glmv.NotFoundError else "0" * 32 + ".0000000000000000"
    with glmv.Client(key, model=model, max_retries=0) as glm, pytest.raises(error) as caught:
        glm.chat("Hello")
    assert caught.value.code
