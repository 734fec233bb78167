"""Editors and notebooks see every option of the models."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

from langchain_glmv import ChatGLMV, GLMVEmbeddings


@pytest.mark.parametrize("kind", [ChatGLMV, GLMVEmbeddings])
def test_the_signature_of_a_model_class_has_all_its_fields_as_keywords(kind: Any) -> None:
    parameters = inspect.signature(kind).parameters
    assert parameters.keys() == kind.model_fields.keys()
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters.values())


def test_the_signature_has_all_fields_before_the_first_model_is_made() -> None:
    code = (
        "import inspect; from langchain_glmv import ChatGLMV; names = inspect.signature(ChatGLMV).parameters; "
        "assert {'model', 'api_key', 'temperature', 'timeout', 'thinking', 'callbacks'} <= names.keys(), names"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
