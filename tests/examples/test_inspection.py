"""The inspection example: the emulator's eyes read product photos that each test draws."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import glmv
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV

EXAMPLE = Path(__file__).parents[2] / "examples" / "inspection"

pytestmark = pytest.mark.eyes
pytest.importorskip("rapidocr", reason='it reads labels: pip install "glmv[eyes]"')
pytest.importorskip("zxingcpp", reason='it reads codes: pip install "glmv[eyes]"')


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Import the example's files as modules; the test unloads them, because other examples use the same names."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    names = ("draw", "rules", "flow")
    for name in names:
        sys.modules.pop(name, None)

    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def inspect(load: Callable[[str], ModuleType], emulator: Emulator, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """inspect(tin, ...) -> the result of the flow for one photo of each tin; the photos are numbered from 0."""

    def inspected(*tins: Any) -> dict[str, Any]:
        paths = [tmp_path / f"{number}.png" for number in range(len(tins))]
        for path, tin in zip(paths, tins, strict=True):
            load("draw").photo(tin).save(path)
        model = ChatGLMV(
            model="glm-4.6v", thinking=False, max_retries=0, base_url=emulator.base_url, api_key=emulator.api_key
        )
        flow = load("flow").inspection(model, load("rules").Order())
        return flow.invoke({"paths": [str(path) for path in paths]})

    return inspected


def test_the_verdict_on_each_tin_follows_from_its_label_and_its_code(load: Any, inspect: Any) -> None:
    tins = load("draw").TINS
    result = inspect(*tins.values())
    verdicts = [one["verdict"] for one in sorted(result["findings"], key=lambda one: one["photo"])]
    assert verdicts == ["pass", "rework", "reject", "rework", "reject"]


def test_the_report_counts_the_verdicts_and_gives_reasons_for_rework_and_reject(load: Any, inspect: Any) -> None:
    Tin = load("draw").Tin  # noqa: N806 - it is a class
    report = inspect(Tin(), Tin(code="HG250/B-7"), Tin(grams=80))["report"]
    assert report.startswith("3 photos: 1 pass, 1 reject, 1 rework")
    assert re.search(r"\| 1\.png \| rework \| .*B-7", report)
    assert re.search(r"\| 2\.png \| reject \| .*80 g", report)


def test_the_inspection_repeats_calls_that_a_busy_platform_refused(load: Any, inspect: Any, emulator: Emulator) -> None:
    emulator.fail(times=2, code=1302)
    assert inspect(load("draw").Tin())["findings"][0]["verdict"] == "pass"
    assert [exchange.status for exchange in emulator.requests] == [429, 429, 200, 200]
    emulator.report().assert_resilient()


def test_an_account_in_arrears_stops_the_inspection_at_the_first_call(
    load: Any, inspect: Any, emulator: Emulator
) -> None:
    emulator.fail(times=None, code=1113)
    with pytest.raises(glmv.QuotaError):
        inspect(load("draw").Tin())
    assert len(emulator.requests) == 1


def test_a_photo_whose_answer_was_withdrawn_must_be_inspected_by_hand(
    load: Any, inspect: Any, emulator: Emulator
) -> None:
    emulator.inject("content-filter")  # whichever photo comes first
    result = inspect(load("draw").Tin(), load("draw").Tin())
    assert sorted(one["verdict"] for one in result["findings"]) == ["by hand", "pass"]


def test_a_file_that_is_not_a_picture_must_be_inspected_by_hand(load: Any, emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture at all")
    model = ChatGLMV(model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key)
    flow = load("flow").inspection(model, load("rules").Order())
    (finding,) = flow.invoke({"paths": [str(tmp_path / "notes.png")]})["findings"]
    assert finding["verdict"] == "by hand"
    assert emulator.requests == []
