"""The measured subjects. A subject is a function from a base URL to its actions; it runs in a separate process.

`python benchmarks/subjects.py NAME TASK URL` prints "ready" after a warm-up. For each line that it reads, it measures
once and prints one JSON object.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import os
import pstats
import resource
import struct
import sys
import time
import tracemalloc
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["LANGSMITH_TRACING"] = "false"
KEY = "bench-id.bench-secret"
MODEL = "glm-4.6v"
PROMPT = "What is in this picture?"
TURNS = 50
PICTURES = 5
BODY = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}

Ask = Callable[[], object]
Read = Callable[[], Iterator[str]]


@dataclass
class Subject:
    """The actions of a subject: a whole answer, a stream of texts, an async stream, and calls with large content."""

    whole: Any = None
    stream: Any = None
    astream: Any = None
    picture: Any = None
    video: Any = None
    talk: Any = None
    write: Any = None
    megabytes: float = 0.0

    def __post_init__(self) -> None:
        self.video = self.video or self.picture


def raw_socket(url: str) -> Subject:
    """The lower bound: an open socket and `json.loads`."""
    import socket

    host, _, rest = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    sock = socket.create_connection((name, int(port)))

    def send(body: bytes) -> None:
        head = f"POST /{rest}/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n\r\n"
        sock.sendall(head.encode())
        sock.sendall(body)

    def whole() -> object:
        send(json.dumps(BODY).encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += sock.recv(65536)
        return json.loads(body)

    def stream() -> Iterator[str]:
        send(json.dumps({**BODY, "stream": True}, separators=(",", ":")).encode())
        rest = b""
        while not rest.endswith(b"0\r\n\r\n"):
            *events, rest = (rest + sock.recv(65536)).split(b"\n\n")
            for event in events:
                _, found, data = event.partition(b"data: ")
                if found and not data.startswith(b"[DONE]"):
                    yield json.loads(data)["choices"][0]["delta"]["content"]

    def write(body: bytes) -> object:
        send(body)
        return sock.recv(65536)

    def blob(data: bytes) -> object:
        return write(b64encode(data))

    return Subject(whole, stream, picture=blob, write=write)


def httpx_bare(url: str) -> Subject:
    """Only httpx and a JSON parser in C."""
    import httpx
    from pydantic_core import from_json

    client = httpx.Client(timeout=60)
    headers = {"authorization": f"Bearer {KEY}"}
    target = url + "/chat/completions"

    def whole() -> object:
        return from_json(client.post(target, json=BODY, headers=headers).content)["choices"][0]["message"]["content"]

    def stream() -> Iterator[str]:
        with client.stream("POST", target, json={**BODY, "stream": True}, headers=headers) as response:
            rest = b""
            for data in response.iter_bytes():
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    if event[6:] != b"[DONE]":
                        yield from_json(event[6:])["choices"][0]["delta"]["content"]

    async def astream() -> int:
        nonlocal asynchronous
        asynchronous = asynchronous or httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=500))
        count, rest = 0, b""
        async with asynchronous.stream("POST", target, json={**BODY, "stream": True}, headers=headers) as response:
            async for data in response.aiter_bytes():
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    if event[6:] != b"[DONE]":
                        count += bool(from_json(event[6:])["choices"][0]["delta"]["content"])
        return count

    asynchronous: Any = None

    def picture(data: bytes) -> object:
        return client.post(target, json={**BODY, "messages": [{"role": "user", "content": [_part(data)]}]}).content

    return Subject(whole, stream, astream, picture)


def glmv_core(url: str) -> Subject:
    import glmv

    client = glmv.Client(KEY, base_url=url, model=MODEL)
    asynchronous = glmv.AsyncClient(KEY, base_url=url, model=MODEL, max_concurrency=500)

    async def astream() -> int:
        return sum([bool(delta.text) async for delta in asynchronous.stream(PROMPT)])

    return Subject(
        lambda: client.chat(PROMPT).text,
        lambda: (delta.text for delta in client.stream(PROMPT)),
        astream,
        lambda data: client.chat([glmv.Image.from_bytes(data, fit=False), PROMPT]),
        lambda data: client.chat([glmv.Video.from_bytes(data), PROMPT]),
        lambda: talk(client, PICTURES),
    )


def talk(client: Any, pictures: int) -> float:
    """A conversation of TURNS turns about pictures in its first one -> CPU seconds of a later turn.

    Raises:
        AssertionError: when a picture was encoded more often than once.
    """
    import binascii

    import glmv

    encoded = 0
    encode = binascii.b2a_base64

    def counted(data: bytes, newline: bool = True) -> bytes:
        nonlocal encoded
        encoded += len(data)
        return encode(data, newline=newline)

    binascii.b2a_base64 = counted
    try:
        images = [glmv.Image.from_bytes(picture_of(1_000_000 + at), fit=False) for at in range(pictures)]
        messages = [glmv.Message("user", [*images, PROMPT])]
        for turn in range(TURNS):
            answer = client.chat(messages, model="no limits are known")
            messages += [answer.message(), glmv.Message("user", "And the next one?")]
            if not turn:
                begun = time.process_time()
        spent = time.process_time() - begun
    finally:
        binascii.b2a_base64 = encode
    size = sum(1_000_000 + at for at in range(pictures))
    assert encoded == size, f"{size} bytes of pictures were encoded, and {encoded - size} more"
    return spent / (TURNS - 1)


def glmv_words(url: str) -> Subject:
    """The conversation of `talk` without its pictures."""
    import glmv

    client = glmv.Client(KEY, base_url=url, model=MODEL)
    return Subject(talk=lambda: talk(client, 0))


def glmv_words_and_copy(url: str) -> Subject:
    """The text, plus one copy and one write of as many bytes as the pictures have, turn by turn."""
    below, words = raw_socket(url), glmv_words(url)
    blob = b64encode(bytes(PICTURES * 1_000_000))

    def both() -> float:
        begun = time.process_time()
        for _ in range(TURNS):
            below.write(bytes(memoryview(blob)))
        return words.talk() + (time.process_time() - begun) / TURNS

    return Subject(talk=both)


def glmv_later(url: str) -> Subject:
    """The core, after 10,000 calls."""
    subject = glmv_core(url)
    for _ in range(10_000):
        subject.whole()
    return subject


def glmv_of_size(megabytes: int) -> Callable[[str], Subject]:
    """A call with a picture of a given size; its cost is given per megabyte."""

    def made(url: str) -> Subject:
        import glmv

        client = glmv.Client(KEY, base_url=url, model="no limits are known")
        data = picture_of(megabytes * 1_000_000)

        def whole() -> None:
            for _ in range(max(1, 20 // megabytes)):
                client.chat([glmv.Image.from_bytes(data, fit=False), PROMPT])

        return Subject(whole, megabytes=megabytes * max(1, 20 // megabytes))

    return made


def openai_sdk(url: str) -> Subject:
    import openai

    client = openai.OpenAI(api_key=KEY, base_url=url)
    return Subject(*_openai_like(client.chat.completions.create))


def zhipuai_sdk(url: str) -> Subject:
    import zhipuai

    client = zhipuai.ZhipuAI(api_key=KEY, base_url=url)
    return Subject(*_openai_like(client.chat.completions.create))


def _openai_like(create: Callable[..., Any]) -> tuple[Ask, Read, None, Callable[[bytes], object]]:
    def stream() -> Iterator[str]:
        for chunk in create(**BODY, stream=True):
            yield chunk.choices[0].delta.content or ""

    def picture(data: bytes) -> object:
        return create(model=MODEL, messages=[{"role": "user", "content": [_part(data)]}])

    return lambda: create(**BODY).choices[0].message.content, stream, None, picture


def _part(data: bytes) -> dict[str, Any]:
    """A picture or a video as most programs send it; the cost does not depend on the kind."""
    return {"type": "image_url", "image_url": {"url": b64encode(data).decode()}}


def langchain_floor(_: str) -> Subject:
    """The cost of LangChain with a model that does nothing."""
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

    class Floor(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "floor"

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            return ChatResult(generations=[ChatGeneration(message=AIMessage(content="A short answer."))])

        def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            for _ in range(200):
                yield ChatGenerationChunk(message=AIMessageChunk(content="word "))
            yield ChatGenerationChunk(message=AIMessageChunk(content="", chunk_position="last"))

    return _langchain(Floor())


def langchain_glmv(url: str) -> Subject:
    from langchain_glmv import ChatGLMV

    return _langchain(ChatGLMV(api_key=KEY, base_url=url, model=MODEL))


def chat_openai(url: str) -> Subject:
    from langchain_openai import ChatOpenAI

    return _langchain(ChatOpenAI(api_key=KEY, base_url=url, model=MODEL))


def chat_zhipuai(url: str) -> Subject:
    from langchain_community.chat_models import ChatZhipuAI

    return _langchain(ChatZhipuAI(api_key=KEY, api_base=url + "/chat/completions", model=MODEL))


def _langchain(model: Any) -> Subject:
    return Subject(lambda: model.invoke(PROMPT), lambda: (chunk.content for chunk in model.stream(PROMPT)))


def llama_floor(_: str) -> Subject:
    """The cost of LlamaIndex with a model that does nothing."""
    from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata, TextBlock
    from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
    from llama_index.core.llms.custom import CustomLLM

    class Floor(CustomLLM):
        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata()

        @llm_completion_callback()
        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
            return CompletionResponse(text="A short answer.")

        @llm_completion_callback()
        def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            yield CompletionResponse(text="A short answer.", delta="A short answer.")

        @llm_chat_callback()
        def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
            return ChatResponse(message=ChatMessage(role="assistant", blocks=[TextBlock(text="A short answer.")]))

        @llm_chat_callback()
        def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
            def chunks() -> Any:
                text = ""
                for _ in range(200):
                    text += "word "
                    message = ChatMessage(role="assistant", blocks=[TextBlock(text=text)])
                    yield ChatResponse(message=message, delta="word ")

            return chunks()

    return _llama_index(Floor())


def llama_glmv(url: str) -> Subject:
    from llama_index_glmv import GLMV

    return _llama_index(GLMV(api_key=KEY, base_url=url, model=MODEL))


def openai_like(url: str) -> Subject:
    from llama_index.llms.openai_like import OpenAILike

    return _llama_index(OpenAILike(api_key=KEY, api_base=url, model=MODEL, is_chat_model=True))


def llama_zhipuai(url: str) -> Subject:
    from llama_index.llms.zhipuai import ZhipuAI

    os.environ["ZHIPUAI_BASE_URL"] = url
    # The class supports ten models and raises for others.
    return _llama_index(ZhipuAI(api_key=KEY, model="glm-4"))


def _llama_index(model: Any) -> Subject:
    from llama_index.core.base.llms.types import ChatMessage

    messages = [ChatMessage(role="user", content=PROMPT)]
    return Subject(
        lambda: model.chat(messages), lambda: (response.delta or "" for response in model.stream_chat(messages))
    )


def pair(floor: Callable[[str], Subject], below: Callable[[str], Subject]) -> Callable[[str], Subject]:
    """The total cost of two subjects that run alternately in one process."""

    def both(url: str) -> Subject:
        one, two = floor(url), below(url)

        def whole() -> object:
            return one.whole(), two.whole()

        def stream() -> Iterator[str]:
            yield from two.stream()
            for _ in one.stream():
                pass

        return Subject(whole, stream)

    return both


SUBJECTS: dict[str, Callable[[str], Subject]] = {
    "raw socket": raw_socket,
    "httpx": httpx_bare,
    "glmv": glmv_core,
    "openai": openai_sdk,
    "zhipuai": zhipuai_sdk,
    "LangChain floor + httpx": pair(langchain_floor, httpx_bare),
    "LangChain floor + glmv": pair(langchain_floor, glmv_core),
    "ChatGLMV": langchain_glmv,
    "ChatOpenAI": chat_openai,
    "ChatZhipuAI": chat_zhipuai,
    "LlamaIndex floor + httpx": pair(llama_floor, httpx_bare),
    "glmv without pictures": glmv_words,
    "glmv without pictures + one copy and write": glmv_words_and_copy,
    "glmv, first calls": glmv_core,
    "glmv, after 10,000 calls": glmv_later,
    "glmv, 1 MB": glmv_of_size(1),
    "glmv, 5 MB": glmv_of_size(5),
    "glmv, 25 MB": glmv_of_size(25),
    "GLMV": llama_glmv,
    "OpenAILike": openai_like,
    "LlamaIndex ZhipuAI": llama_zhipuai,
}


def measure_whole(subject: Subject) -> dict[str, float]:
    """CPU microseconds of one unstreamed call."""
    begun = time.process_time()
    subject.whole()
    count = (
        100 if time.process_time() - begun < 0.01 else 10
    )  # few calls for a client that makes a TLS context for every call
    begun = time.process_time()
    for _ in range(count):
        subject.whole()
    return {"value": (time.process_time() - begun) / count * 1e6}


def measure_bytes(subject: Subject) -> dict[str, float]:
    """CPU milliseconds per megabyte."""
    begun = time.process_time()
    subject.whole()
    return {"value": (time.process_time() - begun) / subject.megabytes * 1e3}


def measure_talk(subject: Subject) -> dict[str, float]:
    """CPU milliseconds of a turn."""
    return {"value": subject.talk() * 1e3}


def measure_stream(subject: Subject) -> dict[str, float]:
    """CPU microseconds of one streamed chunk."""
    chunks, begun = 0, time.process_time()
    for _ in range(10):
        chunks += sum(1 for text in subject.stream() if text)
    return {"value": (time.process_time() - begun) / chunks * 1e6}


def measure_first(subject: Subject) -> dict[str, float]:
    """Milliseconds from the server's write of the first event to the client's text."""
    waits = []
    for _ in range(30):
        texts = subject.stream()
        stamp = next(text for text in texts if text)
        waits.append(time.monotonic() - float(stamp))
        for _ in texts:
            pass
    return {"value": sorted(waits)[len(waits) // 2] * 1e3}


def measure_many(subject: Subject) -> dict[str, float]:
    """Streams per second with 500 open at once, and kilobytes of memory per stream."""

    async def run() -> tuple[float, float]:
        before = _rss()
        begun = time.monotonic()
        await asyncio.gather(*(subject.astream() for _ in range(500)))
        seconds = time.monotonic() - begun
        return 500 / seconds, (max(_peak(), before) - before) / 500

    rate, memory = asyncio.run(run())
    return {"value": rate, "memory": memory}


def measure_picture(subject: Subject) -> dict[str, float]:
    """CPU milliseconds of a call with a 5 MB picture, and its peak memory as a multiple of its base64 size."""
    return _measure_blob(subject.picture, picture_of(5_000_000), 5)


def measure_video(subject: Subject) -> dict[str, float]:
    """CPU milliseconds of a call with a 20 MB video, and its peak memory as a multiple of its base64 size."""
    return _measure_blob(subject.video, video_of(20_000_000), 2)


def _measure_blob(send: Callable[[bytes], object], data: bytes, count: int) -> dict[str, float]:
    begun = time.process_time()
    for _ in range(count):
        send(data)
    spent = (time.process_time() - begun) / count * 1e3
    tracemalloc.start()
    send(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"value": spent, "memory": peak / (len(data) * 4 / 3)}


def picture_of(size: int) -> bytes:
    """A JPEG of the project, padded after its end to `size` bytes."""
    jpeg = (Path(__file__).parent.parent / "examples" / "pictures" / "coffee.jpg").read_bytes()
    return jpeg + bytes(size - len(jpeg))


def video_of(size: int) -> bytes:
    """An MP4 of ten seconds according to its boxes, padded to `size` bytes."""

    def box(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload) + 8) + kind + payload

    moov = box(b"moov", box(b"mvhd", bytes(12) + struct.pack(">II", 1000, 10_000) + bytes(80)))
    data = box(b"ftyp", b"isom" + bytes(4)) + moov
    return data + box(b"free", bytes(size - len(data) - 8))


def profile(subject: Subject, task: str) -> list[tuple[str, float]]:
    """Shares of processor time, largest first: project files by name, other code by package."""

    def work() -> None:
        for _ in range(20):
            if task == "whole":
                for _ in range(20):
                    subject.whole()
            else:
                for _ in subject.stream():
                    pass

    work()
    profiler = cProfile.Profile()
    profiler.runcall(work)
    spent: dict[str, float] = {}
    for (path, _, name), (_, _, own, _, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        where = _part_of(path, name)
        spent[where] = spent.get(where, 0.0) + own
    total = sum(spent.values())
    return [(where, own / total) for where, own in sorted(spent.items(), key=lambda item: -item[1])]


def _part_of(path: str, name: str) -> str:
    parts = Path(path).parts
    if path in ("~", "<string>"):
        if "from_json" in name:
            return "the JSON parser"
        return "sockets" if "socket" in name else "Python's own functions, called from all of these"
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    ours = next((part for part in parts if part in ("glmv", "langchain_glmv", "llama_index_glmv")), None)
    return f"{ours}/{parts[-1]}" if ours else "the standard library" if "python3" in path else "the benchmark"


def _rss() -> float:
    with Path("/proc/self/status").open() as status:
        return next(float(line.split()[1]) for line in status if line.startswith("VmRSS"))


def _peak() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


TASKS = {
    "whole": ("/api/paas/v4", measure_whole),
    "stream": ("/api/paas/v4", measure_stream),
    "first": ("/first/api/paas/v4", measure_first),
    "many": ("/slow/api/paas/v4", measure_many),
    "picture": ("/api/paas/v4", measure_picture),
    "video": ("/api/paas/v4", measure_video),
    "talk": ("/api/paas/v4", measure_talk),
    "calls": ("/api/paas/v4", measure_whole),
    "bytes": ("/api/paas/v4", measure_bytes),
}


def main(name: str, task: str, url: str) -> None:
    """Warm up, then measure once per line."""
    if task.startswith("profile "):
        _, _, task = task.partition(" ")
        print(json.dumps(profile(SUBJECTS[name](url + TASKS[task][0]), task)))
        return
    path, measure = TASKS[task]
    subject = SUBJECTS[name](url + path)
    if task != "many":
        measure(subject)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(measure(subject)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
