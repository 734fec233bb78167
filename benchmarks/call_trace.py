"""The path of one call: number of project files and functions entered, and of switches between packages.

    python benchmarks/call_trace.py

Prints one line for each kind of call. "Switches" counts how often a call or a return goes to a project function in
another package ("langchain_glmv", "glmv.request", "glmv.wire", ...). For streams it also prints how many functions in
other files each delta passes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage

from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV, image
from llama_index_glmv import GLMV

ROOT = Path(__file__).parents[1]
OURS = tuple(f"{ROOT / name}/" for name in ("glmv", "langchain_glmv", "llama_index_glmv"))
PICTURE = ROOT / "examples" / "pictures" / "cat.jpg"


class Trace:
    """Calls of project functions seen by `sys.setprofile`, without comprehensions and lambdas."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.functions: set[tuple[str, str]] = set()
        self.calls = 0
        self.switches = 0
        self.hops = 0
        self._package = ""
        self._file = ""

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(OURS) or code.co_name.startswith("<"):
            return
        name = str(Path(code.co_filename).relative_to(ROOT))
        self.calls += 1
        self.files.add(name)
        self.functions.add((name, code.co_qualname))
        package = package_of(name)
        self.switches += package != self._package
        self.hops += name != self._file
        self._package, self._file = package, name


def package_of(file: str) -> str:
    """A file -> its package; for the core, its sub-package: "glmv/wire/decode.py" -> "glmv/wire"."""
    first, second, *_ = [*file.split("/"), ""]
    return f"{first}/{second.removesuffix('.py')}" if first == "glmv" else first


def traced(call: Callable[[], Any]) -> Trace:
    """Run a call twice without a trace, so that one-time work is not counted, and then with a trace."""
    call()
    call()
    trace = Trace()
    sys.setprofile(trace)
    try:
        call()
    finally:
        sys.setprofile(None)
    return trace


def main() -> None:
    """Print the table."""
    with Emulator() as emulator:
        connection = {"base_url": emulator.base_url, "api_key": emulator.api_key}
        langchain = ChatGLMV(model="glm-4.6v", **connection)
        llama_index = GLMV(model="glm-4.6v", **connection)
        seen = HumanMessage(["What is this?", image(PICTURE)])
        text = ChatMessage("Say hello.")
        calls: dict[str, Callable[[], Any]] = {
            "ChatGLMV.invoke, text and picture": lambda: langchain.invoke([seen]),
            "ChatGLMV.stream, the same": lambda: list(langchain.stream([seen])),
            "GLMV.chat, text": lambda: llama_index.chat([text]),
        }
        print(f"{'call':36}{'files':>7}{'functions':>11}{'calls':>7}{'switches':>10}")
        for name, call in calls.items():
            trace = traced(call)
            print(f"{name:36}{len(trace.files):7}{len(trace.functions):11}{trace.calls:7}{trace.switches:10}")
        one, two = (traced(lambda n=n: streamed(langchain, n)) for n in (5, 25))
        print(f"Hops between files for each streamed delta: {(two.hops - one.hops) / 20:.1f}")


def streamed(model: ChatGLMV, words: int) -> None:
    """Stream an answer of this many words."""
    for number, _ in enumerate(model.stream("Count from 1 to 40, in words.")):
        if number == words:
            return


if __name__ == "__main__":
    main()
