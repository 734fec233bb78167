"""The commands `ask`, `models` and `emulate`, as a user runs them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import glmv
from glmv.cli.app import app
from glmv.cli.terminal import harmless
from glmv_emulator import Emulator

PICTURES = Path(__file__).parents[2] / "examples" / "pictures"


def run(*words: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words), env=env)
    return result.exit_code, result.stdout, result.stderr


def test_the_command_ask_prints_the_answer_on_stdout_and_token_counts_on_stderr() -> None:
    with Emulator() as emu:
        env = {"ZHIPUAI_API_KEY": emu.api_key, "ZHIPUAI_BASE_URL": emu.base_url}
        code, answer, facts = run("ask", str(PICTURES / "coffee.jpg"), "How large is this picture?", env=env)
    assert code == 0, facts
    assert "600" in answer
    assert "tokens" not in answer
    assert re.search(r"\d+ \+ \d+ tokens", facts)


def test_the_command_ask_with_the_emulator_needs_no_key_and_names_the_emulator() -> None:
    code, answer, facts = run("ask", "--emulator", str(PICTURES / "chart.png"), "How large is this picture?")
    assert code == 0, facts
    assert "800" in answer
    assert "EMULATOR" in facts


def test_the_error_of_the_command_ask_without_a_key_names_the_variable_to_set() -> None:
    code, answer, error = run("ask", str(PICTURES / "coffee.jpg"), "What is this?")
    assert (code, answer) == (1, "")
    assert "ZHIPUAI_API_KEY" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("file", ["missing.jpg", "draw.py"])
def test_the_error_for_a_file_that_is_not_a_picture_names_the_file(file: str) -> None:
    code, _, error = run("ask", "--emulator", str(PICTURES / file), "What is this?")
    assert code == 1
    assert file in error.replace("\n", "")


def test_the_command_models_lists_every_vision_model() -> None:
    code, table, _ = run("models", env={"COLUMNS": "140"})
    assert code == 0
    assert [model.name for model in glmv.models() if model.sees and model.name not in table] == []


def test_the_command_emulate_prints_the_variables_to_set_and_ends_at_ctrl_c() -> None:
    command = [sys.executable, "-c", "from glmv.cli import main; main()", "emulate"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = ""
        for line in process.stdout:
            output += line
            if "ZHIPUAI_API_KEY=" in line:
                break
        exported = dict(re.findall(r"^export (\w+)=(\S+)", output, re.MULTILINE))
        with glmv.Client(exported["ZHIPUAI_API_KEY"], base_url=exported["ZHIPUAI_BASE_URL"]) as client:
            answer = client.chat([glmv.Image.from_path(PICTURES / "cat.jpg"), "How large is this picture?"])
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    assert "EMULATOR" in output
    assert "451" in answer.text


def test_control_characters_of_an_answer_do_not_reach_the_terminal() -> None:
    assert harmless("red\x1b[2J\x9b1m \u202egpj.\r\n\tend") == "red\ufffd[2J\ufffd1m \ufffdgpj.\n\tend"
