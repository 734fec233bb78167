"""Expectations of a LangChain user of a chat model, tested one by one: prints JSON of behaviour -> [met, observation].

Runs in the environment of the class that it probes: `python langchain_probes.py CLASS`, servers as JSON on stdin.
Each class is used as documented, with its defaults; the server is the same for all.
"""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from probing import COLOUR, PROBES, Subject, fastest, filled, misspelt, outcome, probe, raised, schema, square


def glmv(url: str, key: str, **options: Any) -> Any:
    from langchain_glmv import ChatGLMV

    return ChatGLMV(**{"model": "glm-4.6v", "base_url": url, "api_key": key, **options})


def openai(url: str, key: str, **options: Any) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(**{"model": "glm-4.6v", "base_url": url, "api_key": key, **options})


def zhipuai(url: str, key: str, **options: Any) -> Any:
    from langchain_community.chat_models import ChatZhipuAI

    return ChatZhipuAI(**{"model": "glm-4.6v", "api_base": f"{url}/chat/completions", "api_key": key, **options})


def deepseek(url: str, key: str, **options: Any) -> Any:
    from langchain_deepseek import ChatDeepSeek

    return ChatDeepSeek(**{"model": "glm-4.6v", "api_base": url, "api_key": key, **options})


CLASSES = {"ChatGLMV": glmv, "ChatOpenAI": openai, "ChatZhipuAI": zhipuai, "ChatDeepSeek": deepseek}


def busy(subject: Subject) -> Any:
    return subject.at("busy", max_retries=0)


def red() -> str:
    return base64.b64encode(square(64, 48)).decode()


def human(*content: Any) -> list[Any]:
    from langchain_core.messages import HumanMessage

    return [HumanMessage([{"type": "text", "text": part} if isinstance(part, str) else part for part in content])]


STANDARD = {"type": "image", "base64": red(), "mime_type": "image/png"}


def look_tool() -> Any:
    from langchain_core.tools import tool

    @tool
    def weather(city: str) -> str:
        """Tell the weather of a city."""
        return f"It rains in {city}."

    return weather


def whole(chunks: Any) -> Any:
    first, *rest = chunks
    for chunk in rest:
        first = first + chunk
    return first


# ---- pictures


@probe("A picture as LangChain's standard image block is seen")
def _(subject: Subject) -> object:
    return "red" in subject.model().invoke(human(COLOUR, STANDARD)).text


@probe("Strings between blocks are read, as core's own merge_message_runs produces them", alone=True)
def _(subject: Subject) -> object:
    from langchain_core.messages import HumanMessage

    return "red" in subject.model().invoke([HumanMessage([COLOUR, STANDARD])]).text


@probe("A picture by URL as a standard image block is seen")
def _(subject: Subject) -> object:
    return "red" in subject.model().invoke(human(COLOUR, {"type": "image", "url": subject.given["picture"]})).text


@probe("A picture as OpenAI's image_url with a data URI is seen")
def _(subject: Subject) -> object:
    block = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{red()}"}}
    return "red" in subject.model().invoke(human(COLOUR, block)).text


@probe("A standard image block is seen by a server that takes raw base64 only, as the platform documents")
def _(subject: Subject) -> object:
    return "red" in subject.at("strict").invoke(human(COLOUR, STANDARD)).text


@probe("A video as a standard video block is seen", alone=True)
def _(subject: Subject) -> object:
    return (
        "blue" in subject.model().invoke(human({"type": "video", "url": subject.given["clip"]}, "Which colour?")).text
    )


@probe("A screenshot that a tool returned is seen", alone=True)
def _(subject: Subject) -> object:
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

    messages = [
        HumanMessage(COLOUR),
        AIMessage("", tool_calls=[{"name": "shot", "args": {}, "id": "call_1"}]),
        ToolMessage([STANDARD], tool_call_id="call_1", name="shot"),
    ]
    return "red" in subject.model().invoke(messages).text


@probe("Audio is refused before anything is sent, and the error names it")
def _(subject: Subject) -> object:
    block = {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}
    error = raised(lambda: subject.model().invoke(human("Hear", block)))
    return error is not None and "audio" in str(error), str(error)


# ---- answers


@probe("Thinking is a reasoning block of the answer")
def _(subject: Subject) -> object:
    return [block["type"] for block in subject.model().invoke(COLOUR).content_blocks][:1] == ["reasoning"]


@probe("Thinking is streamed as reasoning")
def _(subject: Subject) -> object:
    return any(block["type"] == "reasoning" for c in subject.model().stream(COLOUR) for block in c.content_blocks)


@probe("An answer has usage_metadata")
def _(subject: Subject) -> object:
    return bool(subject.model().invoke("Hi").usage_metadata)


@probe("A stream has usage_metadata by default, in exactly one chunk")
def _(subject: Subject) -> object:
    chunks = [chunk for chunk in subject.model().stream("Hi") if chunk.usage_metadata]
    return len(chunks) == 1


@probe("Metadata of a stream with tool calls are not doubled, although the platform's chunks of 2025 repeat them")
def _(subject: Subject) -> object:
    model = subject.at("of 2025").bind_tools([look_tool()])
    facts = whole(model.stream("What is the weather in Berlin?")).response_metadata
    return (facts.get("finish_reason"), facts.get("model_name")) == ("tool_calls", "glm-4.6v"), str(facts)


