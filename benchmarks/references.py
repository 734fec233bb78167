"""Bytes of a picture in state, caches and traces, as base64 and by reference: writes a table of docs/pictures.md.

    python benchmarks/references.py

Needs the packages of `make test`, and langchain-community for histories and caches in SQL. The emulator answers; no
time is measured. The picture is noise, so that it does not compress.
"""

from __future__ import annotations

import asyncio
import io
import pickle
import sqlite3
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

from langchain.agents import create_agent
from langchain_community.cache import SQLiteCache
from langchain_community.chat_message_histories import SQLChatMessageHistory
from langchain_core.messages import HumanMessage
from langchain_core.tracers import LangChainTracer
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langsmith import Client
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from openinference.instrumentation.langchain import LangChainInstrumentor
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from PIL import Image

from glmv import PictureStore, redact, redact_spans
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV, image
from llama_index_glmv import GLMV

PAGE = Path(__file__).parents[1] / "docs" / "pictures.md"
START, END = "<!-- sizes: benchmarks/references.py -->", "<!-- end of sizes -->"
TURNS = 10
QUESTION = "What do you see?"


def photograph() -> bytes:
    """A PNG of 3 MB."""
    out = io.BytesIO()
    Image.frombytes("RGB", (1000, 1000), Random(7).randbytes(3_000_000)).save(out, "PNG", compress_level=0)
    return out.getvalue()


