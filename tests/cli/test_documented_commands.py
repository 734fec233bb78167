"""Every command in docs/cli.md, docs/batch.md and the help texts runs as written."""

from __future__ import annotations

import json
import pickle
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image as Picture
from typer.testing import CliRunner

import glmv
from glmv.cli.app import app
from glmv.cli.terminal import CLOSED_PIPE, FAILED, FAULT, INTERRUPTED, WRONG_USE, failures_as_exit_codes
from glmv_batch import Job
from glmv_emulator import Emulator
from glmv_emulator.options import running
from glmv_emulator.shells import assignments
from tests.emulator.platform.test_emulator_videos import clip

DOCS = Path(__file__).parents[2] / "docs"
# The models that the platform's own batches take pictures for.
OF_BATCHES = "glm-4v, glm-4v-plus and glm-4v-plus-0111"


def commands() -> list[str]:
    """The commands in code spans and lines of code, without incomplete ones: a bare `glmv ask`, or one with `...`."""
    pages = ("cli.md", "batch.md", "zh/cli.md", "zh/batch.md")
    text = "".join((DOCS / name).read_text("utf-8") for name in pages)
    matches = re.findall(r"`(glmv [^`]+)`|^(glmv .+)$", text, re.MULTILINE)
    lines = [span or line for span, line in matches]
    alone = {"glmv models", "glmv doctor"}
    return sorted({one for one in lines if (len(one.split()) > 2 or one in alone) and " ... " not in one})


def helped(*words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "400", "TERM": "dumb"})
    assert result.exit_code == 0
    return " ".join(result.output.split())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the documents name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "scans").mkdir()
    for name in ("photo.jpg", "form.png", "photos/1.jpg", "photos/2.png", "scans/1.png", "scans/2.png"):
        Picture.new("RGB", (60, 40), "teal").save(tmp_path / name)
    (tmp_path / "clip.mp4").write_bytes(clip(3))
    (tmp_path / "rows.csv").write_text("title,photo\nOne,photos/1.jpg\nTwo,photos/2.png\n")
    for name in ("form.json", "row.json"):
        schema = {"type": "object", "properties": {"width": {"type": "integer"}}, "required": ["width"]}
        (tmp_path / name).write_text(json.dumps(schema))
    return tmp_path


def test_the_documentation_has_at_least_15_commands_to_run() -> None:
    assert len(commands()) >= 15


