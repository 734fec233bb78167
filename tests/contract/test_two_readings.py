"""The client's catalogue and the emulator's table are made independently from the same documents: the page about the
emulator's fidelity lists every difference."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glmv.catalog.lookup import find_model, models
from glmv.catalog.row import Model as CatalogueRow
from glmv_emulator.platform.models import MODELS, STOP_WORDS, Model
from glmv_emulator.platform.settings import Settings

CLAIMS = Path(__file__).parents[2] / "docs" / "fidelity.jsonl"
TOPIC = "Where the client's catalogue differs"
DIFFERENCE = re.compile(r"(?P<names>.+): (?P<field>\w+) is (?P<here>.+) here, (?P<there>.+) in the catalogue")
MISSING = re.compile(r"The emulator does not have (?P<names>.+)")
# If documents can be read in two ways, the emulator follows the reading that allows more by default.
read = Settings().read


def readings(row: Model, other: CatalogueRow) -> Iterator[tuple[str, Any, Any]]:
    """Each field that emulator and catalogue both have: its name, the emulator's value, the catalogue's value."""
    turns_only = read(row.turns_only)
    yield "context", read(row.context), other.context
    yield "max_output", read(row.output), other.max_output
    yield "default_output", row.default_output, other.default_output
    yield "system", not turns_only, "system" in other.roles
    yield "string_content", not turns_only, other.string_content
    yield "images", read(row.images), other.images
    yield "image_base64", row.base64, other.image_base64
    yield "videos", row.videos, other.videos
    if row.videos:
        yield "video_bytes", row.video_bytes, other.video_bytes
        yield "video_seconds", row.video_seconds, other.video_seconds
        yield "video_formats", sorted(read(row.video_formats)), sorted(other.video_formats)
        yield "video_first", row.video_first, other.video_first
    yield "files", row.files, other.files
    if row.files:
        forms = {"url": True, "data": read(row.file_part), "id": row.file_id}
        yield "file_forms", [form for form, taken in forms.items() if taken], list(other.file_forms)
    yield "thinking", row.thinking, other.thinking
    yield "tools", read(row.tools), bool(other.tools)
    yield "response_format", row.kind == "text", other.response_format
    yield "temperature", (0.0, 1.0), other.temperature
    yield "top_p", (row.lowest_top_p, 1.0), other.top_p
    yield "batch", row.batch, other.batch
    yield "stop", read(STOP_WORDS), other.stop


def differences() -> set[tuple[str, str, str, str]]:
    result = set()
    for name, row in MODELS.items():
        other = find_model(name)
        if other is not None:
            result |= {(name, field, text_of(a), text_of(b)) for field, a, b in readings(row, other) if a != b}
    return result


def text_of(value: Any) -> str:
    match value:
        case None:
            return "not stated"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def claims() -> list[str]:
    rows = [json.loads(line) for line in CLAIMS.read_text("utf-8").splitlines()]
    return [row["claim"] for row in rows if row["topic"] == TOPIC]


def test_catalogue_and_emulator_differ_only_as_the_fidelity_page_says() -> None:
    stated = set()
    for claim in claims():
        if (match := DIFFERENCE.fullmatch(claim)) is not None:
            stated |= {(name, match["field"], match["here"], match["there"]) for name in match["names"].split(", ")}
    assert differences() == stated


def test_the_fidelity_page_names_the_models_that_the_emulator_does_not_have() -> None:
    (match,) = (match for claim in claims() if (match := MISSING.fullmatch(claim)) is not None)
    assert {model.name for model in models()} - MODELS.keys() == set(match["names"].split(", "))


def test_every_difference_on_the_fidelity_page_can_be_parsed() -> None:
    assert [claim for claim in claims() if not DIFFERENCE.fullmatch(claim) and not MISSING.fullmatch(claim)] == []
