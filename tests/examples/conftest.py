"""Code blocks of documents run in this process, so that imports are loaded only once."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from glmv_emulator import Emulator

ROOT = Path(__file__).parents[2]
RunCode = Callable[..., str]


def write_clip(path: Path) -> None:
    """Write a video of two seconds and 600 x 400 pixels, which grows brighter."""
    with av.open(str(path), "w") as video:
        stream = video.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = 600, 400, "yuv420p"
        for shade in range(0, 240, 30):
            frame = av.VideoFrame.from_ndarray(np.full((400, 600, 3), shade, np.uint8), format="rgb24")
            video.mux(stream.encode(frame))
        video.mux(stream.encode())


@pytest.fixture
def run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCode:
    """Run code as a reader does: in a folder with photo.jpg and with the emulator's key -> its output."""

    def run(code: str, folder: Path = tmp_path) -> str:
        if folder == tmp_path:
            shutil.copy(ROOT / "examples" / "pictures" / "coffee.jpg", folder / "photo.jpg")
        monkeypatch.chdir(folder)
        with Emulator() as emu:
            monkeypatch.setenv("ZHIPUAI_API_KEY", emu.api_key)
            monkeypatch.setenv("ZHIPUAI_BASE_URL", emu.base_url)
            capsys.readouterr()
            exec(compile(code, "document", "exec"), {"__name__": "__main__"})
            gc.collect()  # a short program leaves its connections to its end, which is here and not in another test
            return capsys.readouterr().out

    return run
