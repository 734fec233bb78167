"""Writes docs/compare-langchain.md: the same expectations of ChatGLMV and of the other classes that reach GLM-4V.

    python benchmarks/compare_langchain.py

Each class runs unmodified in an environment of its own under `.contract/`, against one emulator.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
from PIL import Image

from glmv_emulator import Emulator

ROOT = Path(__file__).parents[1]
PROBES = Path(__file__).with_name("langchain_probes.py")
PAGE = ROOT / "docs" / "compare-langchain.md"

# Class -> (its package, what is installed for it). ChatGLMV runs in the project's own environment.
OTHERS = {
    "ChatOpenAI": ("langchain-openai", "langchain-openai pillow"),
    "ChatZhipuAI": ("langchain-community", "langchain-community pyjwt httpx-sse pillow"),
    "ChatDeepSeek": ("langchain-deepseek", "langchain-deepseek pillow"),
}


# What is timed, in seconds: its row, what one second counts in it, and how many digits are shown.
TIMES = (
    ("import and make, CPU s, fastest of 5", 1, 2),
    ("`invoke`, CPU ms of the client, fastest of 20", 1000, 1),
)


def python_of(package: str, requirement: str) -> str:
    """The interpreter of an environment, built if it is not there yet."""
    folder = ROOT / ".contract" / package
    python = folder / "bin" / "python"
    if not python.is_file():
        uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(python), *requirement.split()]
        subprocess.run(install, check=True)
    return str(python)


def version_in(python: str, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def clip(path: Path) -> Path:
    """A second of blue."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 48), "blue"))))
        container.mux(stream.encode())
    return path


def started(python: str, name: str, places: dict[str, str]) -> float:
    """CPU seconds of importing a class and making a model, in a process of its own."""
    command = [python, str(PROBES), name, "--start"]
    return float(subprocess.run(command, input=json.dumps(places), capture_output=True, text=True, check=True).stdout)


def probed(python: str, name: str, places: dict[str, str]) -> dict[str, Any]:
    """What a class did at each probe."""
    command = [python, str(PROBES), name]
    done = subprocess.run(command, input=json.dumps(places), capture_output=True, text=True, cwd=ROOT, timeout=600)
    if done.returncode != 0:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    results: dict[str, Any] = json.loads(done.stdout)
    return results


def main() -> None:
    classes = {"ChatGLMV": ("glmv", sys.executable)}
    classes |= {name: (package, python_of(package, wanted)) for name, (package, wanted) in OTHERS.items()}
    versions = {name: f"{package} {version_in(python, package)}" for name, (package, python) in classes.items()}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        key = "test-id.test-secret"
        natures: dict[str, dict[str, Any]] = {
            "busy": {"concurrency": {"glm-4.6v": 0}},
            "strict": {"strict_base64": True},
            "stubborn": {"stubborn": True},
            "of 2025": {"era": "2025"},
        }
        places = {
            name: stack.enter_context(Emulator(api_key=key, **nature)).base_url for name, nature in natures.items()
        }
        plain = stack.enter_context(Emulator(api_key=key))
        picture = Path(folder) / "red.png"
        Image.new("RGB", (64, 48), "red").save(picture)
        places |= {
            "url": plain.base_url,
            "key": key,
            "picture": plain.host(picture),
            "clip": plain.host(clip(Path(folder) / "clip.mp4")),
        }
        results = {name: probed(python, name, places) for name, (_, python) in classes.items()}
        # In turns, so that a machine that slows down slows all of them.
        starts = [{name: started(python, name, places) for name, (_, python) in classes.items()} for _ in range(5)]
    for name in classes:
        results[name]["seconds"].insert(0, min(turn[name] for turn in starts))
    PAGE.write_text(page(results, versions), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


def page(results: dict[str, dict[str, Any]], versions: dict[str, str]) -> str:
    names = list(results)
    seconds = {name: results[name].pop("seconds") for name in names}
    table = [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    notes: list[str] = []
    for row in results[names[0]]:
        found = {name: results[name][row] for name in names}
        table.append(f"| {row} | {' | '.join('yes' if met else '**no**' for met, _ in found.values())} |")
        seen = [f"  - {name}: `{plain(said)}`" for name, (met, said) in found.items() if said and not met]
        notes += [f"- {row}", *seen] if seen else []
    for place, (what, unit, digits) in enumerate(TIMES):
        shown = " | ".join(f"{seconds[name][place] * unit:.{digits}f}" for name in names)
        table.append(f"| {what} | {shown} |")
    core = importlib.metadata.version("langchain-core")
    told = ", ".join(f"{name} ({versions[name]})" for name in names)
    return HEAD.format(
        day=datetime.now(UTC).date(), core=core, told=told, table="\n".join(table), notes="\n".join(notes)
    )


def plain(said: str) -> str:
    """What was seen, on one line, without the ports of this run."""
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", " ".join(said.replace("`", "'").split()))


HEAD = """# ChatGLMV beside other classes that reach GLM-4V

Written by `benchmarks/compare_langchain.py` from a run, not by hand. Every class is used unmodified, as its
documentation says and with its defaults, against the emulator that ships with glmv. The emulator follows the
platform's documents, so this shows how the classes meet those; the platform itself may be more forgiving, or less.
The rows are what we think a LangChain user expects, chosen by us; the last three nobody meets. Times are CPU times of
the process that calls, taken in turns.

{day}, langchain-core {core}: {told}.

{table}

## What was seen where the answer is no

{notes}
"""


if __name__ == "__main__":
    main()
