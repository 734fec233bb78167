"""What a LangChain user expects of a chat model, probed one by one: prints JSON of behaviour -> [met, what was seen].

Runs in the environment of the class that it probes: `python langchain_probes.py CLASS`, places as JSON on stdin.
Each class is used as its documentation says, with its defaults; the server is the same for all.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import pickle
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

Probe = Callable[["Place"], object]
PROBES: dict[str, Probe] = {}


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


class Place:
    """Where to ask, and what about."""

    def __init__(self, make: Callable[..., Any], given: dict[str, str]) -> None:
        self.make, self.given = make, given
        self.url, self.key = given["url"], given["key"]

    def model(self, **options: Any) -> Any:
        return self.make(self.url, self.key, **options)

    def busy(self) -> Any:
        return self.make(self.given["busy"], self.key, max_retries=0)


def probe(name: str) -> Callable[[Probe], Probe]:
    def keep(function: Probe) -> Probe:
        PROBES[name] = function
        return function

    return keep


def red() -> str:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def human(*content: Any) -> list[Any]:
    from langchain_core.messages import HumanMessage

    return [HumanMessage([{"type": "text", "text": part} if isinstance(part, str) else part for part in content])]


STANDARD = {"type": "image", "base64": red(), "mime_type": "image/png"}
COLOUR = "What is the main colour?"


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


def schema() -> Any:
    from pydantic import BaseModel, Field

    class Picture(BaseModel):
        """What a picture shows."""

        colour: str = Field(description="the main colour")
        width: int = Field(description="pixels across")

    return Picture


# ---- pictures


@probe("A picture as LangChain's standard image block is seen")
def _(place: Place) -> object:
    return "red" in place.model().invoke(human(COLOUR, STANDARD)).text


@probe("Bare strings between blocks, as core's own merge_message_runs leaves them")
def _(place: Place) -> object:
    from langchain_core.messages import HumanMessage

    return "red" in place.model().invoke([HumanMessage([COLOUR, STANDARD])]).text


@probe("A picture by URL as a standard image block is seen")
def _(place: Place) -> object:
    return "red" in place.model().invoke(human(COLOUR, {"type": "image", "url": place.given["picture"]})).text


@probe("A picture as OpenAI's image_url with a data URI is seen")
def _(place: Place) -> object:
    block = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{red()}"}}
    return "red" in place.model().invoke(human(COLOUR, block)).text


@probe("The same on a server that takes raw base64 only, as the platform documents")
def _(place: Place) -> object:
    return "red" in place.make(place.given["strict"], place.key).invoke(human(COLOUR, STANDARD)).text


@probe("A video as a standard video block is looked at")
def _(place: Place) -> object:
    return "blue" in place.model().invoke(human({"type": "video", "url": place.given["clip"]}, "Which colour?")).text


@probe("A screenshot that a tool returned is seen")
def _(place: Place) -> object:
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

    messages = [
        HumanMessage(COLOUR),
        AIMessage("", tool_calls=[{"name": "shot", "args": {}, "id": "call_1"}]),
        ToolMessage([STANDARD], tool_call_id="call_1", name="shot"),
    ]
    return "red" in place.model().invoke(messages).text


@probe("Audio is refused before anything is sent, in words")
def _(place: Place) -> object:
    try:
        place.model().invoke(human("Hear", {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}))
    except Exception as error:  # noqa: BLE001  # whatever the class raises is the finding
        return "audio" in str(error), str(error)
    return False


# ---- answers


@probe("Thinking is a reasoning block of the answer")
def _(place: Place) -> object:
    return [block["type"] for block in place.model().invoke(COLOUR).content_blocks][:1] == ["reasoning"]


@probe("Thinking is streamed as reasoning")
def _(place: Place) -> object:
    return any(block["type"] == "reasoning" for c in place.model().stream(COLOUR) for block in c.content_blocks)


@probe("usage_metadata of an answer")
def _(place: Place) -> object:
    return bool(place.model().invoke("Hi").usage_metadata)


@probe("usage_metadata of a stream, by default and once")
def _(place: Place) -> object:
    chunks = [chunk for chunk in place.model().stream("Hi") if chunk.usage_metadata]
    return len(chunks) == 1


@probe("Facts of a stream with tool calls come once, though the wire of 2025 repeats them")
def _(place: Place) -> object:
    model = place.make(place.given["of 2025"], place.key).bind_tools([look_tool()])
    facts = whole(model.stream("What is the weather in Berlin?")).response_metadata
    return (facts.get("finish_reason"), facts.get("model_name")) == ("tool_calls", "glm-4.6v"), str(facts)


@probe('output_version="v1": thinking, text and calls of a stream stay apart')
def _(place: Place) -> object:
    model = place.model(output_version="v1").bind_tools([look_tool()])
    message = whole(model.stream("What is the weather in Berlin?"))
    kinds = [block["type"] for block in message.content]
    return kinds[0] == "reasoning" and kinds[-1] == "tool_call" and bool(message.content[-1].get("args")), str(kinds)


# ---- tools and schemas


@probe("A tool is called and its result is used")
def _(place: Place) -> object:
    from langchain_core.messages import HumanMessage

    tool = look_tool()
    model = place.model().bind_tools([tool])
    messages: list[Any] = [HumanMessage("What is the weather in Berlin?")]
    said = model.invoke(messages)
    messages += [said, tool.invoke(said.tool_calls[0])]
    return "rain" in model.invoke(messages).text.lower()


@probe('tool_choice="any" makes it call a tool')
def _(place: Place) -> object:
    return len(place.model().bind_tools([look_tool()], tool_choice="any").invoke("Hello!").tool_calls) == 1


@probe("tool_choice by name, streamed")
def _(place: Place) -> object:
    return len(whole(place.model().bind_tools([look_tool()], tool_choice="weather").stream("Hello!")).tool_calls) == 1


@probe("with_structured_output() reads a picture into a pydantic class, by default")
def _(place: Place) -> object:
    found = place.model().with_structured_output(schema()).invoke(human("Describe the picture.", STANDARD))
    return (found.colour, found.width) == ("red", 64)


@probe('with_structured_output(method="function_calling") does')
def _(place: Place) -> object:
    model = place.model().with_structured_output(schema(), method="function_calling")
    found = model.invoke(human("Describe the picture.", STANDARD))
    return (found.colour, found.width) == ("red", 64)


@probe("The same with a model that answers in prose first")
def _(place: Place) -> object:
    model = place.make(place.given["stubborn"], place.key).with_structured_output(schema())
    found = model.invoke(human("Describe the picture.", STANDARD))
    return (found.colour, found.width) == ("red", 64)


# ---- errors


@probe("A busy platform is a ModelRateLimitError")
def _(place: Place) -> object:
    return _is(lambda: place.busy().invoke("Hi"), "ModelRateLimitError")


@probe("A busy platform is one in a stream, too")
def _(place: Place) -> object:
    return _is(lambda: list(place.busy().stream("Hi")), "ModelRateLimitError")


@probe("A wrong key is a ModelAuthenticationError")
def _(place: Place) -> object:
    return _is(lambda: place.make(place.url, "wrong-id.wrong-secret").invoke("Hi"), "ModelAuthenticationError")


def _is(call: Callable[[], Any], kind: str) -> object:
    from langchain_core import exceptions

    try:
        call()
    except Exception as error:  # noqa: BLE001  # whatever the class raises is the finding
        return isinstance(error, getattr(exceptions, kind)), type(error).__name__
    return False, "no error"


# ---- a good citizen


@probe("A misspelt option is refused")
def _(place: Place) -> object:
    try:
        place.model(temprature=0.5).invoke("Hi")
    except Exception as error:  # noqa: BLE001  # whatever the class raises is the finding
        return "temperature" in str(error) or "temprature" in str(error), type(error).__name__
    return False, "it is ignored"


@probe("The key is not in repr()")
def _(place: Place) -> object:
    return place.key not in repr(place.model())


@probe("A pickled copy works, and holds no key")
def _(place: Place) -> object:
    model = place.model()
    model.invoke("Hi")
    data = pickle.dumps(model)
    return place.key.encode() not in data and pickle.loads(data) is not None


@probe("Models of different names do not share cache entries")
def _(place: Place) -> object:
    return place.model()._get_llm_string() != place.model(model="glm-4.5v")._get_llm_string()  # noqa: SLF001  # the cache key has no public name


@probe("A copy with another model has cache entries of its own")
def _(place: Place) -> object:
    model = place.model()
    name = "model" if "model" in type(model).model_fields else "model_name"
    before = model._get_llm_string()  # noqa: SLF001  # the cache key has no public name
    return model.model_copy(update={name: "glm-4.5v"})._get_llm_string() != before  # noqa: SLF001  # the cache key has no public name


@probe("Three asyncio.run() in a row work")
def _(place: Place) -> object:
    model = place.model()
    return all(asyncio.run(model.ainvoke("Hi")).text for _ in range(3))


@probe("Tokens of a message with a picture are counted without a network")
def _(place: Place) -> object:
    return place.model().get_num_tokens_from_messages(human(COLOUR, STANDARD)) > 3


@probe("profile says what the model takes")
def _(place: Place) -> object:
    return bool((place.model().profile or {}).get("max_input_tokens"))


# ---- where others have more


@probe("Several answers of one call (n=2)")
def _(place: Place) -> object:
    return len(place.model(n=2).generate([human("Hi")]).generations[0]) == 2


@probe("Log probabilities of the answer")
def _(place: Place) -> object:
    return bool(place.model(logprobs=True).invoke("Hi").response_metadata.get("logprobs"))


@probe("Exact token counts by the model's own tokenizer, without a network")
def _(place: Place) -> object:
    return False, "no class has the tokenizer of these models"


def outcome(function: Probe, place: Place) -> list[Any]:
    try:
        found = function(place)
    except Exception as error:  # noqa: BLE001  # whatever the class raises is the finding
        return [False, f"{type(error).__name__}: {error}".replace(place.key, "<key>")[:160]]
    met, seen = found if isinstance(found, tuple) else (found, "")
    return [bool(met), "" if met else str(seen)[:160]]


def main() -> None:
    warnings.simplefilter("ignore")
    make = CLASSES[sys.argv[1]]
    given = json.load(sys.stdin)
    if sys.argv[2:] == ["--start"]:
        started = time.process_time()
        make(given["url"], given["key"])
        print(time.process_time() - started)
        return
    place = Place(make, given)
    results = {name: outcome(function, place) for name, function in PROBES.items()}
    model = place.model()
    results["seconds"] = [min(timed(model) for _ in range(20))]
    json.dump(results, sys.stdout)


def timed(model: Any) -> float:
    started = time.process_time()
    model.invoke("Hi")
    return time.process_time() - started


if __name__ == "__main__":
    main()
