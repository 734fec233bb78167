"""The wheel in an empty environment, as a new user installs and calls it. `make test-wheel` uses a package index."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import venv
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.wheel


def run(command: str, here: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in the empty environment, without the variables that point to this checkout or to a key."""
    ours = ("PYTHON", "ZHIPUAI", "ZAI", "GLMV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    kept["PATH"] = f"{here / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    words = shlex.split(command)
    return subprocess.run(words, cwd=here, env=kept, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a photo of the user, the wheel and an empty environment."""
    wheels = sorted((ROOT / "dist").glob("glmv-*.whl"))
    assert wheels, "there is no wheel: make dist"
    here = tmp_path_factory.mktemp("newcomer")
    shutil.copy(wheels[-1], here)
    Image.new("RGB", (321, 123), (200, 30, 40)).save(here / "photo.jpg")
    venv.create(here / "venv", with_pip=True)
    return here


def test_glmv_ask_answers_a_question_about_a_users_picture_after_pip_install(newcomer: Path) -> None:
    wheel = next(newcomer.glob("*.whl")).name
    installed = run(f'pip install --quiet "./{wheel}[cli,emulator]"', newcomer)
    assert installed.returncode == 0, installed.stderr
    answer = run('glmv ask --emulator photo.jpg "What is in this picture?"', newcomer)
    assert answer.returncode == 0, answer.stderr
    assert "321 x 123 pixels" in " ".join(answer.stdout.split())
    assert "Traceback" not in answer.stderr


def test_the_wheel_contains_the_sample_pictures(newcomer: Path) -> None:
    code = "from glmv_emulator import samples; print(*(samples.picture(name) for name in samples.NAMES), sep='\\n')"
    result = run(f'python -c "{code}"', newcomer)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.split()) == 10
    assert str(ROOT) not in result.stdout


def test_the_command_prints_the_version_of_the_wheel(newcomer: Path) -> None:
    version = next(newcomer.glob("*.whl")).name.split("-")[1]
    assert run("glmv --version", newcomer).stdout.strip() == f"glmv {version}"
