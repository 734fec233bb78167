"""Every Python block of docs/llama-index.md runs unchanged against the emulator."""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms import types
from llama_index.core.query_engine import RetrieverQueryEngine
from PIL import Image

from llama_index_glmv.messages import ROLES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "llama-index.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
ENGINES_SEE = "multimodal" in inspect.signature(RetrieverQueryEngine.from_args).parameters


@pytest.fixture
def page_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, glmv_emulator: Any) -> None:
    """A folder with the files that the page names, and an environment with a key and a base URL."""
    Image.new("RGB", (320, 200), "orange").save(tmp_path / "photo.jpg")
    Image.new("RGB", (320, 200), "black").save(tmp_path / "night.jpg")
    (tmp_path / "pictures").mkdir()
    for name in ("cat.jpg", "chart.png"):
        shutil.copy(ROOT / "examples" / "pictures" / name, tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZHIPUAI_API_KEY", glmv_emulator.api_key)
    monkeypatch.setenv("GLMV_BASE_URL", glmv_emulator.base_url)
    monkeypatch.setattr(Settings, "_llm", None)


@pytest.mark.usefixtures("page_folder")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # agents use deprecated parts of pydantic
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_code_block_of_the_llama_index_page_runs(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    code = BLOCKS[number]
    if "multimodal=True" in code and not ENGINES_SEE:
        pytest.skip("core before 0.14.23 has no multimodal=True")
    exec(compile(code, f"llama-index.md, block {number + 1}", "exec"), {"__name__": "block"})
    assert capsys.readouterr().out.strip() or "print" not in code


def test_the_llama_index_page_names_every_block_type_of_llama_index() -> None:
    result = set(re.findall(r"`(\w+Block|CachePoint)`", PAGE))
    blocks = {
        kind.__name__ for kind in vars(types).values() if isinstance(kind, type) and "block_type" in _fields(kind)
    }
    assert blocks <= result


def _fields(kind: type) -> dict[str, Any]:
    return getattr(kind, "model_fields", {})


def test_every_message_role_of_llama_index_is_in_the_table_of_roles() -> None:
    assert set(ROLES) == set(types.MessageRole)
