"""Shared code of both comparisons: environments, servers and the page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
from PIL import Image
from probing import ALONE

from glmv_emulator import Emulator

HERE = Path(__file__).parent
ROOT = HERE.parent
KEY = "test-id.test-secret"


def python_of(package: str, requirement: str) -> str:
    """The interpreter of an environment, built if it is missing."""
    folder = ROOT / ".contract" / package
    python = folder / "bin" / "python"
    if not python.is_file():
        uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(python), *requirement.split()]
        subprocess.run(install, check=True)
    return str(python)


def _version_in(python: str, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def write(
    page: Path, head: str, core: str, pythons: dict[str, tuple[str, str]], lines: list[str], notes: list[str]
) -> None:
    """Write a page.

    Args:
        head: its text, with the fields day, core, versions, table and notes.
        core: the package of the framework.
        pythons: class -> its package, and the interpreter of its environment.
        lines, notes: the table, and the observations where the answer is no.
    """
    versions = ", ".join(
        f"{name} ({package} {_version_in(python, package)})" for name, (package, python) in pythons.items()
    )
    text = head.format(
        day=datetime.now(UTC).date(),
        core=version(core),
        versions=versions,
        table="\n".join(lines),
        notes="\n".join(notes),
    )
    page.write_text(text, encoding="utf-8")
    print(f"wrote {page.relative_to(ROOT)}")


def _clip(path: Path) -> Path:
    """A video of one second of blue."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 48), "blue"))))
        container.mux(stream.encode())
    return path


@contextmanager
def servers(settings: dict[str, dict[str, Any]]) -> Iterator[dict[str, str]]:
    """An emulator for each name, a picture and a clip: name -> base URL, URL or path."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        plain = stack.enter_context(Emulator(api_key=KEY))
        addresses = {
            name: stack.enter_context(Emulator(api_key=KEY, **options)).base_url for name, options in settings.items()
        }
        picture = Path(folder) / "red.png"
        Image.new("RGB", (64, 64), "red").save(picture)
        yield addresses | {
            "url": plain.base_url,
            "key": KEY,
            "file": str(picture),
            "picture": plain.host(picture),
            "clip": plain.host(_clip(Path(folder) / "clip.mp4")),
        }


def results_of(python: str, probes: str, name: str, addresses: dict[str, str], *options: str) -> Any:
    """Run a file of probes for a class, in the environment of the class -> the JSON that it prints."""
    command = [python, str(HERE / probes), name, *options]
    done = subprocess.run(command, input=json.dumps(addresses), capture_output=True, text=True, cwd=ROOT, timeout=900)
    if done.returncode != 0:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def row(what: str, cells: Any) -> str:
    return f"| {what} | {' | '.join(map(str, cells))} |"


def table(results: dict[str, dict[str, Any]]) -> tuple[list[str], list[str]]:
    """The results as rows of a Markdown table, and a list of observations for each "no"."""
    names = list(results)
    lines, notes = [row("", names).replace("|  |", "| |"), f"|---|{'---|' * len(names)}"], []
    for what in results[names[0]]:
        found = {name: results[name][what] for name in names}
        lines.append(row(what, ["yes" if met else "**no**" for met, _ in found.values()]))
        seen = [f"    - {name}: `{_plain(said)}`" for name, (met, said) in found.items() if said and not met]
        notes += [f"- {what}", *seen] if seen else []
    marked = {what for what in results[names[0]] if what.endswith(ALONE)}
    for title, counted in (
        ("**met, of the {} rows that third parties showed or that need no server**", results[names[0]].keys() - marked),
        (f"**met, of the {{}} rows with{ALONE}**", marked),
    ):
        met = [sum(results[name][what][0] for what in counted) for name in names]
        lines.append(row(title.format(len(counted)), met))
    return lines, notes


def _plain(said: str) -> str:
    """An observation on one line, without the ports of this run."""
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", " ".join(said.replace("`", "'").split()))
