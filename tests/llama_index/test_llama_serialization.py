"""Models that are stored, copied and found by name: everything except the key is restored."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from llama_index.core.llms.loading import load_llm

import glmv
import llama_index
from glmv_emulator import Emulator
from llama_index_glmv import GLMV, GLMVMultiModal

BOTH_FACES = pytest.mark.parametrize("kind", [GLMV, GLMVMultiModal])
SECRET = "test-secret"
SET: dict[str, Any] = {
    "model": "glm-4.5v",
    "temperature": 0.3,
    "max_tokens": 64,
    "stop": ["END"],
    "base_url": "https://example.com/api/paas/v4",
    "context_window": 1000,
    "system_prompt": "Be brief.",
    "extra_body": {"own": 1},
    "timeout": 5.0,
}

COPIES: dict[str, Callable[[GLMV], GLMV]] = {
    "to_dict": lambda llm: type(llm).from_dict(llm.to_dict()),
    "to_json": lambda llm: type(llm).from_json(llm.to_json()),
    "load_llm": lambda llm: load_llm(llm.to_dict()),
    "pickle": lambda llm: pickle.loads(pickle.dumps(llm)),
    "deepcopy": copy.deepcopy,
    "model_copy": lambda llm: llm.model_copy(),
}


def made(kind: type[GLMV]) -> GLMV:
    return kind(api_key=f"test-id.{SECRET}", default_headers={"x-secret": SECRET}, **SET)


@BOTH_FACES
@pytest.mark.parametrize("again", COPIES.values(), ids=COPIES)
def test_a_copy_of_a_model_has_its_class_and_all_its_settings(kind: type[GLMV], again: Callable[[GLMV], GLMV]) -> None:
    copied = again(made(kind))
    assert type(copied) is kind
    assert {name: getattr(copied, name) for name in SET} == SET


WRITTEN: dict[str, Callable[[GLMV], str]] = {
    "to_json": lambda llm: llm.to_json(),
    "repr": repr,
    "str": str,
    "payload": lambda llm: json.dumps(llm.to_payload()),
}


@BOTH_FACES
@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_the_repr_and_dict_and_json_of_a_model_do_not_hold_the_key(
    kind: type[GLMV], write: Callable[[GLMV], str]
) -> None:
    assert SECRET not in write(made(kind))


@BOTH_FACES
def test_a_pickle_does_not_hold_the_key(kind: type[GLMV]) -> None:
    assert SECRET.encode() not in pickle.dumps(kind(api_key=f"test-id.{SECRET}", **SET))


@pytest.mark.parametrize("again", COPIES.values(), ids=COPIES)
def test_a_copy_of_a_used_model_gives_the_same_answer(
    again: Callable[[GLMV], GLMV], glmv_emulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZHIPUAI_API_KEY", glmv_emulator.api_key)
    with GLMV(base_url=glmv_emulator.base_url) as llm:
        first = llm.complete("hello").text
        with again(llm) as copied:
            assert copied.complete("hello").text == first


def test_api_key_can_be_set_on_an_existing_model(glmv_emulator: Any) -> None:
    with GLMV(base_url=glmv_emulator.base_url) as llm:
        llm.api_key = glmv_emulator.api_key
        assert llm.complete("hello").text
        assert glmv_emulator.api_key not in repr(llm) + str(llm.__dict__)


def test_a_copy_with_a_changed_base_url_sends_its_requests_to_that_url(glmv_emulator: Emulator) -> None:
    emu = glmv_emulator
    with Emulator(api_key=emu.api_key) as other, httpx.Client() as http:
        llm = GLMV(api_key=emu.api_key, base_url=emu.base_url, http_client=http)
        llm.complete("one")
        llm.model_copy(update={"base_url": other.base_url}).complete("two")
        requests = [[request.body["messages"][0]["content"] for request in each.requests] for each in (emu, other)]
    assert requests == [["one"], ["two"]]


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"api_base": "https://example.com"}, "base_url", "https://example.com"),
        ({"model_name": "glm-4v"}, "model", "glm-4v"),
        ({"additional_kwargs": {"own": 1}}, "extra_body", {"own": 1}),
        ({"stop_sequences": ["END"]}, "stop", ["END"]),
    ],
)
def test_llama_index_names_of_settings_are_accepted_as_aliases(
    given: dict[str, Any], field: str, value: object
) -> None:
    assert getattr(GLMV(**given), field) == value


def test_the_error_for_a_misspelled_field_does_not_show_its_value() -> None:
    with pytest.raises(glmv.InvalidRequestError, match="Did you mean 'api_key'") as raised:
        GLMV(api_kye=SECRET)
    assert SECRET not in str(raised.value)


@BOTH_FACES
@pytest.mark.parametrize("model", [row.name for row in glmv.models()] + ["GLM-4V", "someone/else:7b", ""])
def test_metadata_can_be_read_for_known_and_unknown_and_empty_model_names(kind: type[GLMV], model: str) -> None:
    metadata = kind(model=model).metadata
    assert metadata.is_chat_model
    assert metadata.model_name == model
    assert metadata.context_window > max(metadata.num_output, 0)


def test_metadata_of_a_model_are_those_of_its_catalogue_row() -> None:
    metadata = GLMVMultiModal(model="glm-4v").metadata
    assert (metadata.num_input_files, metadata.is_function_calling_model) == (5, False)


def test_a_context_window_argument_replaces_the_context_window_of_the_catalogue() -> None:
    assert GLMV(model="glm-4v", context_window=9000, max_tokens=10).metadata.context_window == 9000


@pytest.mark.parametrize(
    ("module", "names"),
    [("llama_index.llms.glmv", ["GLMV", "GLMVMultiModal"]), ("llama_index.multi_modal_llms.glmv", ["GLMVMultiModal"])],
)
def test_the_classes_can_be_imported_from_llama_index_llms_glmv(module: str, names: list[str]) -> None:
    leaf = importlib.import_module(module)
    ours = importlib.import_module("llama_index_glmv")
    assert [getattr(leaf, name) for name in names] == [getattr(ours, name) for name in names]
    assert sorted(leaf.__all__) == sorted(names)


def test_the_namespace_packages_of_llama_index_have_no_init_file() -> None:
    for place in map(Path, llama_index.__path__):
        for above in (place, place / "llms", place / "multi_modal_llms"):
            assert not (above / "__init__.py").exists()