@pytest.mark.parametrize("command", commands())
@pytest.mark.usefixtures("folder")
def test_a_documented_command_runs_as_written(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glmv_batch._batches.FIRST_PAUSE", 0.01)
    line, _, input_file = command.partition(" < ")
    words = shlex.split(line)[1:]
    if words[0] == "emulate":  # it runs until Ctrl-C
        options = ["0" if word == "8765" else word for word in words[1:]]  # that port may be taken
        with running(options, "glmv emulate") as emu, glmv.Client(emu.api_key, base_url=emu.base_url) as glm:
            assert glm.chat("hi").text
        return
    with Emulator() as emu:
        env = {"ZHIPUAI_API_KEY": emu.api_key, "ZHIPUAI_BASE_URL": emu.base_url, "ZAI_API_KEY": ""}
        result = CliRunner().invoke(app, words, env=env, input=Path(input_file).read_bytes() if input_file else None)
    assert result.exit_code == 0, result.output
    if "--out" in words or "-o" in words:
        assert Path(words[words.index("-o") + 1]).stat().st_size


def test_every_documented_budget_is_valid_for_the_default_model(folder: Path) -> None:
    text = (DOCS / "batch.md").read_text("utf-8") + (DOCS / "cli.md").read_text("utf-8") + helped("batch")
    text += str(Job.__doc__)
    budgets = set(re.findall(r"""["'`]([^"'`\n]*\d(?: ?(?:[$元]|CNY|USD|tokens|yuan|dollars))?)["'`]""", text))
    budgets = {budget for budget in budgets if re.search(r"[$¥元]|CNY|RMB|USD|tokens|yuan|dollars", budget)}
    assert {"10 CNY", "$3", "10元", "RMB 10", "3 dollars", "3$"} <= budgets
    for budget in budgets:
        with Emulator() as emu:
            job = Job("photos", "What?", api_key=emu.api_key, base_url=emu.base_url, budget=budget)
            assert job.write(folder / f"{len(budget)}.jsonl").failed == 0


@pytest.mark.parametrize("budget", ["10 CNY", "$3", "3 USD", "¥10", "RMB 10", "10元", "3$"])
@pytest.mark.parametrize("model", ["glm-4.6v", "glm-4.5v", "glm-4.6v-flash", "glm-4.6v-flashx", "glm-5.3-flash"])
@pytest.mark.usefixtures("folder")
def test_a_budget_in_usd_or_cny_is_accepted_on_the_command_line(model: str, budget: str) -> None:
    with Emulator() as emu:
        env = {"ZHIPUAI_API_KEY": emu.api_key, "ZHIPUAI_BASE_URL": emu.base_url}
        words = ["batch", "photos", "Describe it.", "-o", "out.jsonl", "-m", model, "--budget", budget]
        result = CliRunner().invoke(app, words, env=env)
    assert result.exit_code == 0, result.output
    assert "USD" not in result.stderr
    assert "free" in result.stderr


def test_the_commands_that_set_variables_have_the_syntax_of_each_shell() -> None:
    lines = [line for line in assignments({"ZHIPUAI_API_KEY": "..."}).splitlines() if "API_KEY" in line]
    assert lines == ["export ZHIPUAI_API_KEY=...", "$env:ZHIPUAI_API_KEY = '...'", 'set "ZHIPUAI_API_KEY=..."']
    text = (DOCS / "cli.md").read_text("utf-8")
    assert [line for line in lines if line not in text] == []
    awkward = assignments({"A": "it's $HOME; x"}).splitlines()
    assert "export A='it'\"'\"'s $HOME; x'" in awkward
    assert "$env:A = 'it''s $HOME; x'" in awkward


def test_the_documentation_lists_every_exit_code_of_the_commands() -> None:
    text = (DOCS / "cli.md").read_text("utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert listed == {0, FAILED, WRONG_USE, FAULT, INTERRUPTED, CLOSED_PIPE}


def test_each_text_on_the_price_of_batches_names_the_models_that_support_batches() -> None:
    root = DOCS.parent
    for text in (
        helped("batch"),
        *(
            path.read_text("utf-8")
            for path in (root / "README.md", DOCS / "cli.md", DOCS / "batch.md", *root.glob("glmv*/**/*.py"))
        ),
    ):
        even = " ".join(text.replace('" "', "").split())
        assert "half the price" not in even or OF_BATCHES in even
    assert "半价" in (chinese := (root / "README.zh-CN.md").read_text("utf-8"))
    assert "glm-4v、glm-4v-plus 和 glm-4v-plus-0111" in chinese
    names = [model.name for model in glmv.models() if model.batch]
    assert f"{', '.join(names[:-1])} and {names[-1]}" == OF_BATCHES


def test_the_command_ask_prints_no_price_for_an_answer_of_the_emulator(folder: Path) -> None:
    result = CliRunner().invoke(app, ["ask", "--emulator", str(folder / "photo.jpg"), "How large is it?"])
    assert result.exit_code == 0, result.output
    assert not re.search(r"USD|CNY|free", result.stderr)


@pytest.mark.usefixtures("folder")
def test_the_error_for_thinking_false_names_the_option_for_less_thinking() -> None:
    with Emulator() as emu, glmv.Client(emu.api_key, base_url=emu.base_url, model="glm-5.3-flash") as glm:
        with pytest.raises(glmv.InvalidRequestError) as refused:
            glm.chat("hi", thinking=False)
        assert 'reasoning_effort="low"' in " ".join(refused.value.__notes__)
        for message in (str(refused.value), refused.value.message, refused.value.args[0]):
            assert 'reasoning_effort="low"' in message
        assert glm.chat("hi", reasoning_effort="low").text


def test_the_error_for_disabled_thinking_names_reasoning_effort_in_every_interface(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from langchain_glmv import ChatGLMV
    from llama_index_glmv import GLMV

    with Emulator() as emu:
        settings: dict[str, Any] = {
            "api_key": emu.api_key,
            "base_url": emu.base_url,
            "model": "glm-5.3-flash",
            "thinking": False,
        }
        with glmv.Client(**settings) as glm:
            for ask in (
                lambda: glm.chat("hi"),
                lambda: list(glm.stream("hi")),
                lambda: glm.tasks.submit("hi"),
                lambda: ChatGLMV(**settings).invoke("hi"),
                lambda: list(ChatGLMV(**settings).stream("hi")),
                lambda: GLMV(**settings).complete("hi"),
            ):
                with pytest.raises(glmv.InvalidRequestError) as refused:
                    ask()
                assert str(refused.value).count('reasoning_effort="low"') == 1
                assert 'reasoning_effort="low"' in str(pickle.loads(pickle.dumps(refused.value)))
    with pytest.raises(typer.Exit), failures_as_exit_codes():  # as the commands report it
        raise refused.value
    assert capsys.readouterr().err.replace("\n", " ").count("--reasoning-effort low") == 1
