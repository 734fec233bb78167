"""Python blocks of pages that no other test runs are executed unchanged; generated pages are up to date."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from glmv.cli.app import app
from tests.support.fake_server import DONE, WHOLE, Peer, Server, chunk

RunCode = Callable[..., str]
ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = ["index.md", "zh/quickstart.md", *sorted(f"migrate/{page.name}" for page in (DOCS / "migrate").glob("*.md"))]


def blocks(page: str) -> list[str]:
    matches = re.findall(r"^( *)```python\n(.*?)^ *```", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in matches]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_the_blocks_of_a_page_run_one_after_the_other(page: str, run_code: RunCode) -> None:
    printed = run_code("\n".join(blocks(page)))
    assert printed.strip()
    assert printed.count("600") >= sum("photo.jpg" in code for code in blocks(page))


@pytest.mark.filterwarnings("default")
def test_the_blocks_about_many_pictures_run_one_after_the_other(
    run_code: RunCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="the extra `batch` writes Parquet")
    monkeypatch.setattr("glmv_batch._batches.FIRST_PAUSE", 0.01)
    for folder in ("photos", "receipts"):
        (tmp_path / folder).mkdir()
        shutil.copy(ROOT / "examples" / "pictures" / "receipt.png", tmp_path / folder / "a.png")
    monkeypatch.chdir(tmp_path)
    printed = run_code("\n".join(blocks("batch.md")))
    assert "1 answered, 0 failed, 0 were there already" in printed
    assert (tmp_path / "answers.jsonl").exists()
    assert (tmp_path / "receipts.parquet").exists()


@pytest.mark.filterwarnings("default")
def test_the_blocks_about_pictures_run_one_after_the_other(run_code: RunCode) -> None:
    printed = run_code("\n".join(blocks("pictures.md")))
    assert printed.startswith("{Image(")
    assert printed.splitlines()[0].count("Image(") == 1
    assert "page 1 of 2" in printed
    assert printed.count("600") >= 7
    assert "'file_id': 'glmv-sha256-" in printed
    assert "True" in printed


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("code", blocks("servers.md"))
def test_a_block_about_another_server_calls_it_and_prints_the_answer(code: str, run_code: RunCode) -> None:
    server = Server().plays(answer)
    try:
        printed = run_code(re.sub(r"http://127\.0\.0\.1:\d+", f"http://127.0.0.1:{server.port}", code))
    finally:
        server.stop()
    assert "a cup" in printed
    (request,) = [json.loads(body) for _, body in server.requests]
    assert request["model"] == re.search(r'(?<!base_)model="([^"]+)"', code + 'model="glm-4.6v"')[1]  # type: ignore[index]
    assert "image_url" in json.dumps(request["messages"])


def answer(peer: Peer) -> None:
    if peer.streaming:
        peer.stream(chunk("a "), chunk("cup", "stop"), DONE)
    else:
        peer.say(WHOLE | {"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "a cup"}}]})


@pytest.mark.parametrize("command", re.findall(r"`(glmv [a-z]+[^`]*)`", (DOCS / "cli.md").read_text("utf-8")))
def test_every_command_of_the_command_line_page_exists(command: str) -> None:
    _, name, *words = shlex.split(re.split(r" [<>] ", command)[0])
    commands = typer.main.get_command(app)
    assert isinstance(commands, typer.core.TyperGroup)
    if words and words != ["..."]:
        commands.commands[name].make_context(name, words)
    assert name in commands.commands


def test_every_notebook_is_a_tutorial_of_the_documentation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert [book.stem for book in (ROOT / "notebooks").glob("*.ipynb") if f"tutorials/{book.stem}.md" not in nav] == []


@pytest.mark.parametrize("package", ["glmv", "langchain_glmv", "llama_index_glmv", "glmv_batch", "glmv_emulator"])
def test_the_reference_names_every_public_name(package: str) -> None:
    page = runpy.run_path(str(DOCS / "reference.py"))["page"]
    assert (DOCS / "reference" / f"{package}.md").read_text("utf-8") == page(package)


def test_the_table_of_validators_equals_that_of_the_code() -> None:
    judging = runpy.run_path(str(DOCS / "judging.py"))
    text = (DOCS / "structured.md").read_text("utf-8")
    assert judging["filled"](text) == text, "python docs/judging.py writes it"
