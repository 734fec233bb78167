"""The clients that `reliability.py` compares: `python benchmarks/reliability_clients.py NAME`.

Runs in any environment that has only the client. Reads one JSON object per line, makes the client and the call that the
object describes, and prints one JSON object: the outcome, the seconds and the memory.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

os.environ["LANGSMITH_TRACING"] = "false"
KEY = "test-id.test-secret"
MODEL = "glm-4v-flash"
PROMPT = "Tell me what you are, at some length."
TURN = [{"role": "user", "content": PROMPT}]


class Subject:
    """A client. `own` lists the packages of its own errors; calls that a client does not support stay None."""

    own: tuple[str, ...] = ()
    astream: Any = None
    achat: Any = None

    def chat(self) -> str:
        raise NotImplementedError

    def stream(self) -> Iterator[str]:
        raise NotImplementedError


class Glmv(Subject):
    own = ("glmv",)

    def __init__(self, where: dict[str, Any]) -> None:
        import glmv

        options = {"base_url": where["base"], "model": MODEL, **where["options"]}
        self.one = glmv.Client(KEY, **options)
        self.other = glmv.AsyncClient(KEY, **options)

    def chat(self) -> str:
        return self.one.chat(PROMPT).text

    def stream(self) -> Iterator[str]:
        for delta in self.one.stream(PROMPT):
            yield delta.text

    async def achat(self) -> str:
        return (await self.other.chat(PROMPT)).text

    async def astream(self) -> AsyncIterator[str]:
        async for delta in self.other.stream(PROMPT):
            yield delta.text


class ChatModel(Subject):
    """A LangChain chat model."""

    model: Any

    def chat(self) -> str:
        return str(self.model.invoke(PROMPT).content)

    def stream(self) -> Iterator[str]:
        for chunk in self.model.stream(PROMPT):
            yield str(chunk.content)

    async def achat(self) -> str:
        return str((await self.model.ainvoke(PROMPT)).content)

    async def astream(self) -> AsyncIterator[str]:
        async for chunk in self.model.astream(PROMPT):
            yield str(chunk.content)


class ChatGlmv(ChatModel):
    own = ("langchain_glmv", "glmv")

    def __init__(self, where: dict[str, Any]) -> None:
        from langchain_glmv import ChatGLMV

        self.model = ChatGLMV(api_key=KEY, base_url=where["base"], model=MODEL, **where["options"])


class ChatZhipu(ChatModel):
    own = ("langchain_community", "langchain_core")

    def __init__(self, where: dict[str, Any]) -> None:
        from langchain_community.chat_models import ChatZhipuAI

        self.model = ChatZhipuAI(api_key=KEY, api_base=f"{where['base']}/chat/completions", model=MODEL)


class Llama(Subject):
    own = ("llama_index_glmv", "glmv")

    def __init__(self, where: dict[str, Any]) -> None:
        from llama_index_glmv import GLMV

        self.model = GLMV(api_key=KEY, base_url=where["base"], model=MODEL, **where["options"])

    def chat(self) -> str:
        return str(self.model.complete(PROMPT).text)

    def stream(self) -> Iterator[str]:
        for piece in self.model.stream_complete(PROMPT):
            yield piece.delta or ""

    async def achat(self) -> str:
        return str((await self.model.acomplete(PROMPT)).text)

    async def astream(self) -> AsyncIterator[str]:
        async for piece in await self.model.astream_complete(PROMPT):
            yield piece.delta or ""


class OpenAILike(Subject):
    """A client with OpenAI's interface."""

    client: Any
    other: Any = None

    def chat(self) -> str:
        answer = self.client.chat.completions.create(model=MODEL, messages=TURN)
        return str(answer.choices[0].message.content)

    def stream(self) -> Iterator[str]:
        for chunk in self.client.chat.completions.create(model=MODEL, messages=TURN, stream=True):
            yield (chunk.choices[0].delta.content if chunk.choices else "") or ""


class OpenAI(OpenAILike):
    own = ("openai",)

    def __init__(self, where: dict[str, Any]) -> None:
        import openai

        options = {"api_key": KEY, "base_url": where["base"], "timeout": where["options"]["timeout"]}
        self.client, self.other = openai.OpenAI(**options), openai.AsyncOpenAI(**options)

    async def achat(self) -> str:
        answer = await self.other.chat.completions.create(model=MODEL, messages=TURN)
        return str(answer.choices[0].message.content)

    async def astream(self) -> AsyncIterator[str]:
        async for chunk in await self.other.chat.completions.create(model=MODEL, messages=TURN, stream=True):
            yield (chunk.choices[0].delta.content if chunk.choices else "") or ""


def _options(where: dict[str, Any]) -> dict[str, Any]:
    """Options of the platform's clients; both sign a token only if they are set to cache it."""
    signing = {"disable_token_cache": False} if where["options"].get("auth") == "token" else {}
    return {"api_key": KEY, "base_url": where["base"], "timeout": where["options"]["timeout"]} | signing


class Zhipuai(OpenAILike):
    own = ("zhipuai",)

    def __init__(self, where: dict[str, Any]) -> None:
        import zhipuai

        self.client = zhipuai.ZhipuAI(**_options(where))


