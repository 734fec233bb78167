"""When an option is refused, no variable in a `glmv` frame holds the key or a secret header."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from pydantic import BaseModel, SecretStr

import glmv
from glmv_batch import Job
from langchain_glmv import ChatGLMV, GLMVEmbeddings
from llama_index_glmv import GLMV, GLMVEmbedding, GLMVMultiModal

SECRET = "canary4711secret0815"
KEY = f"canary4711id.{SECRET}"
HEADERS = {"X-Api-Key": SECRET}
ROOT = Path(__file__).parents[2]
OURS = [str(ROOT / name) for name in ("glmv", "langchain_glmv", "llama_index_glmv", "glmv_batch")]


class Town(BaseModel):
    name: str


def holds(thing: Any, depth: int = 4) -> bool:
    """Whether an error reporter that searches strings and containers finds the secret."""
    match thing:
        case str():
            return SECRET in thing
        case dict() if depth:
            return any(holds(inner, depth - 1) for pair in thing.items() for inner in pair)
        case list() | tuple() | set() if depth:
            return any(holds(inner, depth - 1) for inner in thing)
        case _:
            return SECRET in repr(thing)


def frames(error: BaseException | None) -> Iterator[FrameType]:
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename.startswith(tuple(OURS)):
                yield trace.tb_frame
            trace = trace.tb_next
        error = error.__cause__ or error.__context__


REFUSED: dict[str, Callable[[], Any]] = {
    "Client, unknown option": lambda: glmv.Client(KEY, nonsense=1),
    "Client, bad value": lambda: glmv.Client(KEY, temperature="hot"),
    "Client, header": lambda: glmv.Client(default_headers=HEADERS, nonsense=1),
    "AsyncClient": lambda: glmv.AsyncClient(KEY, nonsense=1),
    "Settings": lambda: glmv.Settings(api_key=KEY, nonsense=1),
    "chat": lambda: glmv.Client("a.b").chat("hi", extra_headers=HEADERS, nonsense=1),
    "chat, key": lambda: glmv.Client("a.b").chat("hi", api_key=KEY),
    "stream": lambda: glmv.Client("a.b").stream("hi", extra_headers=HEADERS, temperature="hot"),
    "tasks.submit": lambda: glmv.Client("a.b").tasks.submit("hi", extra_headers=HEADERS, nonsense=1),
    "batches.create": lambda: glmv.Client("a.b").batches.create(["hi"], extra_headers=HEADERS, nonsense=1),
    "ChatGLMV": lambda: ChatGLMV(api_key=KEY, temperature="hot"),
    "ChatGLMV, old name": lambda: ChatGLMV(zhipuai_api_key=KEY, nonsense=1),
    "ChatGLMV, what GLM cannot do": lambda: ChatGLMV(api_key=KEY, n=2),
    "ChatGLMV call": lambda: ChatGLMV(api_key="a.b").invoke("hi", extra_headers=HEADERS, nonsense=1),
    "GLMVEmbeddings": lambda: GLMVEmbeddings(api_key=KEY, dimensions="x"),
    "GLMV": lambda: GLMV(api_key=KEY, nonsense=1),
    "GLMV call": lambda: GLMV(api_key="a.b").complete("hi", extra_headers=HEADERS, nonsense=1),
    "GLMV structured": lambda: GLMV(api_key="a.b").structured_predict(
        Town, PromptTemplate("hi"), llm_kwargs={"extra_headers": HEADERS, "temperature": "hot"}
    ),
    "GLMV structured, awaited": lambda: asyncio.run(
        GLMV(api_key="a.b").astructured_predict(
            Town, PromptTemplate("hi"), llm_kwargs={"extra_headers": HEADERS, "temperature": "hot"}
        )
    ),
    "GLMV structured, streamed": lambda: list(
        GLMV(api_key="a.b").stream_structured_predict(
            Town, PromptTemplate("hi"), llm_kwargs={"extra_headers": HEADERS, "temperature": "hot"}
        )
    ),
    "GLMVMultiModal": lambda: GLMVMultiModal(api_key=KEY, temperature="hot"),
    "GLMVEmbedding": lambda: GLMVEmbedding(api_key=KEY, dimensions="x"),
    "ChatGLMV call, key": lambda: ChatGLMV(api_key="a.b").invoke("hi", api_key=KEY),
    "ChatGLMV call, awaited": lambda: asyncio.run(ChatGLMV(api_key="a.b").ainvoke("hi", api_key=KEY)),
    "Job": lambda: Job([], "hi", api_key=KEY, nonsense=1),
    "Job, header": lambda: Job([], "hi", api_key="a.b", default_headers=HEADERS, nonsense=1),
    "Job, via": lambda: Job([], "hi", api_key="a.b", default_headers=HEADERS, via="pigeon"),
    "Job, list": lambda: Job([], "hi", api_key=[KEY]),
    "Job, client": lambda: Job([], "hi", client=glmv.AsyncClient("a.b"), default_headers=HEADERS),
}


@pytest.mark.parametrize("name", REFUSED)
def test_no_stack_frame_of_glmv_has_a_credential_when_an_option_is_refused(name: str) -> None:
    with pytest.raises(glmv.GLMVError) as raised:
        REFUSED[name]()
    results = [
        f"{frame.f_code.co_filename}:{frame.f_code.co_name}: {variable}"
        for frame in frames(raised.value)
        for variable, value in frame.f_locals.items()
        if holds(value)
    ]
    assert results == []
    assert SECRET not in f"{raised.value} {raised.value!r}"


@pytest.mark.parametrize("kind", [glmv.Client, glmv.AsyncClient, ChatGLMV, GLMV, GLMVEmbeddings, GLMVEmbedding])
def test_an_object_whose_init_did_not_run_has_a_repr(kind: Any) -> None:
    assert kind.__name__ in repr(kind.__new__(kind))


def test_a_job_accepts_a_secret_str_as_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZHIPUAI_API_KEY", "other-id.other-secret")
    assert Job([], "hi", api_key=SecretStr(KEY))._settings.api_key == SecretStr(KEY)
