"""Writes docs/compare-llama-index.md: the same checks for GLMVMultiModal and other classes that support GLM-4V.

    python benchmarks/compare_llama_index.py

Each class runs unmodified in its own environment under `.contract/`, against one emulator.
"""

from __future__ import annotations

import sys
from typing import Any

from comparison import ROOT, python_of, results_of, row, servers, table, write

PROBES = "llama_index_probes.py"
PAGE = ROOT / "docs" / "compare-llama-index.md"

# Class -> its package. GLMVMultiModal runs in the project's own environment.
OTHERS = {
    "OpenAILike": "llama-index-llms-openai-like",
    "ZhipuAI": "llama-index-llms-zhipuai",
    "ZhipuAIMultiModal": "llama-index-multi-modal-llms-zhipuai",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "busy": {"concurrency": {"glm-4.6v": 0, "glm-4v": 0}},
    "strict": {"strict": {"base64"}},
    "stubborn": {"stubborn": True},
}


def main() -> None:
    classes = {"GLMVMultiModal": ("glmv", sys.executable)}
    classes |= {name: (package, python_of(package, f"{package} pillow")) for name, package in OTHERS.items()}
    results = {}
    with servers(SETTINGS) as urls:
        for name, (_, python) in classes.items():
            results_of(python, PROBES, name, urls, "--warm")  # fills the file caches
            results[name] = results_of(python, PROBES, name, urls)
    seconds = [found.pop("seconds") for found in results.values()]
    lines, notes = table(results)
    met = [sum(found for found, _ in found.values()) for found in results.values()]
    lines += [
        row(f"**met, of {len(results['GLMVMultiModal'])}**", met),
        row("import and make, s", [f"{loaded:.2f}" for loaded, _ in seconds]),
        row("`chat`, ms, fastest of 20", [f"{took * 1000:.1f}" if took is not None else "-" for _, took in seconds]),
    ]
    write(PAGE, HEAD, "llama-index-core", classes, lines, notes)


HEAD = """# GLMVMultiModal beside other classes that reach GLM-4V in LlamaIndex

Written by `benchmarks/compare_llama_index.py` from a run, not by hand. Every class is used unmodified, as its
documentation says and with its defaults, against the emulator that ships with glmv. The emulator follows the
platform's documentation, so the table shows whether the classes comply with that; the platform itself may be more
or less strict. We chose the rows: what we think a LlamaIndex user expects. No class meets the last two. ZhipuAI is
tested with glm-4v, the only vision model that it knows, and with glm-4-plus in the rows about tools; the other classes
with glm-4.6v. The time of `chat` includes the work of the emulator.
Rows with ¹ depend only on our emulator: no third party has shown that the platform behaves in this way. They are
counted separately.

{day}, llama-index-core {core}: {versions}.

{table}

## Observations where the answer is no

{notes}
"""


if __name__ == "__main__":
    main()
