"""Third-party vector stores in this process: in memory or in a folder."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from glmv_emulator import Emulator

KINDS = ["qdrant in memory", "qdrant in a folder", "chroma in memory", "chroma in a folder", "lancedb"]
PERSISTENT = [kind for kind in KINDS if "memory" not in kind]
SIZES = {"red": (320, 200), "blue": (640, 480), "green": (100, 50)}

Open = Callable[[], Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these tests only if the stores are installed."""
    if any(find_spec(name) is None for name in ("chromadb", "lancedb", "langchain_chroma", "qdrant_client")):
        for item in items:
            if item.get_closest_marker("stores") is not None:
                item.add_marker(pytest.mark.skip(reason="make test-stores installs the stores"))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each store in turn."""
    return str(request.param)


@pytest.fixture
def open_store(kind: str, tmp_path: Path) -> Iterator[Open]:
    """open_store() -> the store; in a folder the same store is opened again, in memory each is new."""
    clients: list[Any] = []

    def qdrant() -> Any:
        from llama_index.vector_stores.qdrant import QdrantVectorStore
        from qdrant_client import QdrantClient

        while clients:
            clients.pop().close()  # one process at a time may have the folder open
        folder = {"path": str(tmp_path / "qdrant")} if "folder" in kind else {"location": ":memory:"}
        clients.append(QdrantClient(**folder))
        return QdrantVectorStore("pictures", client=clients[-1])

    def chroma() -> Any:
        import chromadb
        from llama_index.vector_stores.chroma import ChromaVectorStore

        if "folder" in kind:
            client = chromadb.PersistentClient(str(tmp_path / "chroma"))
        else:
            client = chromadb.EphemeralClient()
            for collection in client.list_collections():  # clients in memory share one store
                client.delete_collection(collection.name)
        return ChromaVectorStore(chroma_collection=client.get_or_create_collection("pictures"))

    def lancedb() -> Any:
        from llama_index.vector_stores.lancedb import LanceDBVectorStore

        result = (tmp_path / "lance").exists()
        return LanceDBVectorStore(uri=str(tmp_path / "lance"), mode="append" if result else "overwrite")

    yield {"qdrant": qdrant, "chroma": chroma, "lancedb": lancedb}[kind.split()[0]]
    for client in clients:
        client.close()
    clients.clear()
    gc.collect()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: photos/ has three pictures of different sizes and a file that is not a picture."""
    (tmp_path / "photos").mkdir()
    for colour, size in SIZES.items():
        Image.new("RGB", size, colour).save(tmp_path / "photos" / f"{colour}.png")
    (tmp_path / "photos" / "broken.png").write_bytes(b"junk")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def emu(glmv_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The emulator to which the environment variables point."""
    monkeypatch.setenv("ZHIPUAI_API_KEY", glmv_emulator.api_key)
    monkeypatch.setenv("GLMV_BASE_URL", glmv_emulator.base_url)
    return glmv_emulator
