"""Environments for other clients, whose pinned versions conflict with each other and with this project's.

Each is built once under `.contract/` and reused; a client runs there, unmodified, in its own process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".contract"
CLIENTS = Path(__file__).parent / "clients"
BUILT_WITHIN = 180  # seconds
RUNS_WITHIN = 60

# Client -> what is installed for it. zhipuai is at the last release of its line, and imports sniffio without saying so
# in its requirements; the others are taken as new as can be.
PYTHON = {"zhipuai": "zhipuai==2.1.5.20250825 sniffio", "zai": "zai-sdk", "openai": "openai"}
NODE = {"openai-node": "openai"}


@contextlib.contextmanager
def alone(name: str) -> Iterator[Path]:
    """The folder of an environment, locked against other test processes."""
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield ENVIRONMENTS / name


def built(name: str, requirement: str, build: Callable[[Path, str], None]) -> Path:
    """The folder of an environment, built if missing. If the build fails, the test is skipped; in CI it fails."""
    with alone(name) as folder:
        ready = folder / "ready"
        if ready.is_file() and ready.read_text() == requirement:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        try:
            build(folder, requirement)
        except (OSError, subprocess.SubprocessError) as problem:
            output = (getattr(problem, "stderr", None) or b"").decode(errors="replace").strip()[-300:]
            reason = f"{requirement} cannot be installed: {problem} {output}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        ready.write_text(requirement)
        return folder


def build_python(folder: Path, requirement: str) -> None:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    python = str(folder / "bin" / "python")
    if uv is not None:
        _do(uv, "venv", "--python", sys.executable, str(folder))
        _do(uv, "pip", "install", "--python", python, *requirement.split())
    else:
        venv.create(folder, with_pip=True)
        _do(python, "-m", "pip", "install", "--disable-pip-version-check", *requirement.split())


def build_node(folder: Path, requirement: str) -> None:
    folder.mkdir()
    _do("npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), requirement)


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=BUILT_WITHIN)


@pytest.fixture
def run(glmv_emulator: Any) -> Callable[..., Any]:
    """run("zai", "official.py", "chat") runs a script with a client and returns the JSON that it prints."""

    def run(client: str, script: str, *arguments: str, **environment: str) -> Any:
        if client in NODE:
            if shutil.which("node") is None or shutil.which("npm") is None:
                pytest.skip("node is not on this machine")
            folder = built(client, NODE[client], build_node)
            # Node looks for packages from the script's own folder upwards, so the script is put beside them.
            command = ["node", str(shutil.copy(CLIENTS / script, folder / script))]
        else:
            folder = built(client, PYTHON[client], build_python)
            command = [str(folder / "bin" / "python"), str(CLIENTS / script)]
        variables = {"GLM_KEY": glmv_emulator.api_key, "GLM_BASE": glmv_emulator.base_url, "PATH": os.environ["PATH"]}
        done = subprocess.run(
            [*command, *arguments],
            env=variables | {"CLIENT": client} | environment,
            capture_output=True,
            text=True,
            timeout=RUNS_WITHIN,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return run


@pytest.fixture(params=["zhipuai", "zai"])
def official(request: pytest.FixtureRequest) -> str:
    """The platform's own clients: the older zhipuai and the newer zai."""
    return str(request.param)


@pytest.fixture
def chart() -> Path:
    """A real picture."""
    return ROOT / "examples" / "pictures" / "chart.png"
