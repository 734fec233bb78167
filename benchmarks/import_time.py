"""What `import glmv` costs, beside the libraries that it cannot do without: `make import-time`.

Each import is timed in fresh interpreters, the fastest of several counts, and the bare interpreter's start is
taken off. The aim is at most 1.5 times `import httpx, pydantic`.
"""

from __future__ import annotations

import subprocess
import sys
import time

RUNS = 7
AIM = 1.5


def seconds(statement: str) -> float:
    """The fastest of RUNS fresh interpreters that run `statement`, in seconds."""
    best = float("inf")
    for _ in range(RUNS):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        best = min(best, time.perf_counter() - begun)
    return best


def main() -> None:
    seconds("import glmv")  # writes the byte code, so that no timed run has to
    bare = seconds("pass")
    needed = seconds("import httpx, pydantic") - bare
    ours = seconds("import glmv") - bare
    print(f"import httpx, pydantic  {needed * 1000:6.0f} ms")
    print(f"import glmv             {ours * 1000:6.0f} ms   {ours / needed:.2f} x (aim: {AIM} x at most)")


if __name__ == "__main__":
    main()
