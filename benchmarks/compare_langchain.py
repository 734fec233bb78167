"""Writes docs/compare-langchain.md: the same checks for ChatGLMV and other classes that support GLM-4V.

    python benchmarks/compare_langchain.py

Each class runs unmodified in its own environment under `.contract/`, against one emulator.
"""

from __future__ import annotations

import sys
from typing import Any

from comparison import ROOT, python_of, results_of, row, servers, table, write

PROBES = "langchain_probes.py"
PAGE = ROOT / "docs" / "compare-langchain.md"

# Class -> (its package, packages to install). ChatGLMV runs in the project's own environment.
OTHERS = {
    "ChatOpenAI": ("langchain-openai", "langchain-openai pillow"),
    "ChatZhipuAI": ("langchain-community", "langchain-community pyjwt httpx-sse pillow"),
    "ChatDeepSeek": ("langchain-deepseek", "langchain-deepseek pillow"),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "busy": {"concurrency": {"glm-4.6v": 0}},
    "strict": {"strict": {"base64"}},
    "stubborn": {"stubborn": True},
    "of 2025": {"era": "2025"},
}


def main() -> None:
    classes = {"ChatGLMV": ("glmv", sys.executable)}
    classes |= {name: (package, python_of(package, wanted)) for name, (package, wanted) in OTHERS.items()}
    with servers(SETTINGS) as urls:
        results = {name: results_of(python, PROBES, name, urls) for name, (_, python) in classes.items()}
        # In turns, so that a slower machine affects all of them.
        starts = [{name: results_of(python, PROBES, name, urls, "--start") for name, (_, python) in classes.items()}
                  for _ in range(5)]  # fmt: skip
    calls = [found.pop("seconds") for found in results.values()]
    lines, notes = table(results)
    lines += [
        row("import and make, CPU s, fastest of 5", [f"{min(turn[name] for turn in starts):.2f}" for name in classes]),
        row("`invoke`, CPU ms of the client, fastest of 20", [f"{took * 1000:.1f}" for took in calls]),
    ]
    write(PAGE, HEAD, "langchain-core", classes, lines, notes)


HEAD = """# ChatGLMV beside other classes that reach GLM-4V

Written by `benchmarks/compare_langchain.py` from a run, not by hand. Every class is used unmodified, as its
documentation says and with its defaults, against the emulator that ships with glmv. The emulator follows the
platform's documentation, so the table shows whether the classes comply with that; the platform itself may be more
or less strict. We chose the rows: what we think a LangChain user expects. No class meets the last three. Times are
CPU times of the calling process; the classes are measured in turns.
Rows with ¹ depend only on our emulator: no third party has shown that the platform behaves in this way. They are
counted separately.

{day}, langchain-core {core}: {versions}.

{table}

## Observations where the answer is no

{notes}
"""


if __name__ == "__main__":
    main()
