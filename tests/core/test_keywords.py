"""Signatures for editors, notebooks and type checkers list the options that pydantic accepts."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import glmv
from glmv.options import CALL_OPTIONS, CallOptions

PROGRAM = Path(__file__).parents[1] / "typing" / "program.py"
PACKAGES = ("glmv", "langchain_glmv", "llama_index_glmv", "glmv_batch", "glmv_emulator")
# Keywords that take more than the field keeps.
WIDER = {"stop": str | list[str] | None}


def types(kind: type) -> dict[str, Any]:
    """The public fields or keywords of a class, with their types but without validators."""
    return {name: hint for name, hint in get_type_hints(kind).items() if not name.startswith("_")}


def fields(kind: Any) -> dict[str, Any]:
    hints = types(kind)
    return {name: WIDER.get(name, hints[name]) for name in kind.model_fields}


def test_client_keywords_has_every_field_of_settings_except_the_key() -> None:
    expected = fields(glmv.Settings)
    del expected["api_key"]
    assert types(glmv.ClientKeywords) == expected


def test_call_keywords_has_every_option_and_every_setting_of_a_call() -> None:
    call_fields = fields(CallOptions)
    assert types(glmv.CallKeywords).keys() == glmv.Options.model_fields.keys() | set(CALL_OPTIONS)
    values = {name: hint for name, hint in types(glmv.CallKeywords).items() if name != "validate"}
    assert values == fields(glmv.Options) | call_fields


def parameters_of(thing: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(thing).parameters)


@pytest.mark.parametrize("kind", [glmv.Client, glmv.AsyncClient])
def test_the_signature_of_a_client_shows_each_setting_with_its_default(kind: Any) -> None:
    parameters = parameters_of(kind)
    assert parameters.keys() == glmv.Settings.model_fields.keys()
    assert {name: parameter.default for name, parameter in parameters.items()} == {
        name: field.default for name, field in glmv.Settings.model_fields.items()
    }


@pytest.mark.parametrize("kind", [glmv.Client, glmv.AsyncClient])
@pytest.mark.parametrize("method", ["chat", "stream", "request", "tasks.submit", "batches.create"])
def test_the_signature_of_a_call_shows_each_option(kind: Any, method: str) -> None:
    thing: Any = kind("id.secret")
    for name in method.split("."):
        thing = getattr(thing, name)
    parameters = parameters_of(thing)
    assert {"model", *glmv.CallKeywords.__annotations__} < parameters.keys()
    assert "temperature: float | None = ..." in str(inspect.signature(thing))
    assert "options" not in parameters
    assert all(
        parameter.kind is parameter.KEYWORD_ONLY for name, parameter in parameters.items() if name in CALL_OPTIONS
    )


@pytest.mark.parametrize("name", ["Options", "Connection", "Settings"])
def test_the_signature_of_a_settings_class_shows_its_fields_before_first_use(name: str) -> None:
    kind = getattr(glmv, name)

    class Own(kind):  # type: ignore[misc]  # a class that was never used
        further: int = 3

    assert parameters_of(Own).keys() == {*kind.model_fields, "further"}
    Own()
    assert parameters_of(Own).keys() == {*kind.model_fields, "further"}
    assert parameters_of(kind).keys() == kind.model_fields.keys()


def test_the_program_for_type_checkers_uses_every_public_name() -> None:
    names = {
        name
        for node in ast.walk(ast.parse(PROGRAM.read_text("utf-8")))
        for name in (
            [node.attr]
            if isinstance(node, ast.Attribute)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    public = {name for package in PACKAGES for name in importlib.import_module(package).__all__}
    assert public - names == set()
