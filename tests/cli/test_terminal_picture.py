"""The picture of a terminal in the README shows what its commands print."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"

pytest.importorskip("pty", reason="the picture is taken in a pseudo-terminal, which Windows does not have")


def test_the_commands_in_the_picture_of_the_terminal_print_what_the_picture_shows() -> None:
    terminal = runpy.run_path(str(DOCS / "terminal.py"))
    picture = (DOCS / "images" / "terminal.svg").read_text("utf-8")
    assert terminal["words"](terminal["drawn"](terminal["session"]())) == terminal["words"](picture), (
        "python docs/terminal.py draws it afresh"
    )


def test_the_picture_of_the_terminal_contains_no_links_and_no_urls() -> None:
    picture = (DOCS / "images" / "terminal.svg").read_text("utf-8")
    assert re.findall(r"url\((?!#)[^)]*\)|href=", picture) == []
