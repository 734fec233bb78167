"""A question about a picture gives the same text and usage through `glmv`, LangChain and LlamaIndex."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from PIL import Image as Picture

import glmv
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV, image
from llama_index_glmv import GLMV, GLMVMultiModal

QUESTION = "Which colours are in this picture, and how large is it?"
Answer = tuple[str, int, int]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as emu:
        yield emu


@pytest.fixture(scope="module")
def png() -> bytes:
    picture = Picture.new("RGB", (120, 80), "navy")
    picture.paste("gold", (0, 0, 60, 80))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def core(emu: Emulator, png: bytes, stream: bool) -> Answer:
    with glmv.Client(emu.api_key, base_url=emu.base_url) as glm:
        prompt = [glmv.Image.from_bytes(png), QUESTION]
        total = glmv.Accumulator()
        for delta in glm.stream(prompt) if stream else [glm.chat(prompt).as_delta()]:
            total.add(delta)
    return _answer(total.completion())


async def acore(emu: Emulator, png: bytes, stream: bool) -> Answer:
    async with glmv.AsyncClient(emu.api_key, base_url=emu.base_url) as glm:
        prompt = [glmv.Image.from_bytes(png), QUESTION]
        if not stream:
            return _answer(await glm.chat(prompt))
        total = glmv.Accumulator()
        async for delta in glm.stream(prompt):
            total.add(delta)
    return _answer(total.completion())


def _answer(completion: glmv.Completion) -> Answer:
    assert completion.usage is not None
    return completion.text, completion.usage.prompt_tokens, completion.usage.completion_tokens


def _human(png: bytes) -> list[Any]:
    return [HumanMessage([image(png), {"type": "text", "text": QUESTION}])]


def langchain(emu: Emulator, png: bytes, stream: bool) -> Answer:
    llm = ChatGLMV(api_key=emu.api_key, base_url=emu.base_url)
    if not stream:
        return _langchain(llm.invoke(_human(png)))
    chunks = list(llm.stream(_human(png)))
    return _langchain(sum(chunks[1:], start=chunks[0]))


async def alangchain(emu: Emulator, png: bytes, stream: bool) -> Answer:
    llm = ChatGLMV(api_key=emu.api_key, base_url=emu.base_url)
    if not stream:
        return _langchain(await llm.ainvoke(_human(png)))
    chunks = [chunk async for chunk in llm.astream(_human(png))]
    return _langchain(sum(chunks[1:], start=chunks[0]))


def _langchain(message: Any) -> Answer:
    assert isinstance(message.content, str) or isinstance(message, AIMessageChunk)
    return message.text, message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]


def _chat(png: bytes) -> list[ChatMessage]:
    return [ChatMessage(role="user", blocks=[ImageBlock(image=png), TextBlock(text=QUESTION)])]


def llama_index(kind: type[GLMV]) -> Callable[[Emulator, bytes, bool], Answer]:
    def ask(emu: Emulator, png: bytes, stream: bool) -> Answer:
        llm = kind(api_key=emu.api_key, base_url=emu.base_url)
        return _llama_index(list(llm.stream_chat(_chat(png)))[-1] if stream else llm.chat(_chat(png)))

    return ask


async def allama_index(emu: Emulator, png: bytes, stream: bool) -> Answer:
    llm = GLMV(api_key=emu.api_key, base_url=emu.base_url)
    if not stream:
        return _llama_index(await llm.achat(_chat(png)))
    return _llama_index([response async for response in await llm.astream_chat(_chat(png))][-1])


def _llama_index(response: Any) -> Answer:
    usage = response.raw["usage"]
    return response.message.content, usage["prompt_tokens"], usage["completion_tokens"]


ways: dict[str, Callable[[Emulator, bytes, bool], Answer | Awaitable[Answer]]] = {
    "core, async": acore,
    "LangChain": langchain,
    "LangChain, async": alangchain,
    "LlamaIndex": llama_index(GLMV),
    "LlamaIndex, multi-modal face": llama_index(GLMVMultiModal),
    "LlamaIndex, async": allama_index,
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("way", ways)
def test_every_entry_point_gives_the_same_text_and_usage(
    emulator: Emulator, png: bytes, way: str, stream: bool
) -> None:
    expected = core(emulator, png, stream=False)
    assert "120" in expected[0], "the emulator looked at the picture"
    result = ways[way](emulator, png, stream)
    assert (asyncio.run(result) if asyncio.iscoroutine(result) else result) == expected
    assert core(emulator, png, stream=True) == expected
