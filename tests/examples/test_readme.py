"""Every Python block of the README runs as it stands and prints an answer about the picture."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from glmv_emulator import Emulator

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("code", BLOCKS, ids=[f"block{number}" for number in range(1, len(BLOCKS) + 1)])
def test_a_block_of_the_readme_runs_as_it_stands(code: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples" / "pictures" / "coffee.jpg", tmp_path / "photo.jpg")
    with Emulator() as emu:
        settings = {"ZHIPUAI_API_KEY": emu.api_key, "ZHIPUAI_BASE_URL": emu.base_url}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "600" in done.stdout, "the answer does not say how wide the picture is"
    assert "400" in done.stdout, "the answer does not say how high the picture is"
