"""Every command ends with an answer, or with one sentence and a documented exit code."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from typer.testing import CliRunner

import glmv
from glmv.cli.app import app
from glmv_emulator import Emulator

COMMAND = [sys.executable, "-c", "from glmv.cli import main; main()"]
DOCUMENTED = {0, 1, 2}  # of what a runner can call for; 70, 130 and 141 are below


@pytest.fixture(scope="module")
def emu() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of each kind, good and bad."""
    here = tmp_path_factory.mktemp("misuse")
    for name in ("photos", "empty", "photos/inner", "a.jpg"):  # a folder may be called like a picture
        (here / name).mkdir()
    for name in ("one.png", "two.jpg", "photos/1.jpg", "photos/图.png", "has space.png"):
        Picture.new("RGB", (40, 30), "teal").save(here / name)
    (here / "broken.jpg").write_bytes((here / "two.jpg").read_bytes()[:200])
    (here / "nothing.png").write_bytes(b"")
    (here / "notes.txt").write_text("words")
    (here / "clip.mp4").write_bytes(b"no video")
    (here / "rows.csv").write_text("id,photo\n1,one.png\n2,none.png\n")
    (here / "latin.csv").write_bytes("id,photo\n1,caf\u00e9.png\n".encode("latin-1"))
    (here / "rows.jsonl").write_text('{"photo": "one.png"}\n[1]\n')
    (here / "bad.parquet").write_bytes(b"PAR1")
    (here / "schema.json").write_text('{"type": "object", "properties": {"width": {"type": "integer"}}}')
    (here / "list.json").write_text("[1]")
    (here / "wrong.json").write_text('{"type": 5}')
    (here / "deep.json").write_text("[" * 50_000)
    (here / "torn.json").write_text("{")
    (here / "utf16.json").write_text('{"type": "object"}', encoding="utf-16")
    (here / "out.jsonl.ledger").write_text("no ledger")
    return here


def run(emu: Emulator, folder: Path, words: list[str], data: bytes = b"") -> Any:
    env = {"ZHIPUAI_API_KEY": emu.api_key, "ZHIPUAI_BASE_URL": emu.base_url, "COLUMNS": "80"}
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(app, words, env=env, input=data)
    finally:
        os.chdir(before)


