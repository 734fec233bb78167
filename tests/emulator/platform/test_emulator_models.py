"""The table of models is a data file: each value is given once, with its source."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

import pytest

from glmv_emulator import Emulator
from glmv_emulator.platform.models import MODELS, find
from glmv_emulator.platform.settings import Doubt

FILE = tomllib.loads(resources.files("glmv_emulator.platform").joinpath("models.toml").read_text("utf-8"))


def test_each_model_has_one_row_with_a_source_in_the_table_of_models() -> None:
    names = [name for table in FILE["model"] for name in table["names"]]
    assert sorted(names) == sorted(MODELS)
    assert all(name == name.lower() for name in names)
    assert all(row.source for row in MODELS.values())


def test_an_uncertain_limit_has_a_name_and_a_loose_and_a_strict_value() -> None:
    row = find("GLM-4V-Flash")
    assert row is not None
    assert row.context == Doubt("context-flash", loose=131072, strict=16384)
    assert isinstance(row.context, Doubt)
    assert row.context.name in Emulator.DOUBTS


@pytest.mark.parametrize("base", ["base_url", "proxy_url"])
def test_the_models_endpoint_returns_a_known_model_and_404_for_an_unknown_model(glm: Any, base: str) -> None:
    url = f"{getattr(glm.emu, base)}/models"
    listed = {row["id"]: row for row in glm.http.get(url).json()["data"]}
    assert glm.http.get(f"{url}/glm-4.6v").json() == listed["glm-4.6v"]
    assert glm.http.get(f"{url}/GLM-4.6V").json() == listed["glm-4.6v"]
    unknown = glm.http.get(f"{url}/glm-9v")
    assert unknown.status_code == 404
    assert unknown.json()["error"]
