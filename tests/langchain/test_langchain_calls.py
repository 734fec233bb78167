"""One picture sent through every entry point of a LangChain model, over the emulator."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

import glmv
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV, errors, image

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")


@pytest.fixture
def question(red: str) -> list[HumanMessage]:
    return [HumanMessage(["What is the main colour?", {"type": "image", "base64": red, "mime_type": "image/png"}])]


def total(chunks: list[Any]) -> AIMessageChunk:
    first, *rest = chunks
    whole = first.__add__(rest)
    assert isinstance(whole, AIMessageChunk)
    return whole


class Tokens(BaseCallbackHandler):
    """Records callbacks in order."""

    def __init__(self) -> None:
        self.tokens: list[Any] = []
        self.errors: list[BaseException] = []
        self.partial: list[Any] = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        self.tokens.append((token, chunk))

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append(error)
        self.partial.append(kwargs.get("response"))


def facts(message: AIMessage) -> tuple[Any, ...]:
    return message.text, message.usage_metadata, message.response_metadata["finish_reason"]


async def test_all_entry_points_of_the_chat_model_give_the_same_text_and_usage(model: ChatGLMV, question: Any) -> None:
    whole = model.invoke(question)
    assert "red" in whole.text
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["input_tokens"] > 0
    assert whole.response_metadata["model_name"] == "glm-4.6v"
    assert whole.response_metadata["model_provider"] == "glmv"
    others = [
        await model.ainvoke(question),
        total(list(model.stream(question))),
        total([chunk async for chunk in model.astream(question)]),
        *model.batch([question, question]),
        *(await model.abatch([question])),
        model.invoke(question, stream=True),
        model.stream_events(question, version="v3").output,
    ]
    for other in others:
        assert facts(other) == facts(whole)


def test_chat_glmv_and_the_client_of_glmv_give_the_same_text_and_input_tokens(
    model: ChatGLMV, emulator: Emulator, question: Any, red: str
) -> None:
    with glmv.Client(model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key) as client:
        answer = client.chat(["What is the main colour?", glmv.Image.from_base64(red)])
    message = model.invoke(question)
    assert (message.text, message.usage_metadata["input_tokens"]) == (answer.text, answer.usage.prompt_tokens)  # type: ignore[index,union-attr]  # both have usage


def test_a_url_and_a_data_uri_and_base64_of_a_picture_give_the_same_answer(
    model: ChatGLMV, emulator: Emulator, red: str, tmp_path: Any
) -> None:
    from base64 import b64decode

    path = tmp_path / "red.png"
    path.write_bytes(b64decode(red))
    blocks = [
        image(path),
        image(path.read_bytes()),
        image(emulator.host(path)),
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{red}"}},
        {"type": "image_url", "image_url": emulator.host(path)},
        {"type": "image", "base64": red},
        {"type": "image", "source_type": "base64", "data": red},
    ]
    answers = {model.invoke([HumanMessage(["Which colour is it?", block])]).text for block in blocks}
    assert len(answers) == 1
    assert "red" in answers.pop()


def test_base64_that_is_not_a_picture_is_refused_with_that_reason(model: ChatGLMV) -> None:
    with pytest.raises(errors.UnsupportedContent, match="not a picture"):
        model.invoke([HumanMessage([{"type": "image", "base64": "bm90IGEgcGljdHVyZQ=="}])])


def test_a_chain_streams_the_answer(model: ChatGLMV, red: str) -> None:
    prompt = ChatPromptTemplate.from_messages(
        [
            (
                "human",
                [
                    {"type": "text", "text": "Which {what} is it?"},
                    {"type": "image", "base64": "{picture}", "mime_type": "image/png"},
                ],
            )
        ]
    )
    pieces = list((prompt | model | StrOutputParser()).stream({"what": "colour", "picture": red}))
    assert len(pieces) > 1
    assert "red" in "".join(pieces)


@pytest.mark.parametrize("way", ["stream", "invoke", "events"])
def test_handlers_get_every_chunk_exactly_once_and_before_it_is_yielded(
    model: ChatGLMV, question: Any, way: str
) -> None:
    handler = Tokens()
    config: Any = {"callbacks": [handler]}
    match way:
        case "stream":
            for number, chunk in enumerate(model.stream(question, config), start=1):
                assert len(handler.tokens) == number
                assert handler.tokens[-1][1].message is chunk
        case "invoke":
            model.invoke(question, config, stream=True)
        case "events":
            stream = model.stream_events(question, config, version="v3")
            assert stream.output.text
    texts = [token for token, _ in handler.tokens]
    assert "".join(texts) == model.invoke(question).text
    assert [chunk.message.chunk_position for _, chunk in handler.tokens].count("last") == 1


async def test_async_handlers_get_every_chunk_once(model: ChatGLMV, question: Any) -> None:
    results: list[str] = []

    class Handler(AsyncCallbackHandler):
        async def on_llm_new_token(self, token: str, **_: Any) -> None:
            results.append(token)

    config: Any = {"callbacks": [Handler()]}
    async for _ in model.astream(question, config):
        pass
    whole = (await model.ainvoke(question)).text
    assert "".join(results) == whole
    results.clear()
    await (await model.astream_events(question, config, version="v3")).output
    assert "".join(results) == whole


async def test_astream_events_v2_begins_with_the_start_event_and_ends_with_the_end_event(
    model: ChatGLMV, question: Any
) -> None:
    events = [event["event"] async for event in model.astream_events(question, version="v2")]
    assert (events[0], events[-1]) == ("on_chat_model_start", "on_chat_model_end")
    assert set(events[1:-1]) == {"on_chat_model_stream"}


def test_the_usage_callback_handler_counts_a_streamed_call_once(model: ChatGLMV, question: Any) -> None:
    handler = UsageMetadataCallbackHandler()
    message = total(list(model.stream(question, config={"callbacks": [handler]})))
    assert handler.usage_metadata == {"glm-4.6v": message.usage_metadata}


def test_a_stream_has_no_usage_if_stream_usage_is_false(model: ChatGLMV, question: Any) -> None:
    assert total(list(model.stream(question, stream_usage=False))).usage_metadata is None
    assert total(list(model.stream(question, stream_options={"include_usage": False}))).usage_metadata is None
    silent = model.model_copy(update={"stream_usage": False})
    assert total(list(silent.stream(question))).usage_metadata is None


@pytest.mark.filterwarnings("ignore:astream_log is deprecated")
async def test_astream_log_ends_with_the_answer(model: ChatGLMV, question: Any) -> None:
    patches = [patch async for patch in model.astream_log(question)]
    state = patches[0]
    for patch in patches[1:]:
        state = state + patch
    assert state.state["final_output"].text == (await model.ainvoke(question)).text  # type: ignore[attr-defined]  # a RunLog


@pytest.mark.parametrize("option", [{"disable_streaming": True}, {"streaming": False}])
def test_the_method_stream_does_not_stream_if_streaming_is_turned_off(
    emulator: Emulator, question: Any, option: dict[str, Any]
) -> None:
    still = ChatGLMV(model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key, **option)
    [message] = list(still.stream(question))
    assert "red" in message.text
    assert [request.stream for request in emulator.requests] == [False]


def test_invoke_sends_a_streaming_request_if_streaming_is_true(emulator: Emulator, question: Any) -> None:
    model = ChatGLMV(model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key, streaming=True)
    assert "red" in model.invoke(question).text
    assert [request.stream for request in emulator.requests] == [True]


def test_a_model_passed_for_one_call_is_named_in_the_metadata(model: ChatGLMV, question: Any) -> None:
    for message in (model.invoke(question, model="glm-4.5v"), model.bind(model="glm-4.5v").invoke(question)):
        assert message.response_metadata["model_name"] == "glm-4.5v"


def test_llm_output_has_the_name_of_the_model_after_generate(model: ChatGLMV, question: Any) -> None:
    result = model.generate([question, question])
    assert result.llm_output == {"model_name": "glm-4.6v"}
    assert "red" in result.generations[1][0].text


def test_a_model_answers_in_three_event_loops_one_after_the_other(model: ChatGLMV, question: Any) -> None:
    assert {asyncio.run(model.ainvoke(question)).text for _ in range(3)} == {model.invoke(question).text}


def test_the_key_is_read_from_the_environment_at_the_first_call(
    emulator: Emulator, question: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyless = ChatGLMV(model="glm-4.6v", base_url=emulator.base_url)
    monkeypatch.setenv("ZHIPUAI_API_KEY", emulator.api_key)
    assert "red" in keyless.invoke(question).text


def test_a_note_of_the_answer_names_the_detail_option_that_was_left_out(model: ChatGLMV, red: str) -> None:
    block = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{red}", "detail": "high"}}
    answer = model.invoke([HumanMessage(["Which colour?", block])])
    assert any("detail" in note for note in answer.response_metadata["notes"])


def test_the_error_of_a_wrong_key_reaches_handlers_and_is_an_error_of_glmv(emulator: Emulator) -> None:
    handler = Tokens()
    wrong = ChatGLMV(model="glm-4.6v", base_url=emulator.base_url, api_key="wrong-id.wrong-secret")
    with pytest.raises(errors.ModelAuthenticationError) as refusal:
        wrong.invoke("hi", {"callbacks": [handler]})
    assert isinstance(refusal.value, glmv.AuthenticationError)
    assert handler.errors == [refusal.value]
    assert "wrong-secret" not in str(refusal.value)


def test_an_unreachable_server_raises_model_connection_error() -> None:
    nowhere = ChatGLMV(
        model="glm-4.6v", base_url="http://127.0.0.1:9/api/paas/v4", api_key="test-id.test-secret", max_retries=0
    )
    with pytest.raises(errors.ModelConnectionError):
        nowhere.invoke("hi")


def test_six_pictures_for_glm_4v_are_refused_before_sending(model: ChatGLMV, red: str, emulator: Emulator) -> None:
    with pytest.raises(glmv.LimitExceeded, match="glm-4v"):
        model.invoke(
            [HumanMessage(["?", *[{"type": "image", "base64": red, "mime_type": "image/png"}] * 6])], model="glm-4v"
        )
    assert emulator.requests == []
