"""The models of the platform by name, from `models.toml` next to this file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from glmv.catalog.processor import Processor
from glmv.catalog.row import MIB, Model, Price, Rates

_FIELDS = frozenset(field.name for field in fields(Model)) - {"name"}
_UNDOCUMENTED = "undocumented"


# The patterns below are compiled when a name needs them: the platform's own names do not.
# The publisher of the weights, as hosts write it in front of a name.
_PUBLISHERS = "zai-org|z-ai|zai|zhipuai|zhipu|thudm|bigmodel"
# A publisher joined to the name by another character than a slash: "zai-org-glm-4.6v" (Venice), "zai-org_GLM-4.6V"
# (quantized copies), "us.zai.glm-4.6v" (Bedrock, with a region).
_PUBLISHED = rf"(?:[a-z]{{2,6}}\.)?(?:{_PUBLISHERS})(?:--|[-_.])(?=glm|autoglm)"
# Suffixes of a name: quantization, file format, hosting, a date.
_STORED = (
    r"(?:\.gguf"
    r"|[-_.](?:gguf|mlx|awq|gptq|bnb|exl[23]|hf|ud|dynamic|quantized|marlin|maas|tee|cloud|v\d+"
    r"|i1|autoround|compressed-tensors|dwq|gs?\d{2,3}|\d(?:\.\d+)?bpw"
    r"|(?:nv|mx)?fp(?:4(?:_moe)?|8|16)|bf16|int[48](?:-mixed)?|[2-8]-?bit|w\d+a\d+(?:fp8)?"
    r"|i?q\d(?:_[a-z0-9]+)*|20\d{6}|2\d{5}))$"
)
# A suffix behind ":" or "@": a variant, a provider, a version. Not a number of parameters: it may mean another model.
_TAG = r"[:@](?!\d+(?:\.\d+)?b\b)[a-z0-9][a-z0-9._:-]*$"
# The numbers of parameters of these rows' published weights (huggingface.co/zai-org), as a part of the name or a
# suffix: "GLM-4.6V-Flash-9B-Q4_K_M", "glm-4.6v:106b", "AutoGLM-Phone-9B-Multilingual".
_SIZED = r"(?<=^glm-4\.6v-flash)[-:@_]9b\b|(?<=^glm-4\.[56]v)[:@]106b\b|(?<=^autoglm-phone)-9b\b"
# Names without a dot: "glm-4p5v" (Fireworks), "glm-4-6v", "glm4.6v".
_DOTLESS = r"(?<=^glm-)(\d)[p_-](\d)(?!\d)"
# "glm4.6v", "glm4v", but not "glm4", which is GLM-4-9B at Ollama (ollama.com/library/glm4).
_JOINED = r"^glm(?=\d+[.pv_-])"
# "Free variants provide access to models without cost": openrouter.ai/docs/guides/routing/model-variants/free.
_FREE = tuple(
    Price(0, 0, currency, "2026-11", "openrouter.ai/docs, model variants: free", any_server=True)
    for currency in ("USD", "CNY")
)
# The most characters of a name: of a path, and of its last part.
_LONGEST_PATH, _LONGEST_NAME = 4096, 128


def find_model(name: str) -> Model | None:
    """The catalogue row of a model. The name may be in upper or lower case, with prefixes and suffixes that hosts add.

    A prefix is a path ("zai-org/GLM-4.6V", "accounts/fireworks/models/glm-4p5v", "openai/glm-4.6v") or the publisher
    ("zai-org-glm-4.6v", "zai.glm-4.6v"). A suffix is a variant ("z-ai/glm-4.6v:free") or the format of the weights
    ("GLM-4.6V-FP8", "GLM-4.6V-AWQ", "GLM-4.6V-GGUF:Q4_K_M").

    Returns:
        The row, or None for an unknown model. A name with such a prefix or suffix gives a row without `concurrency`,
        because another host has its own limit; a variant ":free" gives a row with a price of zero.
    """
    return _row(name.strip().lower()) if len(name) <= _LONGEST_PATH else None


@lru_cache(maxsize=512)
def _row(written: str) -> Model | None:
    rows = _rows()
    if written in rows:
        return rows[written]
    row = next((rows[each] for each in _names(written) if each in rows), None)
    if row is None:
        return None
    return replace(row, concurrency=None, prices=_FREE if written.endswith(":free") else row.prices)


def _names(written: str) -> Iterator[str]:
    """Yields the row names that `written`, a name in lower case, may mean. The most likely name is first."""
    name = re.split(r"[/\\]", written.rstrip("/\\"))[-1]
    if name.startswith("models--"):  # the folder of a cache: "models--zai-org--GLM-4.6V"
        name = name.rsplit("--", 1)[-1]
    if len(name) > _LONGEST_NAME:
        return
    yield name
    name = re.sub(_PUBLISHED, "", re.sub(_TAG, "", name), count=1)
    while True:
        yield name
        name = re.sub(_DOTLESS, r"\1.\2", re.sub(_JOINED, "glm-", name))
        yield name
        name = re.sub(_SIZED, "", name)
        yield name
        shorter = re.sub(_STORED, "", name)
        if shorter == name:
            return
        name = shorter


def models() -> tuple[Model, ...]:
    """All catalogue rows, vision models first."""
    return tuple(_rows().values())


@cache
def _rows() -> dict[str, Model]:
    """All catalogue rows by name. `models.toml` is read once, when a row is first needed."""
    return rows_of(resources.files("glmv.catalog").joinpath("models.toml").read_text("utf-8"))


def rows_of(text: str) -> dict[str, Model]:
    """The catalogue rows in the text of a `models.toml`, by name. A comment at the top of that file describes the keys.

    Raises:
        KeyError: for an unknown key, source or doubt, or if `like` names a row that is not above.
        ValueError: for a name with two rows.
    """
    import tomllib  # imported when a row is first looked up

    file = tomllib.loads(text)
    _check_keys(file, {"sources", "doubts", "processors", "model"})
    rows: dict[str, Model] = {}
    for written in file["model"]:
        _check_keys(written, _FIELDS | {"names", "like", "image_mib", "video_mib", "file_mib"})
        values = dict(_value(key, value, file) for key, value in written.items() if key not in {"names", "like"})
        for name in written["names"]:
            if name in rows:
                raise ValueError(f"{name!r} has two rows")
            rows[name] = (
                replace(rows[written["like"]], name=name, **values) if "like" in written else Model(name, **values)
            )
    return rows


def _check_keys(table: Mapping[str, Any], keys: frozenset[str] | set[str]) -> None:
    if unknown := table.keys() - keys:
        raise KeyError(f"unknown keys: {', '.join(sorted(unknown))}")


def _value(key: str, written: Any, file: Mapping[str, Any]) -> tuple[str, Any]:
    """Converts a key of the file and its value into a field name of `Model` and the value of that field."""
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
