"""Python blocks of pages that no other test runs are executed unchanged; generated pages are up to date."""

from __future__ import annotations

import inspect
import json
import logging
import re
import runpy
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from llama_index.core.query_engine import RetrieverQueryEngine

import glmv
from glmv.cli.app import app
from glmv_emulator import Emulator
from tests.examples.conftest import RunCode
from tests.support.fake_server import DONE, WHOLE, Peer, Server, chunk

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = ["index.md", *sorted(f"migrate/{page.name}" for page in (DOCS / "migrate").glob("*.md"))]


def blocks(page: str) -> list[str]:
    matches = re.findall(r"^( *)```python\n(.*?)^ *```", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in matches]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_the_code_blocks_of_a_page_run_one_after_the_other(page: str, run_code: RunCode) -> None:
    printed = run_code("\n".join(blocks(page)))
    assert printed.strip()
    assert printed.count("600") >= sum("photo.jpg" in code for code in blocks(page))


@pytest.mark.filterwarnings("default")
def test_the_code_blocks_of_the_page_about_batches_run_one_after_the_other(
    run_code: RunCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="the extra `batch` writes Parquet")
    monkeypatch.setattr("glmv_batch._batches.FIRST_PAUSE", 0.01)
    for folder in ("photos", "receipts"):
        (tmp_path / folder).mkdir()
        shutil.copy(ROOT / "examples" / "pictures" / "receipt.png", tmp_path / folder / "a.png")
    monkeypatch.chdir(tmp_path)
    printed = run_code("\n".join(blocks("batch.md")))
    assert "1 answered, 0 failed, 0 already in the ledger" in printed
    assert (tmp_path / "answers.jsonl").exists()
    assert (tmp_path / "receipts.parquet").exists()


@pytest.mark.filterwarnings("default")
def test_the_code_blocks_of_the_page_about_pictures_run_one_after_the_other(run_code: RunCode) -> None:
    printed = run_code("\n".join(blocks("pictures.md")))
    assert printed.startswith("{Image(")
    assert printed.splitlines()[0].count("Image(") == 1
    assert "page 1 of 2" in printed
    assert printed.count("600") >= 7
    assert "'file_id': 'glmv-sha256-" in printed
    assert "True" in printed


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("code", blocks("servers.md"))
def test_a_code_block_of_the_servers_page_calls_the_server_and_prints_the_answer(code: str, run_code: RunCode) -> None:
    server = Server().plays(answer)
    try:
        printed = run_code(re.sub(r"http://127\.0\.0\.1:\d+", f"http://127.0.0.1:{server.port}", code))
    finally:
        server.stop()
    assert "a cup" in printed
    (request,) = [json.loads(body) for _, body in server.requests]
    assert request["model"] == re.search(r'(?<!base_)model="([^"]+)"', code + 'model="glm-4.6v"')[1]  # type: ignore[index]
    assert "image_url" in json.dumps(request["messages"])


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", ["errors.md", "production.md"])
def test_each_code_block_of_a_page_runs_by_itself(page: str, run_code: RunCode) -> None:
    for code in blocks(page):
        assert re.search(r"600|got 6", run_code(code)), code
    logging.getLogger("glmv").setLevel(logging.NOTSET)


