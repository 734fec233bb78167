"""A key that is easy to find appears in no output, stored file or message of a program, except the request."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.load import dumpd, dumps
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers import LangChainTracer
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langsmith import Client as LangSmith
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from PIL import Image as Pillow
from typer.testing import CliRunner

import glmv
import langchain_glmv
from glmv.cli.app import app
from glmv.transport.address import address_of
from glmv_batch import Job
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV, GLMVEmbeddings
from llama_index_glmv import GLMV, GLMVEmbedding, GLMVMultiModal

KEY = "canaryid.canarysecret"
PROMPT = "What colour is it?"
FAULTS = ("busy", "arrears", "token-expired", "gateway-page", "login-page", "redirect", "reset-in-headers", "garbage",
          "content-filter")  # fmt: skip
WHOLE = (*FAULTS, "empty-body", "half-body", "error-in-200")
STREAMED = (*FAULTS, "cut", "truncated", "network-error", "busy-event", "invalid-json", "withdrawn")
# "Canary key found on none of 60 surfaces": what is looked at must not shrink without a word.
SURFACES = 250

Shown = Iterator[tuple[str, object]]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(api_key=KEY) as emu:
        yield emu


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "pictures" / "red.png"
    path.parent.mkdir()
    Pillow.new("RGB", (64, 32), "red").save(path)
    return path


def texts(name: str, thing: Any) -> Shown:
    """Text that an object shows: str, repr and the like."""
    yield f"repr of {name}", repr(thing)
    yield f"str of {name}", str(thing)
    yield f"format of {name}", f"{thing:}"
    if hasattr(thing, "__dict__"):
        yield f"vars of {name}", repr(vars(thing))
    yield f"repr of a copy of {name}", repr(copy.copy(thing))
    yield f"repr of a deep copy of {name}", repr(copy.deepcopy(thing))


def pickles(name: str, thing: object) -> Shown:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        yield f"pickle {protocol} of {name}", pickle.dumps(thing, protocol)


def dumped(name: str, thing: Any) -> Shown:
    yield f"model_dump of {name}", repr(thing.model_dump())
    yield f"model_dump_json of {name}", thing.model_dump_json()


def failures(name: str, emu: Emulator, ask: Callable[[], object], faults: tuple[str, ...] = WHOLE) -> Shown:
    for fault in faults:
        emu.inject(fault)
        with pytest.raises(glmv.GLMVError) as raised:
            ask()
        trace = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
        ours = [frame for frame in trace.stack if not frame.filename.startswith(str(Path(__file__).parent))]
        yield f"{name}: {fault}, as text", f"{raised.value!r} {raised.value} {vars(raised.value)}"
        yield f"{name}: {fault}, locals", "".join(f"{frame.locals}" for frame in ours)
        emu.reset()


@contextmanager
def listening() -> Iterator[tuple[str, list[bytes]]]:
    """A server that accepts and records all uploads."""
    uploads: list[bytes] = []

    class Take(BaseHTTPRequestHandler):
        def take(self) -> None:
            uploads.append(str(self.headers).encode() + self.rfile.read(int(self.headers.get("content-length") or 0)))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = do_PATCH = take  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Take) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", uploads
        finally:
            server.shutdown()
            thread.join()


def of_the_core(emu: Emulator, picture: Path, log: pytest.LogCaptureFixture) -> Shown:
    settings = glmv.Settings(api_key=KEY, base_url=emu.base_url)  # type: ignore[arg-type]  # pydantic makes a secret of it
    with glmv.Client.of(settings) as glm:
        answer = glm.chat([glmv.Image.from_path(picture), PROMPT])
        deltas = list(glm.stream(PROMPT))
        assert answer.text
        yield "the log at DEBUG", log.text
        for name, thing in {"settings": settings, "the client": glm, "a request": glm.request(PROMPT)}.items():
            yield from texts(name, thing)
            yield from pickles(name, thing)
        yield from dumped("settings", settings)
        where = address_of(settings, {})
        yield "the place", f"{where!r} {where.account} {where.signer!r}"
        yield "an answer", f"{answer!r} {asdict(answer)} {answer.raw} {answer.notes} {answer.message()!r}"
        yield "deltas", f"{deltas!r} {[delta.raw for delta in deltas]}"
        yield "who holds the slots", glm.slots("glm-4.6v").holders()
        for name in ("tasks", "files", "batches"):
            yield name, repr(getattr(glm, name))
        yield from failures("core", emu, lambda: glm.chat(PROMPT, max_retries=0))
        yield from failures("core, streamed", emu, lambda: list(glm.stream(PROMPT, max_retries=0)), STREAMED)
    with glmv.Client(KEY, base_url="https://[not-a-host/v1") as lost, pytest.raises(glmv.GLMVError) as raised:
        lost.chat(PROMPT)
    yield "a base URL that is none", f"{raised.value!r} {vars(raised.value)}"
    yield from texts("an asynchronous client", glmv.AsyncClient(KEY))


def of_langchain(emu: Emulator) -> Shown:
    model = ChatGLMV(api_key=KEY, base_url=emu.base_url, max_retries=0)
    yield from texts("ChatGLMV", model)
    yield from pickles("ChatGLMV", model)
    yield from dumped("ChatGLMV", model)
    yield "dumps", dumps(model)
    yield "dumpd", json.dumps(dumpd(model))
    yield "langchain_glmv.dumps", langchain_glmv.dumps(model)
    yield "the cache's key", model._get_llm_string()
    yield "invocation parameters", repr(model._get_invocation_params())
    yield "LangSmith's parameters", repr(model._get_ls_params())
    chain = ChatPromptTemplate.from_messages([("human", "{question}")]) | model
    yield from texts("a chain", chain)
    yield "structured output", repr(model.with_structured_output({"title": "T", "type": "object", "properties": {}}))
    yield "tools", repr(model.bind_tools([{"type": "web_search", "web_search": {}}]))
    collector = RunCollectorCallbackHandler()
    answer = chain.invoke({"question": PROMPT}, {"callbacks": [collector]})
    yield "an AIMessage", f"{answer!r} {answer.response_metadata} {dumps(answer)}"
    yield "traced runs", repr([run.model_dump() for run in collector.traced_runs])

    async def events() -> list[Any]:
        return [event async for event in chain.astream_events({"question": PROMPT}, version="v2")]

    yield "astream_events", repr(asyncio.run(events()))
    with listening() as (url, uploads):
        langsmith = LangSmith(url, api_key="none", auto_batch_tracing=False, info={})
        chain.invoke({"question": PROMPT}, {"callbacks": [LangChainTracer(client=langsmith)]})
        langsmith.flush()
        assert any(PROMPT.encode() in upload for upload in uploads)
    yield "uploads to LangSmith", b"".join(uploads)
    yield from failures("ChatGLMV", emu, lambda: model.invoke(PROMPT))
    embeddings = GLMVEmbeddings(api_key=KEY, base_url=emu.base_url)
    yield from texts("GLMVEmbeddings", embeddings)
    yield from dumped("GLMVEmbeddings", embeddings)


def of_llama_index(emu: Emulator) -> Shown:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    for kind in (GLMV, GLMVMultiModal):
        llm = kind(api_key=KEY, base_url=emu.base_url, max_retries=0, callback_manager=CallbackManager([debug]))
        name = kind.__name__
        yield from texts(name, llm)
        yield from pickles(name, llm)
        yield f"to_dict of {name}", repr(llm.to_dict())
        yield f"to_json of {name}", llm.to_json()
        answer = llm.complete(PROMPT)
        yield f"an answer of {name}", f"{answer!r} {answer.raw}"
        yield f"metadata of {name}", repr(llm.metadata)
        yield from failures(name, emu, lambda llm=llm: llm.complete(PROMPT))  # type: ignore[misc]  # bound in the loop
    yield "callback payloads", repr([event.payload for event in debug.get_events()])
    embedding = GLMVEmbedding(api_key=KEY, base_url=emu.base_url)
    yield from texts("GLMVEmbedding", embedding)
    yield "to_dict of GLMVEmbedding", repr(embedding.to_dict())


def of_files_and_commands(emu: Emulator, picture: Path) -> Shown:
    folder = picture.parent.parent
    job = Job(picture.parent, PROMPT, api_key=KEY, base_url=emu.base_url)
    yield from texts("a job", job)
    yield "a job's progress", str(job.write(folder / "answers.jsonl"))
    for path in sorted(folder.glob("answers*")):
        yield path.name, path.read_bytes()
    environment = {"ZHIPUAI_API_KEY": KEY, "GLMV_BASE_URL": emu.base_url}
    for command in (["doctor"], ["ask", str(picture), PROMPT], ["ask", "--json", str(picture), PROMPT],
                    ["batch", str(picture.parent), PROMPT, "--out", str(folder / "more.jsonl")]):  # fmt: skip
        run = CliRunner().invoke(app, command, env=environment)
        assert run.exit_code == 0, run.output
        yield f"glmv {command[0]}", run.output
    yield "the emulator's journal", repr(emu.requests)
    yield "the emulator's page", httpx.get(emu.origin).text
    yield "the emulator's report", str(emu.report())


def test_no_output_of_the_packages_contains_the_key(
    emulator: Emulator, picture: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("COLUMNS", "500")  # no line of a table is cut, so that a key in it shows
    looked: dict[str, object] = {}
    for texts_by_place in (
        of_the_core(emulator, picture, caplog),
        of_langchain(emulator),
        of_llama_index(emulator),
        of_files_and_commands(emulator, picture),
    ):
        looked.update(texts_by_place)
    results = [name for name, thing in looked.items() if "canary" in as_text(thing).lower()]
    assert results == []
    assert all(as_text(thing) for thing in looked.values())
    assert len(looked) >= SURFACES


def as_text(thing: object) -> str:
    return thing.decode("latin-1") if isinstance(thing, bytes) else str(thing)