FILES = (
    *(
        "one.png",
        "two.jpg",
        "photos",
        "empty",
        "a.jpg",
        "broken.jpg",
        "nothing.png",
        "notes.txt",
        "clip.mp4",
        "rows.csv",
    ),
    *(
        "latin.csv",
        "rows.jsonl",
        "bad.parquet",
        "none.png",
        "*.png",
        "*.none",
        "photos/*",
        "**/*.jpg",
        "-",
        "",
        ".",
        "/",
    ),
    *(
        "has space.png",
        "schema.json",
        "list.json",
        "wrong.json",
        "deep.json",
        "torn.json",
        "utf16.json",
        "[",
        "one.png/x",
    ),
    *("ftp://x/y.jpg", "http://", "https://[", "data:image/png;base64,AAAA", "/dev/null", "x" * 300, "~nobody/a.png"),
)
WORDS = (
    "What is this?",
    "How",
    "large",
    "红色?",
    "\U0001f600",
    "--",
    "\udcff",
    "-1",
    "@",
    "%s",
    "[red]bold",
    "{}",
    "'",
    "\\",
)
VALUES = (
    *(
        "0",
        "-1",
        "1",
        "10",
        "nan",
        "1e9",
        "x",
        "glm-4.6v",
        "glm-4v-flash",
        "glm-5",
        "no-such-model",
        "$3",
        "10 CNY",
        "10 EUR",
    ),
    *(
        "platform",
        "calls",
        "json",
        "bar",
        "input",
        "out.jsonl",
        "new.jsonl",
        "new.csv",
        "no/folder.jsonl",
        "new.parquet",
    ),
    *(
        "photo",
        "ftp://x",
        "nonsense",
        "http://example.com",
        "https://u:p@example.com",
        "https://x:99999999",
        "low",
        "huge",
    ),
)
OPTIONS = (
    *("--model", "-m", "--base-model", "--json", "--schema", "--no-preview", "--system", "--thinking", "--no-thinking"),
    *("--reasoning-effort", "--max-tokens", "--show-thinking", "--out", "-o", "--column", "--retry-failed", "--budget"),
    *(
        "--concurrency",
        "--via",
        "--order",
        "--progress",
        "--all",
        "--help",
        "--version",
        "--emulator",
        "--no-such",
        "-x",
    ),
)
BASES = ("ftp://x", "nonsense", "", "http://example.com", "https://u:p@example.com", "https://x:99999999", "http://[")
word = st.one_of(
    *(st.sampled_from(each) for each in (FILES, WORDS, VALUES, OPTIONS)),
    st.text(st.characters(exclude_characters="\0", exclude_categories=()), max_size=8),
)
pairs = st.one_of(
    st.tuples(st.sampled_from(OPTIONS), st.sampled_from(FILES + VALUES)).map(list),
    st.tuples(st.just("--base-url"), st.sampled_from(BASES)).map(list),
    word.map(lambda one: [one]),
)
commands = st.one_of(
    st.sampled_from(["ask", "batch", "models", "doctor"]).map(lambda one: [one]),
    st.just(["batch", "photos", "Q", "-o", "new.jsonl"]),
    st.just(["ask", "one.png", "Q"]),
    st.just(["emulate", "--no-such"]),
    word.filter(lambda one: one != "emulate").map(lambda one: [one]),
    st.just([]),
)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(commands, st.lists(pairs, max_size=5), st.sampled_from([b"", b"\xff\xfe", b"What?", b"\x89PNG"]))
def test_the_command_glmv_prints_no_traceback_for_any_arguments(
    emu: Emulator, folder: Path, command: list[str], rest: list[list[str]], data: bytes
) -> None:
    words = command + [word for pair in rest for word in pair]
    result = run(emu, folder, words, data)
    assert result.exception is None or isinstance(result.exception, SystemExit), shlex.join(map(repr, words))
    assert result.exit_code in DOCUMENTED
    assert "Traceback" not in result.stderr
    if result.exit_code and words and "doctor" not in words:
        assert result.stderr.strip()
        assert sum(line.startswith("error: ") for line in result.stderr.splitlines()) <= 1


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("ask one.png How large is it", 1, 'glmv ask one.png "How large is it"'),
        ("ask photos 'What?'", 1, '"photos/*"'),
        ("ask photos 'What?'", 1, "glmv batch photos"),
        ("ask photos", 1, 'glmv ask "photos/*"'),
        ("ask 'What?' one.png", 1, "The question comes last"),
        ("ask none.png 'What?'", 1, "the file 'none.png' does not exist"),
        ("ask '*.none' 'What?'", 1, "No file matches '*.none'"),
        ("ask one.png 'What?' --max-tokens 0", 2, "--max-tokens"),
        ("ask one.png 'What?' --max-tokens 9999999", 1, "--max-tokens: glm-4.6v generates at most 32,768 tokens"),
        ("ask one.png 'What?' -m glm-5", 1, "glm-5 does not accept pictures"),
        ("ask one.png 'What?' -m glm-5", 1, "glmv models lists them"),
        ("ask one.png 'What?' -m glm-4v-flash", 1, "Give a public URL in place of the file"),
        ("ask broken.jpg 'What?'", 1, "broken.jpg"),
        ("ask", 2, "glmv ask --help"),
        ("asks one.png", 2, "Did you mean 'ask'?"),
        ("one.png 'What?'", 2, "glmv ask one.png"),
        ("batch 'What?' photos -o new.jsonl", 1, "glmv batch photos"),
        ("batch photos What is it -o new.jsonl", 1, 'glmv batch photos "What is it" -o new.jsonl'),
        ("batch photos 'What?'", 2, "--out"),
        ("batch photos 'What?' -o out.jsonl", 1, "out.jsonl.ledger is not a ledger"),
        ("batch photos 'What?' -o new.txt", 1, ".jsonl"),
        ("batch photos 'What?' -o new.jsonl --schema torn.json", 1, "torn.json is not a JSON Schema"),
        ("batch photos 'What?' -o new.jsonl --schema list.json", 1, "list.json is not a JSON Schema"),
        ("batch photos 'What?' -o new.jsonl --schema none.json", 1, "none.json cannot be read"),
        ("batch rows.csv 'What?' -o c.jsonl --column none", 1, "Name the column (--column)"),
        ("batch photos 'What?' -o b.jsonl --budget '10 EUR'", 1, "--budget must be written like '10 CNY'"),
        (
            "batch photos Q -o b.jsonl -m glm-4v-plus-0111 --budget $3",
            1,
            "--budget such as '10 CNY' or '2000000 tokens'",
        ),
        ("batch photos Q -o b.jsonl -m of-my-own --budget $3", 1, "give a --budget such as '2000000 tokens'"),
        ("models --no-such", 2, "glmv models --help"),
        ("ask one.png 'What?' --base-url nonsense", 1, "The base URL must begin with https://"),
    ],
)
def test_the_error_of_a_usual_mistake_says_what_to_do(
    emu: Emulator, folder: Path, command: str, code: int, message: str
) -> None:
    result = run(emu, folder, shlex.split(command))
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1, "not broken into lines, which is for terminals"