TESTING = [code for page in ("testing.md", "zh/testing.md") for code in blocks(page)]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("code", [code for code in TESTING if "def test_" in code])
def test_every_test_that_the_testing_page_shows_passes(code: str) -> None:
    names: dict[str, Any] = {"__name__": "document"}
    exec(compile(code, "document", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        with Emulator() as emu:
            test(emu)
            assert emu.unused == []


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("code", [code for code in TESTING if "def test_" not in code])
def test_the_code_blocks_of_the_testing_page_run_if_they_define_no_tests(code: str, run_code: RunCode) -> None:
    server = Server().plays(answer)
    try:
        printed = run_code(code.replace("http://127.0.0.1:11434", f"http://127.0.0.1:{server.port}"))
    finally:
        server.stop()
    assert ("a cup" in printed) == ("11434" in code)


def test_the_english_and_chinese_tables_of_faults_equal_the_faults_in_the_code() -> None:
    testing = runpy.run_path(str(DOCS / "testing.py"))
    for path, words in testing["PAGES"].items():
        text = path.read_text("utf-8")
        assert testing["rendered"](text, words) == text, "python docs/testing.py writes them"
        assert [said for said in (words or {}).values() if said not in text] == [], "nothing needs these any more"


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("code", blocks("structured.md"))
def test_each_code_block_of_the_page_about_structured_output_runs(code: str, run_code: RunCode) -> None:
    printed = run_code(code)
    assert "print(" not in code or ("600" in printed and "400" in printed)


ELSEWHERE = ("deepagents", "mcp", "langchain_mcp_adapters", "llama_index.tools.mcp")
AGENTS = [code for code in blocks("agents.md") if not any(f"from {name}" in code for name in ELSEWHERE)]
OTHERS = [code for code in blocks("agents.md") if code not in AGENTS]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("code", AGENTS)
def test_each_code_block_of_the_page_about_agents_runs(code: str, run_code: RunCode) -> None:
    printed = run_code(code)
    assert "600" in printed or "2 requests" in printed


@pytest.mark.agents
@pytest.mark.filterwarnings("ignore")  # these packages warn of their own
@pytest.mark.parametrize("code", [code for code in OTHERS if "# camera.py" not in code])
def test_each_code_block_about_deep_agents_or_mcp_runs(
    code: str, run_code: RunCode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():  # the server of a tool inherits the standard error that is there at the import
        for name in ("deepagents", "langchain_mcp_adapters", "mcp.client.stdio"):
            pytest.importorskip(name, reason="make test-agents installs it")
    (camera,) = [other for other in OTHERS if "# camera.py" in other]
    (tmp_path / "camera.py").write_text(camera, "utf-8")
    assert "600 x 400" in run_code(code)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("code", blocks("rag.md"))
def test_each_code_block_of_the_page_about_indexes_runs(code: str, run_code: RunCode, tmp_path: Path) -> None:
    if "multimodal=True" in code and "multimodal" not in inspect.signature(RetrieverQueryEngine.from_args).parameters:
        pytest.skip("core before 0.14.23 has no multimodal=True")
    (tmp_path / "photos").mkdir()
    for name in ("coffee.jpg", "cat.jpg", "chart.png"):
        shutil.copy(ROOT / "examples" / "pictures" / name, tmp_path / "photos")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"junk")
    printed = run_code(code)
    if "load_images(" in code:
        assert "coffee.jpg" in printed
    assert "broken.jpg" not in printed
    assert printed.strip()


def answer(peer: Peer) -> None:
    if peer.streaming:
        peer.stream(chunk("a "), chunk("cup", "stop"), DONE)
    else:
        peer.say(WHOLE | {"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "a cup"}}]})


CLI = "".join((DOCS / name).read_text("utf-8") for name in ("cli.md", "zh/cli.md"))


@pytest.mark.parametrize("command", re.findall(r"`(glmv [a-z]+[^`]*)`", CLI))
def test_every_command_of_the_command_line_page_exists(command: str) -> None:
    _, name, *words = shlex.split(re.split(r" [<>] ", command)[0])
    commands = typer.main.get_command(app)
    assert isinstance(commands, typer.core.TyperGroup)
    if words and words != ["..."]:
        commands.commands[name].make_context(name, words)
    assert name in commands.commands


def test_every_notebook_is_a_tutorial_in_the_menu_of_the_documentation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert [book.stem for book in (ROOT / "notebooks").glob("*.ipynb") if f"tutorials/{book.stem}.md" not in nav] == []


@pytest.mark.parametrize("package", ["glmv", "langchain_glmv", "llama_index_glmv", "glmv_batch", "glmv_emulator"])
def test_the_reference_page_of_each_package_equals_the_generated_page(package: str) -> None:
    page = runpy.run_path(str(DOCS / "reference.py"))["page"]
    assert (DOCS / "reference" / f"{package}.md").read_text("utf-8") == page(package)


def test_the_table_of_validators_in_structured_md_is_the_output_of_judging_py() -> None:
    judging = runpy.run_path(str(DOCS / "judging.py"))
    text = (DOCS / "structured.md").read_text("utf-8")
    assert judging["filled"](text) == text, "python docs/judging.py writes it"


def test_the_errors_page_shows_a_raised_message_of_every_error_class() -> None:
    errors = runpy.run_path(str(DOCS / "errors.py"))
    text = (DOCS / "errors.md").read_text("utf-8")
    chinese = (DOCS / "zh" / "errors.md").read_text("utf-8")
    kinds = {
        name for name, value in vars(glmv).items() if isinstance(value, type) and issubclass(value, glmv.GLMVError)
    }
    assert set(errors["CALLS"]) == kinds - {"GLMVError"}
    assert [name for name in errors["CALLS"] if f"### {name}\n" not in text] == []
    assert [name for name in errors["CALLS"] if f"```text\n{name}: " not in text] == []
    for page in (text, chinese):
        assert errors["filled"](page) == page, "python docs/errors.py writes them"
    for name in ("README.md", "README.zh-CN.md"):
        readme = (ROOT / name).read_text("utf-8")
        assert errors["filled"](readme) == readme, "python docs/errors.py writes them"


def test_the_page_that_compares_clients_has_the_figures_of_the_generated_pages() -> None:
    text = (DOCS / "compare.md").read_text("utf-8")
    assert runpy.run_path(str(DOCS / "figures.py"))["rendered"](text) == text, "python docs/figures.py writes them"


def test_every_page_except_decision_records_is_in_the_menu() -> None:
    nav = (ROOT / "mkdocs.yml").read_text("utf-8")
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md") if page.parent.name != "adr"}
    assert [page for page in pages if page not in nav] == []


SHOWN = [
    *sorted(ROOT.glob("README*.md")),
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.md")),
]
WIDTH = 88  # what a page shows without scrolling sideways


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_line_of_a_code_block_is_wider_than_the_page(page: Path) -> None:
    code = re.findall(r"^ *```.*?^ *```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert [line for block in code for line in block.splitlines() if len(line) > WIDTH] == []


@pytest.mark.parametrize("package", ["glmv", "langchain_glmv", "llama_index_glmv", "glmv_batch", "glmv_emulator"])
def test_docstring_examples_are_below_the_word_examples_and_fit_the_page_width(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        text = path.read_text("utf-8")
        assert not re.search(r"^ *Example:$", text, re.MULTILINE), f"{path}: Google's style has `Examples:`"
        assert [
            line for line in re.findall(r"^ *(?:>>>|\.\.\.) .*", text, re.MULTILINE) if len(line.strip()) > WIDTH
        ] == []


def test_the_search_settings_of_the_documentation_split_chinese_into_words() -> None:
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert "lang: [en, zh]" in settings
    assert "separator: '[\\s\\u200b" in settings, "U+200B stands between the words of a Chinese sentence"
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    assert any(one.startswith("jieba") for one in groups["docs"])
