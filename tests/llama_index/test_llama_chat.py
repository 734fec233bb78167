"""Questions about pictures through every entry point of LlamaIndex, answered by the emulator."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.schema import ImageDocument, ImageNode

import glmv
from glmv_emulator import Emulator
from llama_index_glmv import GLMV, GLMVMultiModal

BOTH_FACES = pytest.mark.parametrize("kind", [GLMV, GLMVMultiModal])
QUESTION = "Which colours are in this picture, and how large is it?"


def see(picture: ImageBlock) -> list[ChatMessage]:
    return [ChatMessage(blocks=[picture, TextBlock(text=QUESTION)])]


def everywhere(llm: GLMV, picture: ImageBlock) -> dict[str, Any]:
    """The same question through all eight entry points -> the last response of each."""

    async def asynchronous() -> dict[str, Any]:
        answer = {
            "achat": await llm.achat(see(picture)),
            "acomplete": await llm.acomplete(QUESTION, image_documents=[picture]),
        }
        async for chat in await llm.astream_chat(see(picture)):
            answer["astream_chat"] = chat
        async for completion in await llm.astream_complete(QUESTION, image_documents=[picture]):
            answer["astream_complete"] = completion
        await llm.aclose()
        return answer

    return {
        "chat": llm.chat(see(picture)),
        "complete": llm.complete(QUESTION, image_documents=[picture]),
        "stream_chat": list(llm.stream_chat(see(picture)))[-1],
        "stream_complete": list(llm.stream_complete(QUESTION, image_documents=[picture]))[-1],
        **asyncio.run(asynchronous()),
    }


def words(response: Any) -> str:
    return response.message.content if hasattr(response, "message") else response.text


@BOTH_FACES
def test_all_eight_entry_points_give_the_same_text_and_usage(
    kind: type[GLMV], connect: Callable[..., GLMV], red: bytes
) -> None:
    result = everywhere(connect(kind), ImageBlock(image=red))
    assert len(result) == 8
    assert len({words(response) for response in result.values()}) == 1
    assert len({str(response.raw["usage"]) for response in result.values()}) == 1
    assert "red" in words(result["chat"]).lower()
    assert "32" in words(result["chat"])


def test_the_client_of_glmv_and_the_llama_index_llm_give_the_same_answer(
    connect: Callable[..., GLMV], glmv_emulator: Emulator, red: bytes
) -> None:
    with glmv.Client(glmv_emulator.api_key, base_url=glmv_emulator.base_url) as client:
        core = client.chat([glmv.Image.from_bytes(red), QUESTION])
    response = connect().chat(see(ImageBlock(image=red)))
    assert words(response) == core.text
    assert core.usage is not None
    assert response.additional_kwargs["total_tokens"] == core.usage.total_tokens


def test_every_form_of_a_picture_gives_the_same_answer(
    connect: Callable[..., GLMV], red: bytes, red_path: Path
) -> None:
    text = base64.b64encode(red).decode()
    pictures = [
        ImageBlock(image=red),
        ImageBlock(path=red_path),
        ImageBlock(url=f"data:image/png;base64,{text}"),
        ImageNode(image=text),
        ImageNode(image_path=str(red_path)),
        ImageDocument(image=text),
        ImageDocument(image_path=str(red_path)),
        str(red_path),
    ]
    llm = connect(GLMVMultiModal)
    assert len({llm.complete(QUESTION, [picture]).text for picture in pictures}) == 1


def test_a_picture_by_url_is_answered_by_a_model_that_accepts_only_urls(
    connect: Callable[..., GLMV], glmv_emulator: Emulator, red_path: Path
) -> None:
    url = glmv_emulator.host(red_path)
    response = connect(model="glm-4v-flash").complete(QUESTION, image_documents=[ImageBlock(url=url)])
    assert "red" in response.text.lower()


def test_several_pictures_keep_their_order(connect: Callable[..., GLMV], draw: Callable[..., bytes]) -> None:
    small, large = ImageBlock(image=draw("red", (16, 16))), ImageBlock(image=draw("blue", (64, 64)))
    llm = connect()
    first = llm.complete("Which picture is larger?", image_documents=[small, large]).text
    second = llm.complete("Which picture is larger?", image_documents=[large, small]).text
    assert first != second


def test_a_follow_up_question_is_answered_from_the_picture_sent_earlier(
    connect: Callable[..., GLMV], red: bytes
) -> None:
    llm = connect()
    history = see(ImageBlock(image=red))
    history.append(llm.chat(history).message)
    history.append(ChatMessage(content="Which colour was the picture?"))
    assert "red" in words(llm.chat(history)).lower()


def test_a_model_answers_in_three_event_loops_one_after_the_other(connect: Callable[..., GLMV]) -> None:
    llm = connect()

    async def ask() -> str:
        return str((await llm.achat([ChatMessage(content="hello")])).message.content)

    assert asyncio.run(ask()) == asyncio.run(ask()) == asyncio.run(ask())


def test_a_model_that_was_closed_answers_the_next_call(connect: Callable[..., GLMV]) -> None:
    llm = connect()
    with llm:
        first = llm.complete("hello").text
    assert llm.complete("hello").text == first


def test_options_of_a_call_override_options_of_the_model(connect: Callable[..., GLMV], glmv_emulator: Emulator) -> None:
    connect(temperature=0.1, max_tokens=50).complete("hello", temperature=0.9, extra_body={"own": 1})
    body = glmv_emulator.requests[-1].body
    assert (body["temperature"], body["max_tokens"], body["own"]) == (0.9, 50, 1)
    assert None not in body.values()


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda llm, red: llm.complete("x", temprature=1), glmv.InvalidRequestError, "Did you mean 'temperature'"),
        (lambda llm, red: llm.complete("x", ["no/such.png"]), glmv.InvalidRequestError, "such.png"),
        (lambda llm, red: llm.complete("x", [b"no picture"]), glmv.UnsupportedContent, "not a picture"),
        (lambda llm, red: llm.complete("x", [red] * 6, model="glm-4v"), glmv.LimitExceeded, "5"),
        (lambda llm, red: llm.complete("x", [red], model="glm-4v-flash"), glmv.InvalidRequestError, "glm-4v-flash"),
        (lambda llm, red: llm.complete("x", model="glm-none"), glmv.NotFoundError, "1211"),
    ],
)
def test_the_error_for_invalid_input_names_what_is_wrong(
    ask: Callable[..., Any], error: type[Exception], message: str, connect: Callable[..., GLMV], red: bytes
) -> None:
    with pytest.raises(error, match=message):
        ask(connect(), red)


def test_a_missing_key_raises_at_the_first_call() -> None:
    llm = GLMV()
    with pytest.raises(glmv.AuthenticationError, match="ZHIPUAI_API_KEY"):
        llm.complete("x")


def test_a_wrong_key_raises_an_authentication_error(glmv_emulator: Emulator) -> None:
    with GLMV(api_key="test-id.wrong", base_url=glmv_emulator.base_url) as llm, pytest.raises(glmv.AuthenticationError):
        llm.complete("x")


def test_a_stream_that_is_closed_early_releases_its_slot(connect: Callable[..., GLMV]) -> None:
    llm = connect(max_concurrency=1, timeout=5.0)
    stream = llm.stream_chat([ChatMessage(content="hello")])
    next(stream)
    stream.close()
    assert words(llm.chat([ChatMessage(content="hello")]))


@pytest.mark.parametrize("end", ["closed", "cancelled"])
async def test_an_async_stream_that_ends_early_releases_its_slot(end: str, connect: Callable[..., GLMV]) -> None:
    llm = connect(max_concurrency=1, timeout=5.0)
    begun = asyncio.Event()

    async def read() -> None:
        stream = await llm.astream_chat([ChatMessage(content="hello")])
        await anext(stream)
        begun.set()
        if end == "closed":
            await stream.aclose()
        else:
            await asyncio.Event().wait()

    reading = asyncio.create_task(read())
    await begun.wait()
    if end == "cancelled":
        reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    del reading
    assert words(await llm.achat([ChatMessage(content="hello")]))
    await llm.aclose()


@pytest.mark.parametrize("way", ["astream_chat", "astream_complete"])
def test_a_stream_left_before_its_end_frees_its_slot_when_the_event_loop_ends(
    way: str, connect: Callable[..., GLMV], caplog: pytest.LogCaptureFixture
) -> None:
    llm = connect(max_concurrency=1, timeout=5.0)

    async def read_a_little() -> None:
        stream = await (
            llm.astream_chat([ChatMessage(content="hello")]) if "chat" in way else llm.astream_complete("hello")
        )
        async for _ in stream:
            break

    for _ in range(3):
        asyncio.run(read_a_little())
        assert llm.complete("hello").text  # the slot is free again
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("prompt", [None, ["What?"], ChatMessage(content="What?")], ids=["None", "list", "message"])
def test_a_prompt_that_is_not_a_str_raises_invalid_request_error(connect: Callable[..., GLMV], prompt: Any) -> None:
    llm = connect()
    with pytest.raises(glmv.InvalidRequestError, match=r"a prompt must be a str; got .*chat\(\[message\]\)"):
        llm.complete(prompt)
    with pytest.raises(glmv.InvalidRequestError, match="a prompt must be a str"):
        list(llm.stream_complete(prompt))
    with pytest.raises(glmv.InvalidRequestError, match="a prompt must be a str"):
        asyncio.run(llm.acomplete(prompt))