class Case:
    """One way to pass the picture, and the tested models."""

    def __init__(self, emulator: Emulator, folder: Path, data: bytes, by_reference: bool) -> None:
        folder.mkdir()
        where: dict[str, Any] = {"model": "glm-4.6v", "base_url": emulator.base_url, "api_key": emulator.api_key}
        self.folder, store = folder, PictureStore(folder.parent / "store")
        self.block = image(data, store=store if by_reference else None)
        self.model = ChatGLMV(picture_store=store, **where)
        self.llm = GLMV(local_files=[store], **where)
        path = store.path(store.add(data))
        self.llama_block = ImageBlock(path=path) if by_reference else ImageBlock(image=data)

    def asked(self) -> list[HumanMessage]:
        """The question with the picture."""
        return [HumanMessage([self.block, QUESTION])]

    def turns(self, saver: Any, count: int) -> None:
        """Turns of an agent in one conversation; the first has the picture."""
        agent = create_agent(self.model, [], checkpointer=saver)
        for turn in range(count):
            message = self.asked() if turn == 0 else [HumanMessage(f"And {turn}?")]
            agent.invoke({"messages": message}, {"configurable": {"thread_id": "t"}})

    def in_memory(self) -> int:
        """Bytes of an InMemorySaver after ten turns."""
        saver = InMemorySaver()
        self.turns(saver, TURNS)
        threads = {
            thread: {name: dict(inner) for name, inner in kept.items()} for thread, kept in saver.storage.items()
        }
        return len(pickle.dumps([threads, dict(saver.blobs), dict(saver.writes)]))

    def in_sqlite(self, count: int) -> int:
        """Bytes of the file of a SqliteSaver."""
        path = self.folder / f"state-{count}.db"
        with SqliteSaver.from_conn_string(str(path)) as saver:
            self.turns(saver, count)
        return size_of(path)

    def history(self) -> int:
        """Bytes of the file of a SQLChatMessageHistory with one message."""
        path = self.folder / "history.db"
        SQLChatMessageHistory("s", connection=f"sqlite:///{path}").add_messages(self.asked())
        return size_of(path)

    def cache(self) -> int:
        """Bytes of the file of a SQLiteCache with one answer."""
        path = self.folder / "cache.db"
        self.model.model_copy(update={"cache": SQLiteCache(database_path=str(path))}).invoke(self.asked())
        return size_of(path)

    def events(self) -> int:
        """Characters of the first event of `astream_events`, which holds the input."""

        async def first() -> int:
            events = self.model.astream_events(self.asked())
            return len(repr(await anext(events)))

        return asyncio.run(first())

    def sent_to_langsmith(self, **hiding: Any) -> int:
        """Bytes that a LangSmith client sends about one call, to a local server that records them."""
        sizes: list[int] = []

        class Server(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sizes.append(len(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            do_PATCH = do_POST  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
            Thread(target=server.serve_forever).start()
            url = f"http://127.0.0.1:{server.server_port}"
            client = Client(api_url=url, api_key="none", auto_batch_tracing=False, info={}, **hiding)
            self.model.invoke(self.asked(), {"callbacks": [LangChainTracer(client=client)]})
            server.shutdown()
        assert sizes
        return sum(sizes)

    def spans(self, instrumentor: Any, ask: Callable[[], object], shortened: bool) -> int:
        """Characters of OpenInference's spans of one call."""
        exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(redact_spans(exporter) if shortened else exporter))
        instrumentor.instrument(tracer_provider=provider)
        ask()
        instrumentor.uninstrument()
        return sum(len(span.to_json()) for span in exporter.get_finished_spans())

    def langchain_spans(self, shortened: bool) -> int:
        """Characters of LangChain's spans."""
        return self.spans(LangChainInstrumentor(), lambda: self.model.invoke(self.asked()), shortened)

    def llama_spans(self, shortened: bool) -> int:
        """Characters of LlamaIndex's spans."""
        message = ChatMessage(blocks=[self.llama_block, TextBlock(text=QUESTION)])
        return self.spans(LlamaIndexInstrumentor(), lambda: self.llm.chat([message]), shortened)

    def llama_message(self) -> int:
        """Characters of a LlamaIndex message as JSON, as memories and workflows store it."""
        return len(ChatMessage(blocks=[self.llama_block, TextBlock(text=QUESTION)]).model_dump_json())


ROWS: list[tuple[str, Callable[[Case], int]]] = [
    ("one message as JSON", lambda case: len(case.asked()[0].model_dump_json())),
    ("LangGraph `SqliteSaver`, 1 turn of an agent", lambda case: case.in_sqlite(1)),
    (f"LangGraph `SqliteSaver`, {TURNS} turns", lambda case: case.in_sqlite(TURNS)),
    (f"LangGraph `InMemorySaver`, {TURNS} turns", Case.in_memory),
    ("`SQLChatMessageHistory`, 1 message", Case.history),
    ("`SQLiteCache`, 1 answer", Case.cache),
    ("`astream_events`, the first event", Case.events),
    ("LangSmith, data sent about a call", Case.sent_to_langsmith),
    ("LangSmith, with `hide_inputs=redact`", lambda case: case.sent_to_langsmith(hide_inputs=redact)),
    ("OpenInference, spans of a call", lambda case: case.langchain_spans(False)),
    ("OpenInference, through `redact_spans`", lambda case: case.langchain_spans(True)),
    ("LlamaIndex, one message as JSON", Case.llama_message),
    ("LlamaIndex, OpenInference, spans of a call", lambda case: case.llama_spans(False)),
    ("LlamaIndex, OpenInference, through `redact_spans`", lambda case: case.llama_spans(True)),
]


def size_of(path: Path) -> int:
    """Bytes of the file of an SQLite database, after its write-ahead log was written into it."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def size_text(size: int) -> str:
    """A size in kB or MB."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"


def table() -> str:
    """The rows with both sizes."""
    data = photograph()
    with tempfile.TemporaryDirectory() as name, Emulator() as emulator:
        emulator.answer(lambda ask: "A picture of noise.")
        cases = [Case(emulator, Path(name) / kind, data, kind == "reference") for kind in ("base64", "reference")]
        lines = [f"| one picture of {size_text(len(data))} in | as base64 | by reference |", "|---|--:|--:|"]
        for title, measure in ROWS:
            sizes = [size_text(measure(case)) for case in cases]
            print(title, *sizes, file=sys.stderr)
            lines.append(f"| {title} | {sizes[0]} | {sizes[1]} |")
    return "\n".join(lines)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    before, _, rest = PAGE.read_text("utf-8").partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{START}\n\n{table()}\n\n{END}{after}", "utf-8")
