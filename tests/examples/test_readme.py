"""Every Python block and command of the README runs unchanged; its tables and samples are up to date."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glmv.cli.app import app
from glmv_emulator import Emulator
from tests.examples.conftest import RunCode, write_clip

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text("utf-8")


def blocks(text: str, language: str = "python") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


BLOCKS = blocks(README) + [code for code in blocks(CHINESE) if code not in blocks(README)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a README reader: a photograph, a folder of photographs, a short video, all of 600 x 400 pixels."""
    here = tmp_path_factory.mktemp("reader")
    (here / "photos").mkdir()
    for name in ("photo.jpg", "photos/coffee.jpg"):
        shutil.copy(ROOT / "examples" / "pictures" / "coffee.jpg", here / name)
    shutil.copy(ROOT / "examples" / "pictures" / "chart.png", here / "photos")
    write_clip(here / "clip.mp4")
    return here


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("code", BLOCKS, ids=[f"block{number}" for number in range(1, len(BLOCKS) + 1)])
def test_every_code_block_of_the_readme_runs_unchanged(code: str, folder: Path, run_code: RunCode) -> None:
    printed = run_code(code, folder)
    assert "600" in printed, "the answer does not say how wide the picture is"
    assert "400" in printed, "the answer does not say how high the picture is"


COMMAND = re.compile(r"^(?:[^`]*`)?(glmv (?:ask|batch|models|doctor)[^`#\n]*)", re.MULTILINE)
COMMANDS = sorted({*COMMAND.findall(README), *COMMAND.findall(CHINESE)})


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("command", COMMANDS)
def test_every_glmv_command_of_the_readme_ends_without_an_error(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with Emulator() as emu:
        env = {"ZHIPUAI_API_KEY": emu.api_key, "ZHIPUAI_BASE_URL": emu.base_url}
        result = CliRunner().invoke(app, shlex.split(command)[1:], env=env)
    assert result.exit_code == 0, result.output


def test_the_readme_shows_the_three_commands_ask_and_batch_and_doctor() -> None:
    assert {"ask", "batch", "doctor"} <= {command.split()[1] for command in COMMANDS}


def test_the_chinese_readme_has_the_same_structure_as_the_english_one() -> None:
    def shape(text: str) -> list[list[str]]:
        prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        code = [re.sub(r'"[^"]*"| *#.*', "", one) for one in blocks(text)]
        heads = [line.split(" ")[0] for line in text.splitlines() if line.startswith("#")]
        links = [link.replace("docs/zh/", "docs/") for link in re.findall(r"\]\(([^)]+)\)", text)]
        names = [re.sub(r'"[^"]*"', "", name) for name in re.findall(r"`([^`]+)`", prose)]
        return [code, heads, sorted({*links} - other), sorted({*names})]

    other = {"README.md", "README.zh-CN.md", "docs/quickstart.md"}
    assert shape(CHINESE) == shape(README)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_table_of_models_in_the_readme_equals_the_catalogue(name: str) -> None:
    models = runpy.run_path(str(ROOT / "docs" / "models.py"))
    text = (ROOT / name).read_text("utf-8")
    assert models["readme"](text, models["WORDS"][name]) == text, "python docs/models.py --readme writes it"


def test_every_file_that_the_readme_links_to_exists() -> None:
    linked = re.findall(r"\]\(((?!http)[^)#]+)", README + CHINESE)
    assert [name for name in linked if not (ROOT / name).exists()] == []


def test_the_readme_has_at_most_900_words_besides_code_and_tables() -> None:
    prose = re.sub(r"^```.*?^```|^\|.*?$|<!--.*?-->", "", README, flags=re.DOTALL | re.MULTILINE)
    assert len(re.sub(r"\]\([^)]*\)", "]", prose).split()) <= 900


@pytest.mark.parametrize("address", ["", "https://code.example/glmv"])
def test_the_readme_for_a_package_index_has_only_https_links_to_existing_files(address: str) -> None:
    shown = runpy.run_path(str(ROOT / "docs" / "package_readme.py"))["for_index"](README, address)
    targets = re.findall(r"\]\(([^)]+)\)", re.sub(r"^```.*?^```", "", shown, flags=re.DOTALL | re.MULTILINE))
    assert targets
    assert [target for target in targets if not target.startswith("https://")] == []
    ours = [target for target in targets if target.startswith(f"{address}/")] if address else []
    assert [target for target in ours if not (ROOT / re.sub(r"^.*/(raw|blob)/main/", "", target)).exists()] == []
    assert bool(ours) == bool(address)
    assert ("![" in shown) == bool(address)
    assert blocks(shown) == blocks(README)


def test_the_metadata_of_the_package_contain_the_readme_made_for_a_package_index() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    hook = runpy.run_path(str(ROOT / project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["path"]))
    metadata: dict[str, dict[str, str]] = {}
    hook["CustomMetadataHook"].update(None, metadata)
    assert metadata["readme"]["content-type"] == "text/markdown"
    assert metadata["readme"]["text"] == hook["for_index"](README, project["tool"]["glmv"]["repository"])
