"""Data that a LangSmith client sends about calls with pictures, received by a local server."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tracers import LangChainTracer
from langsmith import Client
from PIL import Image as Pillow

from glmv import PictureStore, redact
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV, image


class Collector:
    """A server that accepts and records all requests."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            do_PATCH = do_POST  # noqa: N815 - the name that http.server calls

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.server.serve_forever)
        self.thread.start()

    def tracer(self, **hiding: Any) -> LangChainTracer:
        url = f"http://127.0.0.1:{self.server.server_port}"
        client = Client(api_url=url, api_key="none", auto_batch_tracing=False, info={}, **hiding)
        return LangChainTracer(client=client)


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.server.shutdown()
    running.server.server_close()
    running.thread.join()


def png() -> bytes:
    out = io.BytesIO()
    Pillow.effect_noise((300, 200), 60).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("way", ["base64", "redacted", "reference"])
@pytest.mark.filterwarnings("default")
def test_langsmith_gets_references_and_gets_base64_only_if_redact_is_not_used(
    collector: Collector, tmp_path: Path, way: str
) -> None:
    store, data = PictureStore(tmp_path), png()
    block = image(data, store=store if way == "reference" else None)
    with Emulator() as emulator:
        model = ChatGLMV(
            model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key, picture_store=store
        )  # fmt: skip
        tracer = collector.tracer(**({"hide_inputs": redact, "hide_outputs": redact} if way == "redacted" else {}))
        answer = model.invoke([HumanMessage(["How large is it?", block])], {"callbacks": [tracer]})
    assert "300" in answer.text
    sent = b"".join(collector.bodies)
    assert b"How large is it?" in sent
    assert (b64encode(data)[40:90] in sent) == (way == "base64")
    assert (store.add(data).encode() in sent) == (way == "reference")
    assert way == "base64" or len(sent) < 20_000
