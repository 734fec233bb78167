"""The committed notebooks: what a reader sees before running anything.

`make notebooks` runs them; these tests check the stored outputs.
"""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
LARGEST = 600_000  # bytes; pages with more are slow to open
# Facts about the machine, and secrets: paths, ports, keys.
PRIVATE = {
    "a path of a machine": re.compile(r"/(?:home|Users|root|work|tmp|opt|usr|var)/\w"),
    "a port": re.compile(r"(?:127\.0\.0\.1|localhost):\d"),
    "a key": re.compile(r"\b[0-9a-f]{32}\.\w{8,}|Bearer [\w.]{8,}"),
}


@pytest.fixture(params=NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    """The cells of a kind, "code" or "markdown"."""
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == kind]


def outputs(path: Path) -> list[dict[str, Any]]:
    return [output for cell in cells(path, "code") for output in cell["outputs"]]


def words(path: Path) -> str:
    """All text of the outputs."""
    answer = [output.get("text") or output.get("data", {}).get("text/plain") or "" for output in outputs(path)]
    return "\n".join("".join(text) for text in answer)


def pictures(path: Path) -> list[str]:
    """The pictures in the outputs, as base64."""
    answer = [output.get("data", {}) for output in outputs(path)]
    return ["".join(data[kind]) for data in answer for kind in data if kind.startswith("image/")]


def test_the_readme_of_the_notebooks_links_to_all_eight_notebooks() -> None:
    listed = re.findall(r"\]\((\w+\.ipynb)\)", (NOTEBOOKS[0].parent / "README.md").read_text("utf-8"))
    assert listed == [path.name for path in NOTEBOOKS]
    assert len(listed) == 8


def test_the_notebook_was_run_from_top_to_bottom_without_errors(path: Path) -> None:
    counts = [cell["execution_count"] for cell in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1))
    assert [output for output in outputs(path) if output["output_type"] == "error"] == []
    assert [output for output in outputs(path) if output.get("name") == "stderr"] == []


def test_the_first_output_of_the_notebook_says_that_the_emulator_answers(path: Path) -> None:
    first = "".join(cells(path, "code")[0]["outputs"][0]["text"])
    assert first.startswith("Answers come from the emulator")


def test_the_output_of_a_cell_is_marked_as_scripted_if_its_answers_are_scripted(path: Path) -> None:
    if path.stem.startswith("6"):
        return  # it is about scripts, and says at its top that it always asks the emulator
    scripted = re.compile(r"^(?: {4})?(?:scripted\(|emu\.(?:say|call|answer)\()", re.MULTILINE)
    unmarked = []
    for cell in cells(path, "code"):
        source = "".join(cell["source"]).partition("def scripted")[0]
        marked = any("".join(output.get("text", "")).startswith("[scripted]") for output in cell["outputs"])
        if bool(scripted.search(source)) != marked:
            unmarked.append(cell["id"])
    assert unmarked == []


def test_the_notebook_names_no_parent_folder_and_does_not_import_the_module_show(path: Path) -> None:
    source = "\n".join("".join(cell["source"]) for cell in cells(path, "code"))
    assert "../" not in source
    assert "import show" not in source
    assert "from show" not in source


def test_no_line_of_code_in_the_notebook_has_more_than_88_characters(path: Path) -> None:
    lines = [line for cell in cells(path, "code") for line in "".join(cell["source"]).splitlines()]
    assert [line for line in lines if len(line) > 88] == []


def test_notebook_4_says_that_the_right_picture_came_first_for_7_of_7_questions() -> None:
    assert "The right picture came first for 7 of 7 questions." in words(NOTEBOOKS[3])


def test_outputs_of_the_notebook_contain_no_path_port_or_key(path: Path) -> None:
    for what, pattern in PRIVATE.items():
        assert pattern.search(words(path)) is None, what


def test_the_file_of_the_notebook_is_not_larger_than_the_limit(path: Path) -> None:
    assert path.stat().st_size <= LARGEST


def test_pictures_in_notebook_outputs_can_be_decoded(path: Path) -> None:
    assert pictures(path)
    for encoded in pictures(path):
        Image.open(io.BytesIO(base64.b64decode(encoded))).load()


def test_the_notebook_begins_with_a_numbered_heading_and_has_5_text_cells(path: Path) -> None:
    data = json.loads(path.read_text("utf-8"))["cells"]
    assert data[0]["cell_type"] == "markdown"
    assert "".join(data[0]["source"]).startswith(f"# {path.stem[0]} · ")
    assert len(cells(path, "markdown")) >= 5
