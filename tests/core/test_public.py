"""Public classes name the package `glmv` as their module; their annotations and pickles can be read by tools."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pickle
import subprocess
import sys
from typing import Any, get_type_hints

import pydantic
import pytest

import glmv

CLASSES = [value for name in glmv.__all__ if isinstance(value := getattr(glmv, name), type)]
MODELS = [kind for kind in CLASSES if issubclass(kind, pydantic.BaseModel)]
DATA = [kind for kind in CLASSES if dataclasses.is_dataclass(kind)]
USAGE = glmv.Usage(3, 4, 7)
COMPLETION = glmv.Completion(
    "a cat", usage=USAGE, boxes=(glmv.Box((0, 0, 9, 9)),), tool_calls=(glmv.ToolCall("c", "f"),)
)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_module_of_a_public_class_is_the_package_glmv(kind: type) -> None:
    assert (kind.__module__, getattr(glmv, kind.__qualname__)) == ("glmv", kind)
    assert repr(kind) == f"<class 'glmv.{kind.__name__}'>"


def test_the_module_of_a_class_imported_from_a_submodule_is_the_package_glmv() -> None:
    program = "import glmv.types as t, pickle; print(t.Usage.__module__, pickle.loads(pickle.dumps(t.Usage(1))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("glmv Usage(prompt_tokens=1")


@pytest.mark.parametrize("kind", CLASSES)
def test_annotations_of_a_public_class_are_evaluated(kind: type) -> None:
    assert not any(isinstance(value, str) for value in inspect.get_annotations(kind).values())


@pytest.mark.parametrize("kind", CLASSES)
def test_type_hints_of_a_public_class_are_resolved(kind: type) -> None:
    assert get_type_hints(kind).keys() >= inspect.get_annotations(kind).keys()


@pytest.mark.parametrize("kind", DATA)
def test_fields_of_a_public_dataclass_have_evaluated_types(kind: Any) -> None:
    assert {field.name: field.type for field in dataclasses.fields(kind)} == {
        name: get_type_hints(kind, include_extras=True)[name] for name in (f.name for f in dataclasses.fields(kind))
    }


@pytest.mark.parametrize("kind", MODELS)
def test_a_public_pydantic_model_and_its_subclass_are_built_at_their_first_use(kind: type[pydantic.BaseModel]) -> None:
    class Mine(kind):  # type: ignore[misc, valid-type]  # a base from a list
        more: int = 0

    assert kind.model_json_schema()["type"] == Mine.model_json_schema()["type"] == "object"
    assert Mine(more=2).more == 2


@pytest.mark.parametrize("value", [USAGE, COMPLETION, glmv.models()[0]], ids=["Usage", "Completion", "Model"])
def test_pydantic_accepts_a_public_dataclass_as_a_field(value: Any) -> None:
    adapter = pydantic.TypeAdapter(type(value))
    again = adapter.validate_json(adapter.dump_json(value))
    assert again == value
    holder = pydantic.create_model("Holder", it=(type(value), ...))
    assert holder(it=value).it == value  # type: ignore[attr-defined]  # a field of a model made here


@pytest.mark.parametrize(
    "value",
    [
        USAGE,
        COMPLETION,
        glmv.Message("user", ["What?", glmv.Image.from_url("https://a.example/b.png")]),
        glmv.models()[0],
        glmv.Settings(model="glm-4v"),
        glmv.chat_request("Hi", glmv.Options(), {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_pickled_object_names_the_package_and_none_of_its_modules(value: Any) -> None:
    data = pickle.dumps(value)
    assert pickle.loads(data) == value
    assert f"glmv.{type(value).__name__}".encode() not in data  # module and name are two strings
    for module in glmv._NAMES:
        assert f"glmv.{module}".encode() not in data, module


def test_a_pickled_error_keeps_its_class_and_code() -> None:
    again = pickle.loads(pickle.dumps(glmv.RateLimitError("Busy.", code="1302")))
    assert (type(again), again.code) == (glmv.RateLimitError, "1302")


def test_every_public_name_can_be_imported_from_its_module() -> None:
    for name, module in glmv._MODULE_OF.items():
        assert getattr(importlib.import_module(f"glmv.{module}"), name) is getattr(glmv, name)
