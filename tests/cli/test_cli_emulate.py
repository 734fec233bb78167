"""`glmv emulate` and `python -m glmv_emulator`: one table of options for both."""

from __future__ import annotations

import inspect
import json
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from glmv_emulator import Emulator
from glmv_emulator.options import parser, running
from glmv_emulator.platform.settings import answered_by
from tests.support.fake_server import Server

GLMV = [sys.executable, "-c", "from glmv.cli import main; main()", "emulate"]
MODULE = [sys.executable, "-m", "glmv_emulator"]
# Arguments of `Emulator` that have no option: they are for tests in Python.
PYTHON_ONLY = {"largest_body", "keep_alive", "clock_offset"}
# Options that are not an argument, but a call of a method of the same name.
METHODS = {"say"}


def run(command: list[str], *options: str) -> tuple[int, str, str]:
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def emulated(*options: str) -> Any:
    return running(options, "glmv emulate")


def post(emu: Emulator, content: str = "Hello", **more: Any) -> httpx.Response:
    body = {"model": "glm-4.6v", "messages": [{"role": "user", "content": content}], **more}
    headers = {"authorization": f"Bearer {emu.api_key}"}
    return httpx.post(f"{emu.base_url}/chat/completions", json=body, headers=headers, trust_env=False)


def test_both_commands_for_the_emulator_have_the_same_help_of_at_most_80_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (code, ours, _), (other, theirs, _) = run(GLMV, "--help"), run(MODULE, "--help")
    assert (code, other) == (0, 0)
    assert ours.startswith("usage: glmv emulate [options]\n")
    assert ours.splitlines()[1:] == theirs.splitlines()[1:]
    assert [line for line in ours.splitlines() if len(line) > 80] == []


def test_the_command_emulate_has_an_option_for_each_argument_that_a_shell_can_pass() -> None:
    arguments = set(inspect.signature(Emulator).parameters) - PYTHON_ONLY
    assert vars(parser("glmv emulate").parse_args([])).keys() == arguments | METHODS


