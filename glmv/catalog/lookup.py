"""The models of the platform by name, from `models.toml` beside this file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from importlib import resources
from typing import Any

from glmv.catalog.processor import Processor
from glmv.catalog.row import MIB, Model, Price, Rates

_FIELDS = frozenset(field.name for field in fields(Model)) - {"name"}
_UNDOCUMENTED = "undocumented"


def find_model(name: str) -> Model | None:
    """The row of a model, whatever the case of its name ("GLM-4V-Plus"); None when it is not known."""
    return _rows().get(name.strip().lower())


def models() -> tuple[Model, ...]:
    """All rows, vision models first."""
    return tuple(_rows().values())


@cache
def _rows() -> dict[str, Model]:
    """Name -> row, read when it is first needed."""
    return rows_of(resources.files("glmv.catalog").joinpath("models.toml").read_text("utf-8"))


def rows_of(text: str) -> dict[str, Model]:
    """The text of a `models.toml` -> its rows by name; the head of that file says what it may hold.

    Raises:
        KeyError: for an unknown key, source or doubt, or a row that is `like` none above it.
        ValueError: for a name that has a row already.
    """
    file = tomllib.loads(text)
    _known(file, {"sources", "doubts", "processors", "model"})
    rows: dict[str, Model] = {}
    for written in file["model"]:
        _known(written, _FIELDS | {"names", "like", "image_mib", "video_mib", "file_mib"})
        values = dict(_value(key, value, file) for key, value in written.items() if key not in {"names", "like"})
        for name in written["names"]:
            if name in rows:
                raise ValueError(f"{name!r} has two rows")
            rows[name] = (
                replace(rows[written["like"]], name=name, **values) if "like" in written else Model(name, **values)
            )
    return rows


def _known(table: Mapping[str, Any], keys: frozenset[str] | set[str]) -> None:
    if unknown := table.keys() - keys:
        raise KeyError(f"unknown keys: {', '.join(sorted(unknown))}")


def _value(key: str, written: Any, file: Mapping[str, Any]) -> tuple[str, Any]:
    """A key and a value as they are written in the file -> the field and its value."""
    match key, written:
        case _, str() if written == _UNDOCUMENTED:
            return key, None
        case "source", _:
            return key, file["sources"][written]
        case "doubts", _:
            return key, tuple(file["doubts"][doubt] for doubt in written)
        case "prices", _:
            return key, tuple(_price(price, file) for price in written)
        case "processor", _:
            return key, _processor(file["processors"][written])
        case "image_mib" | "video_mib" | "file_mib", _:
            return key.replace("_mib", "_bytes"), written * MIB
        case _, list():
            return key, tuple(written)
        case _:
            return key, written


def _price(written: Mapping[str, Any], file: Mapping[str, Any]) -> Price:
    long = {"long": Rates(**written["long"])} if "long" in written else {}
    return Price(**{**written, **long, "source": file["sources"][written["source"]]})


def _processor(written: Mapping[str, Any]) -> Processor:
    return Processor(**{**written, "video_rates": tuple((most, rate) for most, rate in written["video_rates"])})
