"""Expectations of a LlamaIndex user of a model, tested one by one: prints JSON of behaviour -> [met, observation].

Runs in the environment of the class that it probes: `python llama_index_probes.py CLASS`, servers as JSON on stdin.
Each class is used as documented, with its defaults; the server is the same for all.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from probing import COLOUR, PROBES, Subject, fastest, filled, misspelt, outcome, probe, raised, schema, square


def glmv(url: str, key: str, **options: Any) -> Any:
    from llama_index_glmv import GLMVMultiModal

    return GLMVMultiModal(**{"model": "glm-4.6v", "base_url": url, "api_key": key, **options})


def openai_like(url: str, key: str, **options: Any) -> Any:
    from llama_index.llms.openai_like import OpenAILike

    claims = {"is_chat_model": True, "is_function_calling_model": True, "context_window": 131_072}
    return OpenAILike(**{"model": "glm-4.6v", "api_base": url, "api_key": key, **claims, **options})


def zhipuai(url: str, key: str, **options: Any) -> Any:
    from llama_index.llms.zhipuai import ZhipuAI

    # It has no parameter for the base URL, and supports one vision model.
    os.environ["ZHIPUAI_BASE_URL"] = url
    return ZhipuAI(**{"model": "glm-4v", "api_key": key, **options})


def zhipuai_multi_modal(url: str, key: str, **options: Any) -> Any:
    os.environ["ZHIPUAI_BASE_URL"] = url
    from llama_index.multi_modal_llms.zhipuai import ZhipuAIMultiModal

    return ZhipuAIMultiModal(**{"model": "glm-4v", "api_key": key, **options})


CLASSES = {
    "GLMVMultiModal": glmv,
    "OpenAILike": openai_like,
    "ZhipuAI": zhipuai,
    "ZhipuAIMultiModal": zhipuai_multi_modal,
}
# The text model, for checks without a picture, of a class whose vision model takes neither tools nor bare text.
TEXT = {zhipuai: "glm-4-plus", zhipuai_multi_modal: "glm-4-plus"}


class Model(Subject):
    """A subject that may have a separate text model."""

    def text(self, **options: Any) -> Any:
        name = TEXT.get(self.make)
        return self.model(**({"model": name} if name else {}), **options)


def user(*parts: Any) -> list[Any]:
    from llama_index.core.base.llms.types import TextBlock
    from llama_index.core.llms import ChatMessage

    return [ChatMessage(blocks=[TextBlock(text=part) if isinstance(part, str) else part for part in parts])]


def image(**fields: Any) -> Any:
    from llama_index.core.base.llms.types import ImageBlock

    return ImageBlock(**fields)


def says(response: Any, *words: str) -> tuple[bool, str]:
    text = str(getattr(getattr(response, "message", None), "content", None) or getattr(response, "text", response))
    return all(word in text.lower() for word in words), text


def add_tool() -> Any:
    from llama_index.core.tools import FunctionTool

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    return FunctionTool.from_defaults(add)


@contextmanager
def listening() -> Iterator[list[str]]:
    """The names of instrumentation events."""
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler

    names: list[str] = []

    class Handler(BaseEventHandler):
        def handle(self, event: Any, **_: Any) -> None:
            names.append(event.class_name())

    handler, root = Handler(), get_dispatcher()
    root.add_event_handler(handler)
    yield names
    root.event_handlers.remove(handler)


def counter() -> Any:
    from llama_index.core.callbacks import TokenCountingHandler

    def never(text: str) -> list[int]:
        raise AssertionError("it estimates")

    return TokenCountingHandler(tokenizer=never)


def managed(handler: Any) -> Any:
    from llama_index.core.callbacks import CallbackManager

    return CallbackManager([handler])


def index(subject: Model) -> Any:
    from llama_index.core.embeddings import MultiModalEmbedding
    from llama_index.core.indices import MultiModalVectorStoreIndex
    from llama_index.core.schema import ImageNode, TextNode

    class Alike(MultiModalEmbedding):
        def _get_text_embedding(self, text: str) -> list[float]:
            return [1.0, 0.0]

        def _get_image_embedding(self, img_file_path: Any) -> list[float]:
            return [1.0, 0.0]

        async def _aget_image_embedding(self, img_file_path: Any) -> list[float]:
            return [1.0, 0.0]

        def _get_query_embedding(self, query: str) -> list[float]:
            return [1.0, 0.0]

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return [1.0, 0.0]

    nodes = [TextNode(text="Walls."), ImageNode(image_path=subject.given["file"], text="a wall")]
    return MultiModalVectorStoreIndex(nodes, embed_model=Alike(), image_embed_model=Alike())


# ---- pictures and other content


@probe("A picture as an ImageBlock of bytes is seen")
def _(subject: Model) -> object:
    return says(subject.model().chat(user(image(image=square()), COLOUR)), "red")


@probe("A picture as an ImageBlock of a path is seen")
def _(subject: Model) -> object:
    return says(subject.model().chat(user(image(path=subject.given["file"]), COLOUR)), "red")


@probe("A picture as an ImageBlock of a URL is seen by the platform")
def _(subject: Model) -> object:
    return says(subject.model().chat(user(image(url=subject.given["picture"]), COLOUR)), "red")


@probe("A picture is seen by a server that takes raw base64 only, as the platform documents")
def _(subject: Model) -> object:
    llm = subject.at("strict")
    return says(llm.chat(user(image(image=square()), COLOUR)), "red")


@probe("complete(prompt, image_documents=[ImageDocument, ImageNode]) sees both")
def _(subject: Model) -> object:
    from llama_index.core.schema import ImageDocument, ImageNode

    documents = [ImageDocument(image_path=subject.given["file"]), ImageNode(image_path=subject.given["file"])]
    return says(subject.model().complete("How many pictures are there?", image_documents=documents), "2")


@probe("A video as a VideoBlock is seen", alone=True)
def _(subject: Model) -> object:
    from llama_index.core.base.llms.types import VideoBlock

    return says(subject.model().chat(user(VideoBlock(url=subject.given["clip"]), COLOUR)), "blue")


@probe("A screenshot that an agent's tool returns is seen", alone=True)
def _(subject: Model) -> object:
    from llama_index.core.base.llms.types import ToolCallBlock
    from llama_index.core.llms import ChatMessage

    call = {"id": "c1", "type": "function", "function": {"name": "shoot", "arguments": "{}"}}
    asked = ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_call_id="c1", tool_name="shoot", tool_kwargs={})])
    asked.additional_kwargs["tool_calls"] = [call]
    shot = ChatMessage(role="tool", blocks=[image(image=square())], additional_kwargs={"tool_call_id": "c1"})
    return says(subject.text().chat([*user("Take a screenshot. Which colour has it?"), asked, shot]), "red")


@probe("Audio is refused before anything is sent, and the error names the block")
def _(subject: Model) -> object:
    from llama_index.core.base.llms.types import AudioBlock

    block = AudioBlock(audio=b"RIFF....WAVEfmt ", format="wav")
    error = raised(lambda: subject.model().chat(user("Listen.", block)))
    return error is not None and "audio" in str(error).lower(), f"{type(error).__name__}: {error}"


@probe("A CitableBlock and a CachePoint are understood")
def _(subject: Model) -> object:
    from llama_index.core.base.llms.types import CacheControl, CachePoint, CitableBlock

    block = CitableBlock(title="Wall", source="book", content=[image(image=square())])
    return says(subject.model().chat(user(block, CachePoint(cache_control=CacheControl(type="x")), COLOUR)), "red")


@probe("The empty system message that chat engines send is accepted")
def _(subject: Model) -> object:
    from llama_index.core.llms import ChatMessage

    return says(subject.text().chat([ChatMessage(role="system", content=None), *user("Hi")]))


# ---- engines over pictures


@probe("RetrieverQueryEngine(multimodal=True) answers from the picture")
def _(subject: Model) -> object:
    from llama_index.core.query_engine import RetrieverQueryEngine

    engine = RetrieverQueryEngine.from_args(index(subject).as_retriever(), llm=subject.model(), multimodal=True)
    return says(engine.query(COLOUR), "red")


@probe("MultiModalVectorStoreIndex.as_query_engine() answers from the picture")
def _(subject: Model) -> object:
    return says(index(subject).as_query_engine(llm=subject.model()).query(COLOUR), "red")


@probe("MultiModalVectorStoreIndex.as_chat_engine() answers from the picture")
def _(subject: Model) -> object:
    return says(index(subject).as_chat_engine(chat_mode="context", llm=subject.model()).chat(COLOUR), "red")


@probe("The class is also a MultiModalLLM, and can be called as one")
def _(subject: Model) -> object:
    from llama_index.core.multi_modal_llms import MultiModalLLM

    llm = subject.model()
    if not isinstance(llm, MultiModalLLM):
        return False, "isinstance(llm, MultiModalLLM) is False"
    return says(llm.complete(COLOUR, [image(image=square())]), "red")


# ---- metadata of an answer


@probe("Thinking is a ThinkingBlock of the answer")
def _(subject: Model) -> object:
    response = subject.model().chat(user("Think: what is red?"))
    return any(block.block_type == "thinking" for block in response.message.blocks)


@probe("Thinking is streamed in thinking_delta, which agents read, in asynchronous calls from the first chunk on")
def _(subject: Model) -> object:
    async def ask() -> list[Any]:
        return [chunk async for chunk in await subject.model().astream_chat(user("Think: what is red?"))]

    chunks = asyncio.run(ask())
    told = "".join(chunk.additional_kwargs.get("thinking_delta") or "" for chunk in chunks)
    whole = "".join(b.content or "" for b in chunks[-1].message.blocks if b.block_type == "thinking")
    return bool(whole) and told == whole, f"{len(told)} of {len(whole)} letters"


@probe("complete() emits its events once")
def _(subject: Model) -> object:
    with listening() as names:
        subject.text().complete("Hi")
    seen = [name for name in names if name.startswith(("LLMChat", "LLMCompletion"))]
    return seen == ["LLMCompletionStartEvent", "LLMCompletionEndEvent"], ", ".join(seen)


@probe("TokenCountingHandler counts complete() once and estimates nothing")
def _(subject: Model) -> object:
    handler = counter()
    usage = subject.text(callback_manager=managed(handler)).complete("Hi").raw
    usage = (usage if isinstance(usage, dict) else usage.model_dump())["usage"]
    usage = usage if isinstance(usage, dict) else usage.model_dump()
    return handler.prompt_llm_token_count == usage["prompt_tokens"], f"{handler.prompt_llm_token_count} tokens"


@probe("TokenCountingHandler counts a stream with a picture URL without estimating, and fetches nothing")
def _(subject: Model) -> object:
    handler = counter()
    list(
        subject.model(callback_manager=managed(handler)).stream_chat(user(image(url=subject.given["picture"]), COLOUR))
    )
    return handler.prompt_llm_token_count > 0


@probe("Chunks of a stream are plain data and do not change afterwards")
def _(subject: Model) -> object:
    chunks = list(subject.text().stream_chat(user("Hi")))
    json.dumps([chunk.raw.model_dump() if hasattr(chunk.raw, "model_dump") else chunk.raw for chunk in chunks])
    return len(chunks[0].message.content or "") < len(chunks[-1].message.content or "")


# ---- tools, agents, objects


@probe("chat_with_tools(tool_required=True) calls a tool", alone=True)
def _(subject: Model) -> object:
    llm = subject.text()
    response = llm.chat_with_tools([add_tool()], user_msg="Add 2 and 3.", tool_required=True)
    (call,) = llm.get_tool_calls_from_response(response)
    return call.tool_kwargs == {"a": 2, "b": 3}, str(call)


@probe("A required tool is called even when a text answer would do", alone=True)
def _(subject: Model) -> object:
    llm = subject.text()
    response = llm.chat_with_tools([add_tool()], user_msg="Say hello.", tool_required=True)
    return len(llm.get_tool_calls_from_response(response)) == 1


@probe("A required tool is called in a stream, too", alone=True)
def _(subject: Model) -> object:
    llm = subject.text()
    chunks = list(llm.stream_chat_with_tools([add_tool()], user_msg="Say hello.", tool_required=True))
    return len(llm.get_tool_calls_from_response(chunks[-1])) == 1


@probe("chat_with_tools does not write to the history")
def _(subject: Model) -> object:
    history = user("Hi")
    subject.text().chat_with_tools([add_tool()], user_msg="Add 2 and 3.", chat_history=history)
    return len(history) == 1, f"{len(history)} messages"


@probe("A FunctionAgent runs its tool and answers")
def _(subject: Model) -> object:
    from llama_index.core.agent.workflow import FunctionAgent

    async def run() -> Any:
        return await FunctionAgent(tools=[add_tool()], llm=subject.text()).run("Use add: what are 2 and 3 together?")

    return says(asyncio.run(run()), "5")


@probe("A FunctionAgent is shown a picture", alone=True)
def _(subject: Model) -> object:
    from llama_index.core.agent.workflow import FunctionAgent

    async def run() -> Any:
        return await FunctionAgent(tools=[], llm=subject.model()).run(user(image(image=square()), COLOUR)[0])

    return says(asyncio.run(run()), "red")


@probe("as_structured_llm() reads a picture into a pydantic class", alone=True)
def _(subject: Model) -> object:
    found = subject.model().as_structured_llm(schema()).chat(user(image(image=square()), "Describe it.")).raw
    return filled(found)


@probe("as_structured_llm() streams the object field by field", alone=True)
def _(subject: Model) -> object:
    llm = subject.model().as_structured_llm(schema())
    found = [chunk.raw for chunk in llm.stream_chat(user(image(image=square()), "Describe it."))]
    return (found[-1].colour, found[-1].width) == ("red", 64) and len(found) > 1, str(found[-1])


@probe("as_structured_llm() works with a model that answers in prose first", alone=True)
def _(subject: Model) -> object:
    llm = subject.at("stubborn").as_structured_llm(schema())
    found = llm.chat(user(image(image=square()), "Describe it.")).raw
    return filled(found)


# ---- asynchronous use and errors


@probe("achat() is as fast as chat()")
def _(subject: Model) -> object:
    llm = subject.text()
    llm.chat(user("Hi"))
    started = time.perf_counter()
    asyncio.run(llm.achat(user("Hi")))
    took = time.perf_counter() - started
    return took < 0.5, f"{took:.1f} s"


@probe("Three asyncio.run() in a row work")
def _(subject: Model) -> object:
    llm = subject.text()
    return all(says(asyncio.run(llm.achat(user("Hi"))))[0] for _ in range(3))


@probe("A busy platform raises an error that has the status code")
def _(subject: Model) -> object:
    llm = subject.at("busy", **({} if subject.make is zhipuai else {"max_retries": 0}))
    return _status(lambda: llm.chat(user("Hi")), 429)


@probe("A wrong key raises an error that has the status code")
def _(subject: Model) -> object:
    return _status(lambda: subject.make(subject.url, "wrong-id.wrong-secret").chat(user("Hi")), 401)


def _status(call: Callable[[], Any], expected: int) -> object:
    error = raised(call)
    status = getattr(error, "status_code", None)
    return status == expected, f"{type(error).__name__}, status_code={status}: {error}" if error else "no error"


@probe("A misspelt option of a call is refused")
def _(subject: Model) -> object:
    return misspelt(lambda: subject.text().chat(user("Hi"), temprature=0.5))


# ---- metadata, the key and copies


@probe("metadata are right for a current model, glm-4.6v")
def _(subject: Model) -> object:
    metadata = subject.model(model="glm-4.6v").metadata
    return metadata.context_window == 131_072 and metadata.is_function_calling_model, str(metadata)


@probe("An unknown model name is accepted unchanged")
def _(subject: Model) -> object:
    return subject.model(model="glm-of-tomorrow").metadata.model_name == "glm-of-tomorrow"


@probe("The key is neither in repr() nor in to_dict()")
def _(subject: Model) -> object:
    llm = subject.model()
    return subject.key not in repr(llm) + str(llm.to_dict())


@contextmanager
def key_in_environment(subject: Model) -> Iterator[None]:
    os.environ["ZHIPUAI_API_KEY"] = os.environ["OPENAI_API_KEY"] = subject.key
    try:
        yield
    finally:
        del os.environ["ZHIPUAI_API_KEY"], os.environ["OPENAI_API_KEY"]


@probe("load_llm(llm.to_dict()) gives a model that works")
def _(subject: Model) -> object:
    from llama_index.core.llms.loading import load_llm

    with key_in_environment(subject):
        return says(load_llm(subject.text().to_dict()).chat(user("Hi")))


@probe("A pickled copy works, and holds no key")
def _(subject: Model) -> object:
    llm = subject.text()
    llm.chat(user("Hi"))
    data = pickle.dumps(llm)
    with key_in_environment(subject):
        return subject.key.encode() not in data and says(pickle.loads(data).chat(user("Hi")))[0], "the key is in it"


@probe("A deep copy works after use")
def _(subject: Model) -> object:
    llm = subject.text()
    llm.chat(user("Hi"))
    return says(copy.deepcopy(llm).chat(user("Hi")))


@probe("An HTTP client of the application can be passed")
def _(subject: Model) -> object:
    import httpx

    with httpx.Client(headers={"x-own": "1"}) as client:
        llm = subject.text(http_client=client)
        answered = says(llm.chat(user("Hi")))[0]
        return (answered and getattr(llm, "http_client", None) is not None) or (answered and "http_client" in dir(llm))


# ---- where others have more


@probe("Log probabilities of the answer")
def _(subject: Model) -> object:
    return bool(subject.text().chat(user("Hi"), logprobs=True).logprobs)


@probe("Pictures can be embedded, like texts")
def _(subject: Model) -> object:
    return False, "the platform has no model for it"


def main() -> None:
    warnings.simplefilter("ignore")
    subject = Model(CLASSES[sys.argv[1]], json.load(sys.stdin))
    started = time.perf_counter()
    made = outcome(lambda subject: subject.text() is not None, subject)
    loaded = time.perf_counter() - started
    results: dict[str, Any] = {"The class can be imported, and an object made": made}
    if sys.argv[2:] != ["--warm"]:
        results |= {name: outcome(function, subject) if made[0] else [False, ""] for name, function in PROBES.items()}
        results["seconds"] = [loaded, _chat_seconds(subject.text()) if made[0] else None]
    sys.stdout.write(json.dumps(results))


def _chat_seconds(llm: Any) -> float:
    return fastest(lambda: llm.chat(user("Hi")), time.perf_counter)


if __name__ == "__main__":
    main()