def test_options_of_emulate_have_the_defaults_of_the_emulators_arguments() -> None:
    options = vars(parser("glmv emulate").parse_args([]))
    arguments = inspect.signature(Emulator).parameters
    assert {
        name for name in options.keys() - METHODS if (options[name] or None) != (arguments[name].default or None)
    } == set()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "99999"], "an integer from 0 to 65535; got 99999"),
        (["--no-such"], "--no-such"),
        (["--era", "1999"], "'2024', '2025', '2026'"),
        (["--strict", "base65"], "base64"),
        (["--seed", "x"], "int"),
        (["--pace", "-1"], "seconds"),
        (["--pace", "nan"], "seconds"),
        (["--pace", "x"], "seconds"),
        (["--port", "x"], "integer"),
        (["--async-polls", "-1"], "integer"),
        (["--upstream-timeout", "-1"], "seconds"),
        (["--concurrency", "glm-9v=2"], "a model that the platform does not have"),
        (["--api-key", "schl\u00fcssel"], "text that a header can contain"),
        (["--async-polls", "x"], "integer"),
        (["--concurrency", "glm-4v"], "glm-4.6v=2"),
        (["--concurrency", "glm-4v=0"], "glm-4.6v=2"),
        (["--fault", "no-such"], "there is no fault 'no-such'"),
        (["--fault", "cut; deep=1"], "'cut' has no option deep"),
        (["--chance", "2"], "from 0 to 1"),
        (["--profile", "sunny"], "busy evening"),
        (["--host", ""], "address of this machine"),
        (["--api-key", ""], "text that a header can contain"),
        (["--tls", "no.pem", "such.pem"], "no.pem"),
    ],
    ids=" ".join,
)
def test_a_wrong_value_of_an_option_of_emulate_is_reported_with_exit_code_2(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, emulated(*options):
        pass
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.startswith("glmv emulate: ")
    assert error.count("\n") == 1
    assert words in error


def test_the_option_say_sets_the_texts_of_the_answers_in_order() -> None:
    with emulated("--say", "A red cat.", "--say", "Two cats.") as emu:
        answers = [post(emu).json()["choices"][0]["message"]["content"] for _ in range(3)]
    assert answers[:2] == ["A red cat.", "Two cats."]
    assert "emulator" in answers[2]


def test_the_option_upstream_uses_the_upstream_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLMV_EMULATOR_UPSTREAM_KEY", "upstream-secret")
    answer = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A cat."}}]}
    server = Server().plays(lambda peer: peer.say(answer))
    try:
        url = f"http://127.0.0.1:{server.port}/v1"
        with emulated("--upstream", url, "--upstream-model", "qwen") as emu:
            assert post(emu, "Hello").json()["choices"][0]["message"]["content"] == "A cat."
            assert answered_by(emu.upstream) == f"its answers come from {url}; the emulator is not GLM-4V"
        head, body = server.requests[0]
    finally:
        server.stop()
    assert "authorization: Bearer upstream-secret" in head
    assert json.loads(body)["model"] == "qwen"


def test_an_upstream_key_in_the_environment_without_an_upstream_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLMV_EMULATOR_UPSTREAM_KEY", "upstream-secret")
    with emulated() as emu:
        assert emu.upstream is None


@pytest.mark.parametrize("command", [GLMV, MODULE])
def test_both_commands_for_the_emulator_exit_with_2_on_a_wrong_value(command: list[str]) -> None:
    code, out, error = run(command, "--fault", "no-such")
    assert (code, out, error.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("command", [GLMV, MODULE])
def test_a_port_in_use_is_reported_in_one_sentence_with_exit_code_1(command: list[str]) -> None:
    with Emulator() as emu:
        port = emu.origin.rpartition(":")[2]
        code, out, error = run(command, "--port", port)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert f"cannot listen on port {port} of 127.0.0.1" in error


def test_a_file_that_is_not_a_certificate_is_refused_by_the_option_tls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (wrong := tmp_path / "wrong.pem").write_text("no certificate")
    with pytest.raises(SystemExit) as ended, emulated("--tls", str(wrong), str(wrong)):
        pass
    assert ended.value.code == 2
    assert "a certificate and its key" in capsys.readouterr().err


def test_options_of_emulate_take_effect_in_the_emulator(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--api-key", "shell-id.shell-secret", "--strict", "base64", "--strict", "stop-one", "--seed", "3"]
    options += ["--concurrency", "glm-4.6v=1", "--fault", "busy", "--fault", "status-503", "--async-polls", "0"]
    with emulated(*options) as emu:
        assert emu.api_key == "shell-id.shell-secret"
        assert [post(emu).status_code for _ in range(3)] == [429, 503, 200]
        assert post(emu, stop=["a", "b"]).status_code == 400
    assert capsys.readouterr().err == ""


def test_an_emulator_with_a_certificate_uses_https(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run([*make, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl here")
    with emulated("--tls", str(certificate), str(key)) as emu:
        trusted = ssl.create_default_context(cafile=str(certificate))
        assert emu.origin.startswith("https://")
        assert httpx.get(emu.origin, verify=trusted, trust_env=False).status_code == 200


def test_an_emulator_reachable_from_the_network_prints_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    with emulated("--host", "0.0.0.0") as emu:
        assert post(emu).status_code == 200
    warning = capsys.readouterr().err
    assert "WARNING: this emulator listens on 0.0.0.0." in warning
    assert "Anybody on the network" in warning


def test_the_documentation_lists_every_option_of_emulate() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
    listed = set(re.findall(r"^\| .*?`(--[a-z-]+)", page, re.MULTILINE))
    assert {name for action in parser("glmv emulate")._actions for name in action.option_strings[-1:]} - listed == {
        "--help"
    }