def test_the_command_batch_accepts_several_files_and_writes_a_row_for_each(emu: Emulator, folder: Path) -> None:
    result = run(emu, folder, ["batch", "one.png", "two.jpg", "What?", "-o", "several.jsonl"])
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in (folder / "several.jsonl").read_text("utf-8").splitlines()]
    assert sorted(row["key"] for row in rows) == ["one.png", "two.jpg"]


def test_the_error_for_a_missing_package_is_one_line_that_names_the_package(
    emu: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Emulator, "__enter__", lambda self: __import__("starlette_that_is_not_there"))
    for words in (["ask", "--emulator", "one.png", "What?"], ["batch", "--emulator", "photos", "Q", "-o", "e.jsonl"]):
        result = run(emu, folder, words)
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert "starlette_that_is_not_there" in result.stderr


def shell(emu: Emulator, **more: str) -> dict[str, str]:
    """The environment of a process that runs the command in another folder."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    own = {"ZHIPUAI_API_KEY": emu.api_key, "ZHIPUAI_BASE_URL": emu.base_url, "PYTHONPATH": path}
    return {**os.environ, **own, **more}


def run_process(
    emu: Emulator, folder: Path, *words: str, to: str = "", **more: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own; `to` is a redirection of its output by the shell, such as `> file`."""
    command: list[str] = [*COMMAND, *words]
    if to:
        command = ["sh", "-c", f"{shlex.join(command)} {to}"]
    return subprocess.run(command, cwd=folder, env=shell(emu, **more), capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("encoding", ["gbk", "cp1252", "ascii"])
def test_an_answer_with_characters_outside_the_code_page_of_the_terminal_is_printed(
    emu: Emulator, folder: Path, encoding: str
) -> None:
    emu.say("A red cup \u7ea2 \U0001f600.", "A red cup \u7ea2 \U0001f600.")
    done = run_process(emu, folder, "ask", "one.png", "What?", PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    assert done.stdout.decode(encoding).startswith("A red cup ")
    assert f"{encoding} cannot encode some characters" in done.stderr.decode(encoding)
    done = run_process(emu, folder, "ask", "--json", "one.png", "What?", PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    assert json.loads(done.stdout)["text"] == "A red cup \u7ea2 \U0001f600.", "JSON loses nothing"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such devices")
def test_a_full_disk_and_a_closed_standard_output_are_reported(emu: Emulator, folder: Path) -> None:
    for words in (["models"], ["ask", "one.png", "Q"], ["--version"], ["models", "--json"]):
        done = run_process(emu, folder, *words, to="> /dev/full")
        assert (done.returncode, done.stderr.count(b"Traceback")) == (1, 0)
        assert b"The output cannot be written: No space left on device." in done.stderr
    done = run_process(emu, folder, "models", to=">&-")
    assert (done.returncode, done.stderr) == (1, b"error: There is no standard output to write to.\n")


@pytest.mark.skipif(os.name == "nt", reason="shells of Windows have other pipes")
def test_a_command_whose_output_pipe_is_closed_exits_with_141_and_no_message(emu: Emulator, folder: Path) -> None:
    for words in (["models"], ["models", "--all", "--json"], ["doctor"]):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as closed:
            done = subprocess.run(
                [*COMMAND, *words],
                cwd=folder,
                env=shell(emu),
                stdout=closed,
                stderr=subprocess.PIPE,
                timeout=60,
                check=False,
            )
        assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("signalled", [KeyboardInterrupt()])
def test_ctrl_c_at_any_point_of_a_command_ends_it_with_exit_code_130(
    emu: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch, signalled: BaseException
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise signalled

    for place in (
        "glmv.Image.from_path",
        "glmv.Client.stream",
        "glmv.cli.ask.check_order",
        "glmv.cli.ask._print_facts",
    ):
        with monkeypatch.context() as patched:
            patched.setattr(place, interrupted)
            result = run(emu, folder, ["ask", "one.png", "What?"])
        assert result.exit_code == 130
        assert "error" not in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send")
def test_ctrl_c_during_an_answer_ends_the_printed_line_with_a_newline(folder: Path) -> None:
    with Emulator(pace=0.2) as slow:
        slow.say("One two three four five six seven eight nine ten. " * 5)
        with subprocess.Popen(
            [*COMMAND, "ask", "one.png", "What?"],
            cwd=folder,
            env=shell(slow),
            bufsize=0,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            begun = process.stdout.read(1)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert begun.isalnum()
    assert out.endswith(b"\n")
    assert err == b""


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_the_error_for_a_file_that_cannot_be_read_names_the_file(
    emu: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = os.open

    def refused(path: Any, *more: Any, **named: Any) -> int:
        if str(path).endswith("one.png"):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *more, **named)

    monkeypatch.setattr(os, "open", refused)
    result = run(emu, folder, ["ask", "one.png", "What?"])
    assert result.exit_code == 1
    assert "one.png" in result.stderr
    assert os.strerror(number) in result.stderr


def test_a_bug_of_glmv_exits_with_70_and_names_the_exception(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import glmv.cli

    def broken() -> list[glmv.Model]:
        raise KeyError("gone")

    monkeypatch.setattr(glmv, "models", broken)
    monkeypatch.setattr(sys, "argv", ["glmv", "models"])
    with pytest.raises(SystemExit) as ended:
        glmv.cli.main()
    assert ended.value.code == 70
    assert "fault of glmv (KeyError" in capsys.readouterr().err
    monkeypatch.setenv("GLMV_TRACEBACK", "1")
    with pytest.raises(KeyError):
        glmv.cli.main()


def test_a_question_in_utf_16_or_with_a_byte_order_mark_is_read_from_standard_input(
    emu: Emulator, folder: Path
) -> None:
    for data in ("What?".encode("utf-16"), b"\xef\xbb\xbfWhat?", b"What?"):
        assert run(emu, folder, ["ask", "-"], data).exit_code == 0
        assert emu.requests[-1].body["messages"][-1]["content"] in ("What?", [{"type": "text", "text": "What?"}])
    refused = run(emu, folder, ["ask", "-"], b"\xff\x80\x81")
    assert refused.exit_code == 1
    assert "standard input" in refused.stderr


def test_options_of_the_command_ask_are_sent_and_reasoning_is_printed_if_requested(emu: Emulator, folder: Path) -> None:
    words = ["ask", "one.png", "What?", "--system", "Be brief.", "--thinking", "--show-thinking", "--max-tokens", "99"]
    result = run(emu, folder, words)
    assert result.exit_code == 0
    body = emu.requests[-1].body
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["max_tokens"] == 99
    assert body["thinking"]["type"] == "enabled"
    thought = result.stderr.splitlines()[0]
    assert "measure" in thought
    assert thought not in result.stdout
    hidden = run(emu, folder, ["ask", "one.png", "What?", "--thinking"])
    assert thought not in hidden.stderr
    run(emu, folder, ["ask", "one.png", "What?", "--no-thinking"])
    assert emu.requests[-1].body["thinking"]["type"] == "disabled"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_of_models_hides_columns_until_it_fits_the_terminal(width: int) -> None:
    from glmv.cli.models import COLUMNS, _cells, fitting

    rows = [_cells(model) for model in glmv.models()]
    widths, hidden = fitting(rows, width)
    assert sum(widths.values()) + 2 * (len(widths) - 1) <= width
    names = {column.name for column in COLUMNS}
    assert {COLUMNS[number].name for number in widths} == names - set(hidden)
    assert {"model", "pictures", "videos", "thinking"} <= names - set(hidden)
    assert (width < 120) == bool(hidden)


def test_the_command_models_prints_one_line_per_model_and_prints_json_on_request(folder: Path, emu: Emulator) -> None:
    lines = run(emu, folder, ["models", "--all"]).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [model.name for model in glmv.models()]
    row = next(line for line in lines if line.startswith("glm-4.6v "))
    assert row.split("  ")[0] == "glm-4.6v"
    assert "URL, base64" in row
    models = json.loads(run(emu, folder, ["models", "--json"]).stdout)
    assert {one["name"] for one in models} == {model.name for model in glmv.models() if model.sees}
    assert next(one for one in models if one["name"] == "glm-4.6v")["image_bytes"] == 5 * 1024 * 1024


@pytest.mark.parametrize("command", ["ask", "batch"])
def test_the_emulator_together_with_a_base_url_is_refused(folder: Path, emu: Emulator, command: str) -> None:
    words = [str(folder / "one.png"), "What is this?", *(["-o", str(folder / "both.jsonl")] * (command == "batch"))]
    result = CliRunner().invoke(app, [command, "--emulator", "--base-url", emu.base_url, *words])
    assert result.exit_code == 2
    assert "for --emulator: leave out --base-url" in " ".join(result.stderr.split())
