"""What `import glmv` costs, beside the libraries that it cannot do without: `make import-time`.

Processor time of fresh interpreters, the median of several rounds, less that of a bare interpreter. The statements
take turns, so that a busy machine is busy for all of them. The aim is at most 1.5 times `import httpx, pydantic`.
`import glmv` loads a name when it is first used, so what a program pays is the last line.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys

ROUNDS = 15
AIM = 1.5
BARE, NEEDED, MODEL, OURS, READY = (
    "pass",
    "import httpx, pydantic",
    "import httpx, pydantic; type('M', (pydantic.BaseModel,), {'__annotations__': {'a': int}, '__module__': 'm'})",
    "import glmv",
    "import glmv; glmv.Client('test-id.test-secret')",
)

# An installed package is not compiled at each start, whatever this shell says.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def seconds(statement: str) -> float:
    """Processor time of a fresh interpreter that runs `statement`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True, env=_ENVIRONMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    seconds(READY)  # writes the byte code, so that no timed run has to
    rounds = [[seconds(statement) for statement in (BARE, NEEDED, MODEL, OURS, READY)] for _ in range(ROUNDS)]
    bare, needed, model, ours, ready = (statistics.median(column) for column in zip(*rounds, strict=True))
    rows = (
        ("httpx, pydantic", needed),
        ("the same, one model declared", model),
        ("glmv", ours),
        ("glmv, and a client made", ready),
    )
    for name, cost in rows:
        print(f"{name:<30}{(cost - bare) * 1000:6.0f} ms {(cost - bare) / (needed - bare):6.2f} x")
    print(f"The aim for glmv is {AIM} x at most.")


if __name__ == "__main__":
    main()
