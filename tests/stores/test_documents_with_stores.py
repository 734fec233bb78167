"""The documents' code blocks about picture indexes, run unchanged with each store."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from llama_index.core import StorageContext
from PIL import Image

from glmv_emulator import Emulator
from tests.stores.conftest import Open

# The stores warn of their own.
pytestmark = [pytest.mark.stores, pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "examples" / "pictures"


def blocks(page: str, word: str) -> list[str]:
    """The Python blocks of a page that contain a word."""
    matches = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [code for code in matches if word in code]


@pytest.mark.parametrize("page", ["docs/rag.md"])
def test_the_code_block_about_an_index_in_rag_md_runs_with_each_vector_store(
    page: str,
    open_store: Open,
    emu: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("photos", "pictures"):
        (tmp_path / name).mkdir()
        for picture in ("coffee.jpg", "cat.jpg", "chart.png"):
            shutil.copy(PICTURES / picture, tmp_path / name)
        (tmp_path / name / "broken.jpg").write_bytes(b"junk")
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(page, "multimodal=True")
    assert 'on_error="skip"' in code
    stored = re.sub(r"^( +)embed_model=", r"\1storage_context=context,\n\1embed_model=", code, flags=re.MULTILINE)
    assert stored != code
    context = StorageContext.from_defaults(vector_store=open_store())
    exec(compile(stored, page, "exec"), {"__name__": "block", "context": context})
    printed = capsys.readouterr().out
    assert ("600" in printed and "400" in printed) or ("451" in printed and "cat.jpg" in printed)
    parts = emu.requests[-1].body["messages"][-1]["content"]
    assert "image_url" in [part["type"] for part in parts]


def test_the_code_block_about_pictures_in_langchain_runs_with_chroma(
    emu: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (320, 200), "#8a6042").save(tmp_path / "photo.jpg")
    Image.new("RGB", (300, 100), "black").save(tmp_path / "night.jpg")
    monkeypatch.chdir(tmp_path)
    (code,) = [code for code in blocks("docs/rag.md", "InMemoryVectorStore") if "image(" in code]
    stand_in = ModuleType("vectorstores")
    stand_in.InMemoryVectorStore = __import__("langchain_chroma").Chroma  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "langchain_core.vectorstores", stand_in)
    exec(compile(code, "rag.md", "exec"), {"__name__": "block"})
    printed = capsys.readouterr().out
    assert "320" in printed
    assert "200" in printed
