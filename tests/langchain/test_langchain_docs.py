"""Every Python block of docs/langchain.md runs unchanged against the emulator."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from langchain.chat_models import base as langchain_base
from langchain.embeddings import base as langchain_embeddings
from PIL import Image as Pillow

from glmv_emulator import Emulator

PAGE = Path(__file__).parents[2] / "docs" / "langchain.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def page_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    """A folder with the files that the page names, and an environment with a key and a base URL."""
    av = pytest.importorskip("av")
    Pillow.new("RGB", (320, 200), "orange").save(tmp_path / "photo.jpg")
    Pillow.new("RGB", (320, 200), "black").save(tmp_path / "night.jpg")
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_image(Pillow.new("RGB", (64, 48), "blue"))))
        container.mux(stream.encode())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZHIPUAI_API_KEY", emulator.api_key)
    monkeypatch.setenv("GLMV_BASE_URL", emulator.base_url)
    for table in (langchain_base, langchain_embeddings):
        monkeypatch.setattr(table, "_BUILTIN_PROVIDERS", dict(table._BUILTIN_PROVIDERS))


@pytest.mark.usefixtures("page_folder")
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_code_block_of_the_langchain_page_runs(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(BLOCKS[number], f"{PAGE.name}, block {number + 1}", "exec"), {"__name__": "block"})
    assert capsys.readouterr().out or "print" not in BLOCKS[number]


def test_the_error_table_of_the_langchain_page_matches_the_error_classes() -> None:
    from langchain_core import exceptions

    from langchain_glmv import errors

    rows = re.findall(r"^\| (`.*?`) \| (`.*?`) \| (yes|no) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(rows) == 11
    for ours, theirs, again in rows:
        for name in re.findall(r"`(\w+)`", ours):
            kind = getattr(errors, name)
            for other in re.findall(r"`(\w+)`", theirs):
                assert issubclass(kind, getattr(exceptions, other, TimeoutError))
            assert kind.is_retryable is (again == "yes")
