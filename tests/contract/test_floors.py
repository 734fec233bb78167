"""One picture through both adapters, using only features that all supported framework versions have.

CI runs this file once more with the oldest versions that `pyproject.toml` allows.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock

from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV, image
from llama_index_glmv import GLMV, GLMVMultiModal

PICTURE = Path(__file__).parents[2] / "examples" / "pictures" / "coffee.jpg"
QUESTION = "How large is this picture?"
MODEL = "glm-4.6v"


async def test_langchain_gives_equal_answers_sync_or_async_and_with_or_without_streaming() -> None:
    message = HumanMessage([{"type": "text", "text": QUESTION}, image(PICTURE)])
    with Emulator() as emu:
        model = ChatGLMV(model=MODEL, base_url=emu.base_url, api_key=emu.api_key)
        answers = [
            model.invoke([message]).text,
            "".join(chunk.text for chunk in model.stream([message])),
            (await model.ainvoke([message])).text,
            "".join([chunk.text async for chunk in model.astream([message])]),
        ]
    assert "600" in answers[0]
    assert set(answers) == {answers[0]}


@pytest.mark.parametrize("face", [GLMV, GLMVMultiModal])
async def test_llama_index_gives_equal_answers_sync_or_async_and_with_or_without_streaming(face: type[GLMV]) -> None:
    message = ChatMessage(blocks=[TextBlock(text=QUESTION), ImageBlock(path=PICTURE)])
    with Emulator() as emu:
        llm = face(model=MODEL, base_url=emu.base_url, api_key=emu.api_key)
        answers = [
            llm.chat([message]).message.content,
            "".join(piece.delta or "" for piece in llm.stream_chat([message])),
            (await llm.achat([message])).message.content,
            "".join([piece.delta or "" async for piece in await llm.astream_chat([message])]),
        ]
    assert "600" in (answers[0] or "")
    assert set(answers) == {answers[0]}
