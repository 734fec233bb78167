"""Python blocks of the pages that no other test runs, run as they stand; the pages made by scripts are up to date."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from glmv_emulator import Emulator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = ["index.md", "zh/quickstart.md", *sorted(f"migrate/{page.name}" for page in (DOCS / "migrate").glob("*.md"))]


def blocks(page: str) -> list[str]:
    found = re.findall(r"^( *)```python\n(.*?)^ *```", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_the_blocks_of_a_page_run_one_after_the_other(page: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples" / "pictures" / "coffee.jpg", tmp_path / "photo.jpg")
    with Emulator() as emu:
        settings = {"ZHIPUAI_API_KEY": emu.api_key, "ZHIPUAI_BASE_URL": emu.base_url}
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(blocks(page))],
            cwd=tmp_path,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    if "photo.jpg" in "".join(blocks(page)):
        assert done.stdout.count("600") >= sum("photo.jpg" in code for code in blocks(page))


def test_the_chinese_readme_holds_the_chinese_quickstart() -> None:
    readme = (ROOT / "README.zh-CN.md").read_text("utf-8")
    _, _, quickstart = (DOCS / "zh" / "quickstart.md").read_text("utf-8").partition("\n")
    assert quickstart.strip() in readme


@pytest.mark.parametrize("package", ["glmv", "langchain_glmv", "llama_index_glmv", "glmv_emulator"])
def test_the_reference_names_every_public_name(package: str) -> None:
    page = runpy.run_path(str(DOCS / "reference.py"))["page"]
    assert (DOCS / "reference" / f"{package}.md").read_text("utf-8") == page(package)
