"""`glmv doctor` reports problems of a set-up, and prints no secrets."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

import glmv
from glmv.cli.app import app
from glmv.cli.cost import money
from glmv.cli.preview import drawn, protocol
from glmv_emulator import Emulator

PICTURES = Path(__file__).parents[2] / "examples" / "pictures"


def run(*words: str, env: dict[str, str] | None = None, input: bytes | None = None) -> tuple[int, str]:  # noqa: A002
    result = CliRunner().invoke(app, list(words), env=env, input=input)
    return result.exit_code, result.output


def test_doctor_reports_a_working_set_up_and_does_not_print_the_key() -> None:
    with Emulator() as emu:
        env = {"ZHIPUAI_API_KEY": emu.api_key, "ZHIPUAI_BASE_URL": emu.base_url, "COLUMNS": "200"}
        code, output = run("doctor", "--ask", env=env)
    assert code == 0, output
    assert env["ZHIPUAI_BASE_URL"] in output
    assert "is reachable" in output
    assert "answered" in output
    assert emu.api_key not in output
    assert emu.api_key.partition(".")[2] not in output


def test_doctor_reports_a_missing_key_and_exits_with_1() -> None:
    code, output = run("doctor")
    assert code == 1
    assert "ZHIPUAI_API_KEY" in output


def test_doctor_reports_an_unreachable_server() -> None:
    env = {"ZHIPUAI_API_KEY": "test-id.test-secret", "ZHIPUAI_BASE_URL": "http://127.0.0.1:9/api/paas/v4"}
    code, output = run("doctor", env=env)
    assert code == 1
    assert "not reachable" in output


def test_the_option_json_of_the_command_ask_prints_text_and_usage_as_json() -> None:
    code, output = run("ask", "--emulator", "--json", str(PICTURES / "coffee.jpg"), "How large is it?")
    assert code == 0, output
    answer = json.loads(output)
    assert "600" in answer["text"]
    assert answer["usage"]["total_tokens"] > 0


def test_the_command_ask_reads_pictures_from_a_pattern_and_from_standard_input(tmp_path: Path) -> None:
    code, output = run("ask", "--emulator", "--json", str(PICTURES / "*.png"), "Which picture is larger?")
    assert code == 0, output
    code, output = run(
        "ask", "--emulator", "--json", "-", "How large is it?", input=(PICTURES / "cat.jpg").read_bytes()
    )
    assert code == 0, output
    code, output = run("ask", "--emulator", str(tmp_path / "*.png"), "What?")
    assert code == 1
    assert "matches" in output


def test_the_command_ask_with_a_schema_prints_an_answer_that_fits_the_schema(tmp_path: Path) -> None:
    schema = tmp_path / "size.json"
    schema.write_text(
        json.dumps({"type": "object", "properties": {"height": {"type": "integer"}}, "required": ["height"]})
    )
    code, output = run(
        "ask", "--emulator", "--json", "--schema", str(schema), str(PICTURES / "coffee.jpg"), "Measure it."
    )
    assert code == 0, output
    assert json.loads(json.loads(output)["text"]) == {"height": 400}


CNY_HOST, USD_HOST = "https://open.bigmodel.cn/api/paas/v4", "https://api.z.ai/api/paas/v4"


def test_the_cost_is_shown_in_the_servers_currency_with_the_month_of_the_price() -> None:
    usage = glmv.Usage(10_000, 1_000, 11_000)
    assert money("glm-4.6v", usage, CNY_HOST) == "0.013 CNY at the prices of 2026-08"
    assert money("glm-4.6v", usage, USD_HOST) == "0.0039 USD at the prices of 2026-06"
    cached = glmv.Usage(10_000, 1_000, 11_000, cached_tokens=8_000)
    assert money("glm-4.6v", cached, USD_HOST) == "0.0019 USD at the prices of 2026-06"


def test_the_cost_is_empty_if_no_price_is_known() -> None:
    usage = glmv.Usage(1_000_000, 0, 1_000_000)
    assert money("glm-4.6v-flash", usage, CNY_HOST) == money("glm-4.6v-flash", usage, USD_HOST) == "free"
    assert money("somebody-elses-model", usage, CNY_HOST) == ""
    assert money("glm-4v-plus-0111", usage, USD_HOST) == ""
    assert money("glm-4.6v", usage, "http://127.0.0.1:8765/api/paas/v4") == ""
    assert money("glm-4.6v", None, CNY_HOST) == ""


def test_pictures_are_shown_with_the_graphics_protocol_of_the_terminal() -> None:
    png = glmv.Image.from_path(PICTURES / "chart.png")
    assert protocol({"TERM": "xterm-kitty"}) == "kitty"
    assert protocol({"TERM_PROGRAM": "iTerm.app"}) == "iterm"
    assert protocol({"TERM": "xterm-256color"}) is None
    sequence = drawn(png, "kitty")
    assert sequence.startswith("\x1b_Ga=T,f=100,")
    assert all(len(piece) < 4200 for piece in sequence.split("\x1b\\"))
    assert drawn(png, "iterm").endswith("\a\n")


def test_a_photograph_is_converted_to_a_small_png_for_the_terminal() -> None:
    sequence = drawn(glmv.Image.from_path(PICTURES / "coffee.jpg"), "kitty")
    assert sequence.startswith("\x1b_Ga=T,f=100,")


def test_a_truncated_picture_is_not_shown_in_the_terminal() -> None:
    torn = glmv.Image.from_bytes((PICTURES / "coffee.jpg").read_bytes()[:2000])
    assert drawn(torn, "kitty") == ""


def test_doctor_connects_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glmv.transport.proxies.is_loopback", lambda host: False)
    with socket.create_server(("127.0.0.1", 0)) as proxy, Emulator() as emu:
        port = proxy.getsockname()[1]
        env = {
            "ZHIPUAI_API_KEY": emu.api_key,
            "ZHIPUAI_BASE_URL": emu.base_url,
            "HTTP_PROXY": f"http://user:canary-word@127.0.0.1:{port}",
            "COLUMNS": "300",
        }
        answering = threading.Thread(target=_answers_once, args=(proxy,))
        answering.start()
        code, output = run("doctor", env=env)
        answering.join()
        assert code == 0, output
        assert f"is reachable through the proxy 127.0.0.1:{port} (HTTP_PROXY)" in output
        assert "canary-word" not in output
        proxy.close()
        code, output = run("doctor", env=env)
    assert code == 1
    assert f"No connection to the proxy 127.0.0.1:{port} (HTTP_PROXY)" in " ".join(output.split())


def _answers_once(proxy: socket.socket) -> None:
    near, _ = proxy.accept()
    with near:
        request = near.recv(65536)
        assert b"authorization: bearer" not in request.lower()
        near.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSL_CERT_FILE", "/nowhere/ca.pem"),
        ("SSLKEYLOGFILE", "/nowhere/keys"),
        ("HTTPS_PROXY", "gopher://u:canary-word@h:1"),
        ("ALL_PROXY", "socks4://u:canary-word@h:1"),
    ],
)
def test_doctor_marks_an_unusable_environment_variable_as_bad(variable: str, value: str) -> None:
    env = {"ZHIPUAI_API_KEY": "test-id.test-secret", "COLUMNS": "300", variable: value}
    code, output = run("doctor", env=env)
    assert code == 1
    bad = next(line for line in output.splitlines() if line.startswith("bad "))
    assert variable in bad
    assert "canary-word" not in output
    with Emulator() as emu:
        code, output = run("doctor", env=env | {"ZHIPUAI_API_KEY": emu.api_key, "ZHIPUAI_BASE_URL": emu.base_url})
    assert code == 0, output  # this machine needs none of them


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


def doctor_lines(env: dict[str, str]) -> list[str]:
    with Emulator() as emu:
        own = {"ZHIPUAI_API_KEY": emu.api_key, "ZHIPUAI_BASE_URL": emu.base_url, "COLUMNS": "300"}
        code, output = run("doctor", env=own | env)
    assert code == 0, output
    return [line.strip() for line in output.splitlines()]


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY", "no_proxy"])
def test_doctor_prints_the_name_of_a_proxy_variable_in_the_spelling_that_is_set(no_proxies: None, name: str) -> None:
    lines = doctor_lines({name: "p.example:3128"})
    assert f"{name} is set: p.example:3128" in lines
    assert not any(line.startswith(name.swapcase()) for line in lines)


def test_doctor_says_which_spelling_of_a_proxy_variable_is_not_used_if_both_are_set(no_proxies: None) -> None:
    lines = doctor_lines({"https_proxy": "http://a.example:1", "HTTPS_PROXY": "http://b.example:2"})
    assert "https_proxy is set: http://a.example:1" in lines
    assert "HTTPS_PROXY is set, but not used: https_proxy takes precedence" in lines
    assert "HTTPS_PROXY is set, but not used: https_proxy takes precedence and is empty" in doctor_lines(
        {"https_proxy": "", "HTTPS_PROXY": "http://b.example:2"}
    )


def test_doctor_names_each_ignored_value_of_the_variable_no_proxy(no_proxies: None) -> None:
    lines = doctor_lines({"NO_PROXY": "localhost, 10.*, *.bigmodel.cn,10.0.0.0/8"})
    assert "NO_PROXY contains '10.*', which is not a host and is ignored" in lines
    assert sum("is ignored" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("env", "line"),
    [
        ({"ZHIPUAI_API_KEY": ""}, "bad No API key: set ZHIPUAI_API_KEY (bigmodel.cn) or ZAI_API_KEY (z.ai)."),
        (
            {"ZHIPUAI_API_KEY": "a.b", "GLMV_BASE_URL": "http://models.example/v1"},
            "bad The base URL would send the key and the pictures unencrypted to models.example: use https://.",
        ),
    ],
)
def test_each_error_of_doctor_is_one_line_that_names_variables_and_not_arguments(
    env: dict[str, str], line: str
) -> None:
    code, output = run("doctor", env=env)
    assert code == 1
    assert line in output.splitlines()
