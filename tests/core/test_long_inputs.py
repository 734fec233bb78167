"""No error message and no note quotes more than 500 characters of the user's input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage
from llama_index.core.base.llms.types import ChatMessage as LlamaMessage
from llama_index.core.base.llms.types import ImageBlock, TextBlock

import glmv
import langchain_glmv
from glmv_batch import Job
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV
from llama_index_glmv import GLMV, GLMVEmbedding, load_images

MOST = 500
SIGN = "¤"  # is in no text of glmv

# Makes a call with the text somewhere in it, which returns an answer (perhaps with notes) or raises an error.
Call = Callable[[str], Any]
URL = "https://example.com/a.png"
FUNCTION = {"type": "function", "function": {"name": "measure"}}


def values_with(text: str) -> Iterator[Any]:
    """The text in each shape of value that options accept."""
    yield from (text, [text], {text: text}, {"type": text}, [{"type": text}])
    function = {"name": text, "schema": {"type": text}}
    yield from ({"type": "function", "function": function}, [{"type": "function", "function": function}])
    yield {"type": "json_schema", "json_schema": function}


def message(role: str, content: Any = "", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def of_client(client: glmv.Client) -> dict[str, Call]:
    call = message("assistant", tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "{}"}}])

    def ask(*messages: Any) -> Any:
        return client.chat([message("user", "?"), *messages])

    return {
        "an option": lambda text: client.chat("?", **{text: 1}),  # type: ignore[arg-type]  # a name from a test
        "options": lambda text: client.chat("?", **{f"{text}{n}": 1 for n in range(9)}),  # type: ignore[arg-type]
        "a client's option": lambda text: glmv.Client(**{text: 1}),  # type: ignore[arg-type]
        "a setting": lambda text: glmv.Settings(**{text: 1}),  # type: ignore[arg-type]
        "a role": lambda text: ask(message(text, "?")),
        "a role of ours": lambda text: client.chat([glmv.Message(text, "?")]),  # type: ignore[arg-type]
        "a key": lambda text: ask(message("user", "?", **{text: 1})),
        "a type": lambda text: ask(message("user", [{"type": text}])),
        "a key of a part": lambda text: ask(message("user", [{"type": "text", "text": "?", text: 1}])),
        "a url": lambda text: ask(message("user", [{"type": "image_url", "image_url": {"url": text}}])),
        "a scheme": lambda text: ask(message("user", [{"type": "video_url", "video_url": {"url": f"ftp://{text}"}}])),
        "a local url": lambda text: client.chat([glmv.Image.from_url(f"http://localhost/{text}"), "?"]),
        "a call": lambda text: ask(
            message("assistant", tool_calls=[{"function": {"name": text, "arguments": {"a": object()}}}])
        ),
        "a picture of a call": lambda text: ask(
            message("assistant", tool_calls=[{"id": text, "function": {"name": text, "arguments": "{}"}}]),
            glmv.Message("tool", glmv.Image.from_url(URL), tool_call_id=text),
        ),
        "a link of a tool": lambda text: ask(
            call, message("tool", f'{{"type": "image", "url": "ftp://{text}"}}', tool_call_id="c")
        ),
        "a choice": lambda text: client.chat("?", tools=[FUNCTION], tool_choice=text),
        "many tools": lambda text: client.chat(
            "?", tools=[{**FUNCTION, "function": {"name": f"{text[:60]}{n}"}} for n in range(99)], tool_choice="x"
        ),
        "a model": lambda text: client.chat("?", model=text),
        "dimensions": lambda text: client.embed("a", dimensions=text),  # type: ignore[arg-type]
        "a task": lambda text: client.tasks.result(text),
        "a file": lambda text: client.files.upload(text),
        "a batch": lambda text: client.batches.create(text),
        "a request of a batch": lambda text: client.batches.create({text: message(text)}, model=text),  # type: ignore[dict-item]
        "a server": lambda text: glmv.Client("a.b", base_url=f"http://{text}.example").chat("?"),
        "a key that fails": lambda text: glmv.Client(lambda: {}[text], base_url="http://127.0.0.1:9").chat("?"),  # type: ignore[return-value]
        "a store": lambda text: glmv.PictureStore([text]),  # type: ignore[arg-type]
        "a job": lambda text: Job("photos", "?", **{text: 1}),  # type: ignore[arg-type]
    }


def of_langchain(model: ChatGLMV) -> dict[str, Call]:
    def ask(*blocks: Any) -> Any:
        return model.invoke([HumanMessage([*blocks])])

    return {
        "LangChain: an option": lambda text: ChatGLMV(**{text: 1}),
        "LangChain: an option of a call": lambda text: model.invoke("?", **{text: 1}),
        "LangChain: a role": lambda text: model.invoke([ChatMessage(role=text, content="?")]),
        "LangChain: a block": lambda text: ask({"type": text}),
        "LangChain: a key of a block": lambda text: ask({text: 1}),
        "LangChain: a reference": lambda text: ask({"type": "image", "file_id": f"glmv-sha256-{text}"}),
        "LangChain: a picture": lambda text: ask({"type": "image", "url": text}),
        "LangChain: a sound": lambda text: ask({"type": "file", "base64": "AAAA", "mime_type": f"audio/{text}"}),
        "LangChain: a block of a model": lambda text: ChatGLMV(model=text, api_key="a.b").invoke(
            [HumanMessage([{"type": "x"}])]
        ),
        "LangChain: a tool": lambda text: model.bind_tools([{"type": text}]),
        "LangChain: a method": lambda text: model.with_structured_output(dict, method=text),  # type: ignore[arg-type]
        "LangChain: a greeting": lambda text: model.invoke([AIMessage(text), AIMessage("", tool_calls=[])]),
        "LangChain: a file": langchain_glmv.image,
    }


def of_llama_index(llm: GLMV) -> dict[str, Call]:
    def ask(*blocks: Any) -> Any:
        return llm.chat([LlamaMessage(role="user", blocks=[*blocks, TextBlock(text="?")])])

    return {
        "LlamaIndex: an option": lambda text: GLMV(**{text: 1}),
        "LlamaIndex: an option of a call": lambda text: llm.complete("?", **{text: 1}),  # type: ignore[arg-type]
        "LlamaIndex: an option of embeddings": lambda text: GLMVEmbedding(**{text: 1}),
        "LlamaIndex: a url": lambda text: ask(ImageBlock(url=text)),
        "LlamaIndex: a detail": lambda text: ask(ImageBlock(url=URL, detail=text)),
        "LlamaIndex: image_url": lambda text: llm.complete("?", image_url=text),
        "LlamaIndex: image_documents": lambda text: llm.complete("?", image_documents=[text]),
        "LlamaIndex: a folder": lambda text: load_images(f"no-such-place://{text}"),
        "LlamaIndex: on_error": lambda text: load_images(".", on_error=text),  # type: ignore[arg-type]
        "LlamaIndex: folders": lambda text: GLMV(api_key="a.b", local_files=[text]).complete(
            "?", image_documents=["/no/such/picture.png"]
        ),
    }


def of_media() -> dict[str, Call]:
    makers: list[Call] = [glmv.Image.of, glmv.Image.from_path, glmv.Image.from_base64, glmv.Image.from_message]
    makers += [glmv.Video.of, glmv.Video.from_url, glmv.File.from_path, glmv.File.from_base64, glmv.File.from_url]
    return {f"{maker.__qualname__}": maker for maker in makers}  # type: ignore[attr-defined]  # methods have one


def texts_of(call: Call, text: str) -> Iterable[str]:
    """The error messages and notes of a call."""
    try:
        answer = call(text)
    except glmv.GLMVError as error:
        return [str(error), repr(error)]
    except ValueError as error:  # what the frameworks' own interfaces raise
        return [str(error)] if "method" in str(error) else []
    result = getattr(answer, "response_metadata", None) or getattr(answer, "additional_kwargs", None) or {}
    return [*getattr(answer, "notes", ()), *result.get("notes", ())]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as started:
        yield started


class Calls(dict[str, Call]):
    def __repr__(self) -> str:
        return f"{len(self)} calls"


@pytest.fixture(scope="module")
def calls(emulator: Emulator) -> Calls:
    server: dict[str, Any] = {"api_key": emulator.api_key, "base_url": emulator.base_url, "max_retries": 0}
    client = glmv.Client(**server)
    result = Calls(of_client(client) | of_langchain(ChatGLMV(**server)) | of_llama_index(GLMV(**server)) | of_media())
    for name in glmv.Options.model_fields.keys() | glmv.CallKeywords.__annotations__.keys():
        for at in range(8):
            result[f"{name}, {at}"] = lambda text, n=name, at=at: client.chat("?", **{n: [*values_with(text)][at]})
    return result


@given(st.sampled_from([SIGN, f"{SIGN}/", f"a{SIGN}", f"{SIGN}\n"]), st.integers(2_000, 9_000))
@settings(max_examples=4, deadline=None)
def test_no_error_or_note_quotes_more_than_500_characters(calls: Calls, piece: str, length: int) -> None:
    text = (piece * length)[:length]
    values = {
        name: max((quote.count(SIGN) for quote in texts_of(call, text)), default=0) for name, call in calls.items()
    }
    assert {name: count for name, count in values.items() if count > MOST} == {}