@probe('output_version="v1": thinking, text and calls of a stream stay apart')
def _(subject: Subject) -> object:
    model = subject.model(output_version="v1").bind_tools([look_tool()])
    message = whole(model.stream("What is the weather in Berlin?"))
    kinds = [block["type"] for block in message.content]
    return kinds[0] == "reasoning" and kinds[-1] == "tool_call" and bool(message.content[-1].get("args")), str(kinds)


# ---- tools and schemas


@probe("A tool is called and its result is used")
def _(subject: Subject) -> object:
    from langchain_core.messages import HumanMessage

    tool = look_tool()
    model = subject.model().bind_tools([tool])
    messages: list[Any] = [HumanMessage("What is the weather in Berlin?")]
    answer = model.invoke(messages)
    messages += [answer, tool.invoke(answer.tool_calls[0])]
    return "rain" in model.invoke(messages).text.lower()


@probe('tool_choice="any" makes the model call a tool', alone=True)
def _(subject: Subject) -> object:
    return len(subject.model().bind_tools([look_tool()], tool_choice="any").invoke("Hello!").tool_calls) == 1


@probe("tool_choice by name, streamed", alone=True)
def _(subject: Subject) -> object:
    return len(whole(subject.model().bind_tools([look_tool()], tool_choice="weather").stream("Hello!")).tool_calls) == 1


@probe("with_structured_output() reads a picture into a pydantic class, by default", alone=True)
def _(subject: Subject) -> object:
    found = subject.model().with_structured_output(schema()).invoke(human("Describe the picture.", STANDARD))
    return filled(found)


@probe('with_structured_output(method="function_calling") reads a picture into the class', alone=True)
def _(subject: Subject) -> object:
    model = subject.model().with_structured_output(schema(), method="function_calling")
    found = model.invoke(human("Describe the picture.", STANDARD))
    return filled(found)


@probe("with_structured_output() works with a model that answers in prose first", alone=True)
def _(subject: Subject) -> object:
    model = subject.at("stubborn").with_structured_output(schema())
    found = model.invoke(human("Describe the picture.", STANDARD))
    return filled(found)


# ---- errors


@probe("A busy platform is a ModelRateLimitError")
def _(subject: Subject) -> object:
    return _is(lambda: busy(subject).invoke("Hi"), "ModelRateLimitError")


@probe("A busy platform is a ModelRateLimitError in a stream, too")
def _(subject: Subject) -> object:
    return _is(lambda: list(busy(subject).stream("Hi")), "ModelRateLimitError")


@probe("A wrong key is a ModelAuthenticationError")
def _(subject: Subject) -> object:
    return _is(lambda: subject.make(subject.url, "wrong-id.wrong-secret").invoke("Hi"), "ModelAuthenticationError")


def _is(call: Callable[[], Any], kind: str) -> object:
    from langchain_core import exceptions

    error = raised(call)
    return isinstance(error, getattr(exceptions, kind)), type(error).__name__ if error else "no error"


# ---- the key, copies, caches and counts


@probe("A misspelt option is refused")
def _(subject: Subject) -> object:
    return misspelt(lambda: subject.model(temprature=0.5).invoke("Hi"))


@probe("The key is not in repr()")
def _(subject: Subject) -> object:
    return subject.key not in repr(subject.model())


@probe("A pickled copy works, and holds no key")
def _(subject: Subject) -> object:
    model = subject.model()
    model.invoke("Hi")
    data = pickle.dumps(model)
    return subject.key.encode() not in data and pickle.loads(data) is not None


@probe("Models of different names do not share cache entries")
def _(subject: Subject) -> object:
    return subject.model()._get_llm_string() != subject.model(model="glm-4.5v")._get_llm_string()  # noqa: SLF001  # the cache key has no public name


@probe("A copy with another model has cache entries of its own")
def _(subject: Subject) -> object:
    model = subject.model()
    name = "model" if "model" in type(model).model_fields else "model_name"
    before = model._get_llm_string()  # noqa: SLF001  # the cache key has no public name
    return model.model_copy(update={name: "glm-4.5v"})._get_llm_string() != before  # noqa: SLF001  # the cache key has no public name


@probe("Three asyncio.run() in a row work")
def _(subject: Subject) -> object:
    model = subject.model()
    return all(asyncio.run(model.ainvoke("Hi")).text for _ in range(3))


@probe("Tokens of a message with a picture are counted without a network")
def _(subject: Subject) -> object:
    return subject.model().get_num_tokens_from_messages(human(COLOUR, STANDARD)) > 3


@probe("profile says what the model takes")
def _(subject: Subject) -> object:
    return bool((subject.model().profile or {}).get("max_input_tokens"))


# ---- where others have more


@probe("Several answers of one call (n=2)")
def _(subject: Subject) -> object:
    return len(subject.model(n=2).generate([human("Hi")]).generations[0]) == 2


@probe("Log probabilities of the answer")
def _(subject: Subject) -> object:
    return bool(subject.model(logprobs=True).invoke("Hi").response_metadata.get("logprobs"))


@probe("Exact token counts by the model's own tokenizer, without a network")
def _(subject: Subject) -> object:
    return False, "no class has the tokenizer of these models"


def main() -> None:
    warnings.simplefilter("ignore")
    make = CLASSES[sys.argv[1]]
    addresses = json.load(sys.stdin)
    if sys.argv[2:] == ["--start"]:
        started = time.process_time()
        make(addresses["url"], addresses["key"])
        print(time.process_time() - started)
        return
    subject = Subject(make, addresses)
    results: dict[str, Any] = {name: outcome(function, subject) for name, function in PROBES.items()}
    model = subject.model()
    results["seconds"] = fastest(lambda: model.invoke("Hi"), time.process_time)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
