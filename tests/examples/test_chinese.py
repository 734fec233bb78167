"""The Chinese pages say the same as the English ones: headings, tables, names and code; their code runs."""

from __future__ import annotations

import ast
import logging
import re
import runpy
import shutil
from pathlib import Path

import pytest
from langchain.chat_models import base as chat_models
from langchain.embeddings import base as embeddings
from llama_index.core import Settings
from PIL import Image

from tests.examples.conftest import RunCode, write_clip

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CHINESE = DOCS / "zh"
PAGES = sorted(page.name for page in CHINESE.glob("*.md"))
ENGLISH = {"quickstart.md": "index.md"}  # all others have the same name
CODE = re.compile(r"^( *)```([a-z]*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
ELSEWHERE = ("127.0.0.1:11434", "def test_")  # test_docs.py runs them


def text(page: str) -> str:
    return (CHINESE / page).read_text("utf-8")


def original(page: str) -> str:
    return (DOCS / ENGLISH.get(page, page)).read_text("utf-8")


def blocks(page: str) -> list[tuple[str, str]]:
    """A page -> the languages and the code of its blocks."""
    found = CODE.findall(page)
    return [(language, re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)) for indent, language, code in found]


def prose(page: str) -> str:
    return CODE.sub("", page)


def strings(code: str) -> tuple[str, list[str]]:
    """Python code -> its syntax tree with empty strings, and the strings in their order."""
    tree = ast.parse(code)
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
            node.value = ""
    return ast.dump(tree), texts


def without_quotes(code: str) -> str:
    """Commands without comments, and with empty quotes in place of quoted text."""
    return re.sub(r'"[^"]*"', '""', re.sub(r" *#.*", "", code))


@pytest.mark.parametrize("page", PAGES)
def test_a_chinese_page_has_the_same_heading_levels_as_its_english_page(page: str) -> None:
    levels = [re.findall(r"^#+(?= )", prose(one), re.MULTILINE) for one in (text(page), original(page))]
    assert levels[0] == levels[1]


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_chinese_page_differs_from_its_english_page_only_in_texts(page: str) -> None:
    ours, theirs = blocks(text(page)), blocks(original(page))
    assert [language for language, _ in ours] == [language for language, _ in theirs]
    for (language, mine), (_, other) in zip(ours, theirs, strict=True):
        if language != "python":
            assert without_quotes(mine) == without_quotes(other)
            continue
        (does, words), (done, said) = strings(mine), strings(other)
        assert does == done
        changed = [word for word, was in zip(words, said, strict=True) if word != was]
        assert [word for word in changed if word.isascii()] == [], "only what is translated may differ"


@pytest.mark.parametrize("page", PAGES)
def test_a_chinese_page_has_the_table_rows_and_code_names_of_its_english_page(page: str) -> None:
    def rows(one: str) -> list[int]:
        return [table.count("\n") for table in re.findall(r"(?:^\|.*\n?)+", prose(one), re.MULTILINE)]

    def names(one: str) -> set[str]:
        return {re.sub(r'"[^"]*"', '""', name) for name in re.findall(r"`([^`]+)`", prose(one))}

    assert rows(text(page)) == rows(original(page))
    assert names(text(page)) ^ names(original(page)) == set()


@pytest.mark.parametrize("page", PAGES)
def test_pages_in_two_languages_link_to_each_other(page: str) -> None:
    english = ENGLISH.get(page, page)
    assert text(page).splitlines()[2] == f"[English](../{english}) · 中文"
    assert original(page).splitlines()[2] == f"English · [中文](zh/{page})"


@pytest.mark.parametrize("page", [*(f"docs/zh/{page}" for page in PAGES), "README.zh-CN.md"])
def test_a_chinese_page_never_links_to_an_english_page_that_has_a_translation(page: str) -> None:
    translated = {(DOCS / ENGLISH.get(name, name)).resolve() for name in PAGES}
    here = ROOT / page
    links = re.findall(r"(?<!\[English)\]\((?!http|#)([^)#]+)", here.read_text("utf-8"))
    assert [link for link in links if (here.parent / link).resolve() in translated] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_anchor_of_a_link_is_a_heading_of_the_linked_page(page: str) -> None:
    for file, anchor in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", text(page)):
        there = (CHINESE / (file or page)).read_text("utf-8")
        assert anchor in {slug(heading) for heading in re.findall(r"^#+ (.*)", there, re.MULTILINE)}


def slug(heading: str) -> str:
    """The id of a heading in the documentation."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the code of the pages uses."""
    here = tmp_path_factory.mktemp("reader")
    for name in ("photo.jpg", "photos/a.jpg", "receipts/a.jpg", "pictures/a.jpg"):
        (here / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "examples" / "pictures" / "coffee.jpg", here / name)
    Image.new("RGB", (600, 400), "black").save(here / "night.jpg")
    write_clip(here / "clip.mp4")
    return here


def runnable(page: str) -> list[str]:
    codes = [code for language, code in blocks(text(page)) if language == "python"]
    return [code for code in codes if not any(word in code for word in ELSEWHERE)]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)])
def test_each_code_block_of_a_chinese_page_runs(
    page: str, folder: Path, run_code: RunCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "_llm", None)
    monkeypatch.setattr("glmv_batch._batches.FIRST_PAUSE", 0.01)
    for table in (chat_models, embeddings):
        monkeypatch.setattr(table, "_BUILTIN_PROVIDERS", dict(table._BUILTIN_PROVIDERS))
    for code in runnable(page):
        printed = run_code(code, folder)
        assert printed.strip() or "print(" not in code, code
    logging.getLogger("glmv").setLevel(logging.NOTSET)


def test_a_line_break_between_chinese_characters_is_not_shown_as_a_space() -> None:
    join = runpy.run_path(str(DOCS / "page_settings.py"))["BREAK"].sub
    assert join("", "模型，\n图片和\n消息。\n`image` 和\nPillow") == "模型，图片和消息。`image` 和\nPillow"
    assert join("", "标题：\n\n- 一\n- 二\n\n| 甲 |\n| 乙 |\n") == "标题：\n\n- 一\n- 二\n\n| 甲 |\n| 乙 |\n"
    assert join("", "1. 一。\n2. 二。\n") == "1. 一。\n2. 二。\n"
    for page in PAGES:  # only prose changes
        assert [code for _, code in blocks(join("", text(page)))] == [code for _, code in blocks(text(page))]
