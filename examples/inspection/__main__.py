"""`python examples/inspection`: five photos of tins, drawn afresh, are inspected and reported.

Photos of your own: `python examples/inspection one.jpg two.jpg`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from draw import draw_all
from flow import inspection
from rules import Order

from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV


def inspect(paths: list[str], **connection: Any) -> str:
    model = ChatGLMV(model="glm-4.6v", thinking=False, max_retries=0, **connection)
    result = inspection(model, Order()).invoke({"paths": paths})
    return str(result["report"])


def main(paths: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = paths or [str(path) for path in draw_all(Path(folder))]
        if os.environ.get("ZHIPUAI_API_KEY") or os.environ.get("ZAI_API_KEY"):
            print(inspect(paths))
            return
        print("EMULATOR: no key is set, so an emulator reads the labels.\n")
        with Emulator() as emulator:
            print(inspect(paths, base_url=emulator.base_url, api_key=emulator.api_key))


if __name__ == "__main__":
    main(sys.argv[1:])