class Zai(OpenAILike):
    own = ("zai",)

    def __init__(self, where: dict[str, Any]) -> None:
        import zai

        self.client = zai.ZhipuAiClient(**_options(where))


SUBJECTS: dict[str, type[Subject]] = {
    "glmv": Glmv, "ChatGLMV": ChatGlmv, "GLMV": Llama, "openai": OpenAI, "zhipuai": Zhipuai, "zai-sdk": Zai,
    "ChatZhipuAI": ChatZhipu,
}  # fmt: skip


# Uses of a client. Each returns the received text or other facts.


def whole(subject: Any, order: dict[str, Any]) -> Any:
    return {"text": asyncio.run(subject.achat()) if order["async"] else subject.chat()}


def stream(subject: Any, order: dict[str, Any]) -> Any:
    if order["async"]:

        async def read() -> str:
            return "".join([piece async for piece in subject.astream()])

        return {"text": asyncio.run(read())}
    return {"text": "".join(subject.stream())}


def twice(subject: Any, order: dict[str, Any]) -> Any:
    """A call, a pause, and another call on the connection of the first."""
    if order["async"]:

        async def both() -> str:
            await subject.achat()
            await asyncio.sleep(0.2)
            return str(await subject.achat())

        return {"text": asyncio.run(both())}
    subject.chat()
    time.sleep(0.2)
    return {"text": subject.chat()}


def early_break(subject: Any, order: dict[str, Any]) -> Any:
    """Leave the loop of a stream after the first piece, and drop the stream."""

    async def leave() -> float:
        async for _ in subject.astream():
            break
        left = time.monotonic()
        gc.collect()
        await asyncio.sleep(1.2)
        return left

    if order["async"]:
        return {"left": asyncio.run(leave())}
    for _ in subject.stream():
        break
    left = time.monotonic()
    gc.collect()
    time.sleep(1.2)
    return {"left": left}


def cancelled(subject: Any, order: dict[str, Any]) -> Any:
    """Cancel thirty waiting tasks, three times; then make one call."""

    async def act() -> float:
        for _ in range(3):
            tasks = [asyncio.ensure_future(subject.achat()) for _ in range(30)]
            await asyncio.sleep(0.15)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        began = time.monotonic()
        await subject.achat()
        return time.monotonic() - began

    return {"next": asyncio.run(act())}


def forked(subject: Any, order: dict[str, Any]) -> Any:
    """Fork eight children after a call; each makes twenty calls."""
    subject.chat()
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            failed = 0
            for _ in range(20):
                try:
                    subject.chat()
                except Exception:  # noqa: BLE001 - whatever a client raises is counted
                    failed += 1
            os._exit(failed)
        children.append(child)
    return {"failed": sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children), "of": 160}


def loops(subject: Any, order: dict[str, Any]) -> Any:
    """Three event loops in a row with one client."""
    failed = 0
    for _ in range(3):
        try:
            asyncio.run(subject.achat())
        except Exception:  # noqa: BLE001 - whatever a client raises is counted
            failed += 1
    return {"failed": failed, "of": 3}


def hundred(subject: Any, order: dict[str, Any]) -> Any:
    """A hundred calls at once."""
    failed = []
    if order["async"]:

        async def act() -> list[Any]:
            return await asyncio.gather(*[subject.achat() for _ in range(100)], return_exceptions=True)

        failed = [one for one in asyncio.run(act()) if isinstance(one, BaseException)]
        return {"failed": len(failed), "of": 100}

    def ask() -> None:
        try:
            subject.chat()
        except Exception as problem:  # noqa: BLE001 - whatever a client raises is counted
            failed.append(problem)

    threads = [threading.Thread(target=ask) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"failed": len(failed), "of": 100}


USES = {use.__name__: use for use in (whole, stream, twice, early_break, cancelled, forked, loops, hundred)}


def without_such_hosts() -> None:
    """Look-ups of a name that does not exist stay on this machine, with the same result for all clients."""
    real = socket.getaddrinfo

    def looked_up(host: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **options)

    socket.getaddrinfo = looked_up  # type: ignore[assignment]


def done(kind: type[Subject], order: dict[str, Any]) -> dict[str, Any]:
    subject = kind(order)  # the time to import and make a client is not measured
    started = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result: dict[str, Any] = {}
    try:
        result = USES[order["use"]](subject, order)
    except BaseException as problem:  # noqa: BLE001 - whatever a client raises is counted
        said = str(problem)
        result = {
            "error": type(problem).__name__,
            "module": type(problem).__module__.partition(".")[0],
            "typed": any(base.__module__.partition(".")[0] in kind.own for base in type(problem).__mro__),
            "code": str(getattr(problem, "code", "") or ""),
            "length": len(said),
            "message": said[:300],
        }
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return result | {"seconds": time.monotonic() - started, "megabytes": grown / 1024}


def main(name: str) -> None:
    without_such_hosts()
    kind = SUBJECTS[name]
    # Redirect the clients' standard output, so that their output does not mix with the results.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    abilities = {"async": kind.achat is not None}
    print(json.dumps(abilities), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(done(kind, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
