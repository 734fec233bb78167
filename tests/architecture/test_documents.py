"""Statements in the documents about the structure are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
DECISIONS = {path.name[:4] for path in (ROOT / "docs" / "adr").glob("[0-9]*.md")}


def map_of(package: str) -> str:
    """The lines about one package in the map of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    match = re.search(rf"^{package}/ .*?(?=^[a-z])", text, re.DOTALL | re.MULTILINE)
    assert match is not None
    return match.group()


@pytest.mark.parametrize(
    "package", ["glmv", "langchain_glmv", "llama_index_glmv", "glmv_litellm", "glmv_batch", "glmv_emulator"]
)
def test_the_map_in_contributing_shows_every_package_and_module_once(package: str) -> None:
    matches = re.findall(r"^ +([a-z_]+(?:/|\.py|\.toml)) ", map_of(package), re.MULTILINE)
    folder = ROOT / package
    packages = [f"{path.parent.name}/" for path in folder.rglob("*/__init__.py")]
    hidden = {"__init__.py", "_public.py", "_version.py"}
    modules = [
        path.name for suffix in ("py", "toml") for path in folder.rglob(f"*.{suffix}") if path.name not in hidden
    ]
    assert sorted(matches) == sorted([*packages, *modules])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_inside_the_project_point_to_existing_files(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text("utf-8"))
    assert [target for target in targets if not exists(document.parent / target)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_to_headings_inside_the_project_name_existing_headings(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#\s]*\.md)?#([^)\s]+)\)", document.read_text("utf-8"))
    pages = [(document.parent / page if page else document, anchor) for page, anchor in links]
    assert [anchor for page, anchor in pages if page.exists() and anchor not in anchors_of(page)] == []


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page as GitHub and the documentation make them: from its headings, and `id="..."`."""
    text = page.read_text("utf-8")
    headings = [
        re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", line) for line in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    ]
    slugs = {re.sub(r"\s+", "-", re.sub(r"[^\w\- ]", "", heading.strip().lower())) for heading in headings}
    return slugs | set(re.findall(r'id="([^"]+)"', text))


def exists(target: Path) -> bool:
    """Whether the file exists; the tutorials are made from the notebooks (docs/notebook_pages.py)."""
    notebook = ROOT / "notebooks" / f"{target.stem}.ipynb"
    return target.exists() or (target.parent.name == "tutorials" and notebook.exists())


def test_every_adr_that_is_cited_exists() -> None:
    sources = [
        path
        for folder in ("glmv", "langchain_glmv", "llama_index_glmv", "glmv_litellm", "glmv_batch", "glmv_emulator")
        for path in (ROOT / folder).rglob("*.py")
    ]
    named = {
        number for path in [*sources, *DOCUMENTS] for number in re.findall(r"ADR-(\d{4})", path.read_text("utf-8"))
    }
    assert named - DECISIONS == set()


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {name for path in DOCUMENTS for name in re.findall(r"`make ([a-z-]+)", path.read_text("utf-8"))}
    assert named - targets == set()
