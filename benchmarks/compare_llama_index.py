"""Writes docs/compare-llama-index.md: the same expectations of GLMVMultiModal and of other classes that reach GLM-4V.

    python benchmarks/compare_llama_index.py

Each class runs unmodified in an environment of its own under `.contract/`, against one emulator.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compare_langchain import clip, plain, python_of, version_in
from PIL import Image

from glmv_emulator import Emulator

ROOT = Path(__file__).parents[1]
PROBES = Path(__file__).with_name("llama_index_probes.py")
PAGE = ROOT / "docs" / "compare-llama-index.md"
KEY = "test-id.test-secret"

# Class -> its package. GLMVMultiModal runs in the project's own environment.
OTHERS = {
    "OpenAILike": "llama-index-llms-openai-like",
    "ZhipuAI": "llama-index-llms-zhipuai",
    "ZhipuAIMultiModal": "llama-index-multi-modal-llms-zhipuai",
}
NATURES: dict[str, dict[str, Any]] = {
    "url": {},
    "busy": {"concurrency": {"glm-4.6v": 0, "glm-4v": 0}},
    "strict": {"strict_base64": True},
    "stubborn": {"stubborn": True},
}


def probed(python: str, name: str, places: dict[str, str]) -> dict[str, Any]:
    """The findings about a class; the first run only fills the file caches."""
    given, command = json.dumps(places), [python, str(PROBES), name]
    subprocess.run([*command, "--warm"], input=given, text=True, cwd=ROOT, check=True, timeout=600)
    done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=ROOT, timeout=900)
    if done.returncode != 0:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


def main() -> None:
    classes = {"GLMVMultiModal": ("glmv", sys.executable)}
    classes |= {name: (package, python_of(package, f"{package} pillow")) for name, package in OTHERS.items()}
    versions = {name: f"{package} {version_in(python, package)}" for name, (package, python) in classes.items()}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        running = {name: stack.enter_context(Emulator(api_key=KEY, **nature)) for name, nature in NATURES.items()}
        places = {name: emulator.base_url for name, emulator in running.items()}
        picture = Path(folder) / "red.png"
        Image.new("RGB", (64, 64), "red").save(picture)
        places |= {
            "key": KEY,
            "file": str(picture),
            "picture": running["url"].host(picture),
            "clip": running["url"].host(clip(Path(folder) / "clip.mp4")),
        }
        results = {name: probed(python, name, places) for name, (_, python) in classes.items()}
    PAGE.write_text(page(results, versions), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


def page(results: dict[str, dict[str, Any]], versions: dict[str, str]) -> str:
    """The findings as Markdown: a table, and what was seen where the answer is no."""
    names = list(results)
    seconds = {name: results[name].pop("seconds") for name in names}
    table = [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    notes: list[str] = []
    for row in results[names[0]]:
        found = {name: results[name][row] for name in names}
        table.append(f"| {row} | {' | '.join('yes' if met else '**no**' for met, _ in found.values())} |")
        seen = [f"  - {name}: `{plain(said)}`" for name, (met, said) in found.items() if said and not met]
        notes += [f"- {row}", *seen] if seen else []
    met = [sum(found for found, _ in results[name].values()) for name in names]
    table.append(f"| **met, of {len(results[names[0]])}** | {' | '.join(map(str, met))} |")
    table.append(f"| import and make, s | {' | '.join(f'{seconds[name][0]:.2f}' for name in names)} |")
    calls = [f"{took * 1000:.1f}" if (took := seconds[name][1]) is not None else "-" for name in names]
    table.append(f"| `chat`, ms, fastest of 20 | {' | '.join(calls)} |")
    return HEAD.format(
        day=datetime.now(UTC).date(),
        core=importlib.metadata.version("llama-index-core"),
        told=", ".join(f"{name} ({versions[name]})" for name in names),
        table="\n".join(table),
        notes="\n".join(notes),
    )


HEAD = """# GLMVMultiModal beside other classes that reach GLM-4V in LlamaIndex

Written by `benchmarks/compare_llama_index.py` from a run, not by hand. Every class is used unmodified, as its
documentation says and with its defaults, against the emulator that ships with glmv. The emulator follows the
platform's documents, so this shows how the classes meet those; the platform itself may be more forgiving, or less.
The rows are what we think a LlamaIndex user expects, chosen by us; the last two nobody meets. ZhipuAI is asked with
glm-4v, the one vision model that it knows, and with glm-4-plus where tools are the question; the others with
glm-4.6v. `chat` is timed against the same emulator, whose own work is part of it.

{day}, llama-index-core {core}: {told}.

{table}

## What was seen where the answer is no

{notes}
"""


if __name__ == "__main__":
    main()
