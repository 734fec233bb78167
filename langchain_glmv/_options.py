"""Keywords that people and LangChain pass: renamed, refused with a hint, or kept out of traces. Tables, no I/O."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from typing import Any

from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import AliasChoices, BaseModel, ValidationError

import glmv

# Constructor names of ChatZhipuAI and ChatOpenAI, so that changing the class is changing one line.
_RENAMED = {
    "zhipuai_api_key": "api_key",
    "zhipuai_api_base": "base_url",
    "request_timeout": "timeout",
    "max_completion_tokens": "max_tokens",
}
_UNKNOWN_TO_GLM = {
    "n": "GLM answers once per call: use batch() for several answers.",
    "logprobs": "GLM returns no log probabilities.",
    "top_logprobs": "GLM returns no log probabilities.",
    "logit_bias": "GLM has no such field.",
    "frequency_penalty": "GLM has no such field.",
    "presence_penalty": "GLM has no such field.",
    "modalities": "The GLM-4V family answers in text only.",
    "audio": "The GLM-4V family takes and gives no audio.",
    "functions": "Use bind_tools().",
    "function_call": "Use bind_tools(..., tool_choice=...).",
}
# What core passes along for itself.
_FRAMEWORK = ("stream", "streaming", "ls_structured_output_format", "structured_output_format")
_SECRETS = ("api_key", "zhipuai_api_key", "http_client", "http_async_client", "default_headers", "authorization")


def constructor(given: Mapping[str, Any], cls: type[BaseModel]) -> dict[str, Any]:
    """Constructor keywords -> those of the fields.

    Raises:
        InvalidRequestError: an option that no one knows, with the nearest name.
    """
    known = _names(cls)
    options = {}
    for name, value in given.items():
        if name in known:
            options[name] = value
        elif name in _RENAMED:
            options.setdefault(_RENAMED[name], value)
        elif not (name == "n" and value in (None, 1)):
            raise glmv.InvalidRequestError(f"{cls.__name__} has no option {name!r}. {_hint(name, known)}")
    return options


def explained(error: ValidationError) -> str:
    """What pydantic found wrong, one clause each, without the values."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'options'}: {one['msg']}" for one in found)


@cache
def _names(cls: type[BaseModel]) -> frozenset[str]:
    names = set(cls.model_fields)
    for field in cls.model_fields.values():
        match field.validation_alias or field.alias:
            case str(alias):
                names.add(alias)
            case AliasChoices(choices=choices):
                names |= {choice for choice in choices if isinstance(choice, str)}
    return frozenset(names)


def _hint(name: str, known: frozenset[str]) -> str:
    if name in _UNKNOWN_TO_GLM:
        return _UNKNOWN_TO_GLM[name]
    close = difflib.get_close_matches(name, [*known, *_RENAMED], n=1)
    asked = f"Did you mean {close[0]!r}? " if close else ""
    return f"{asked}Further keys of the request's body go into extra_body={{...}}."


def call(given: Mapping[str, Any], stream_usage: bool) -> tuple[dict[str, Any], bool]:
    """One call's keywords -> those for the core, and whether usage is wanted.

    Raises:
        InvalidRequestError: a secret, or what GLM cannot do; unknown names are refused by the core.
    """
    options = {name: value for name, value in given.items() if name not in _FRAMEWORK}
    if not options:
        return options, stream_usage
    _refuse_secrets(options)
    usage = options.pop("stream_usage", None)
    if "model_name" in options:
        options["model"] = options.pop("model_name")
    if options.get("n") in (None, 1):
        options.pop("n", None)
    for name in options:
        if name in _UNKNOWN_TO_GLM:
            raise glmv.InvalidRequestError(f"{name!r} cannot be sent. {_UNKNOWN_TO_GLM[name]}")
    wanted = options.get("response_format")
    if wanted is not None and (isinstance(wanted, type) or "type" not in wanted):
        options["response_format"] = response_format(wanted)
    return options, stream_usage if usage is None else bool(usage)


def response_format(schema: Mapping[str, Any] | type) -> dict[str, Any]:
    """A pydantic class, TypedDict or JSON Schema -> the `response_format` that asks for it."""
    described = convert_to_json_schema(schema)  # type: ignore[arg-type]  # takes every class that it can read
    return {
        "type": "json_schema",
        "json_schema": {"name": str(described.get("title") or "answer"), "schema": described},
    }


def traceable(given: Mapping[str, Any]) -> dict[str, Any]:
    """One call's keywords as they may stand in traces and cache keys.

    Core writes them down before it calls the model, so a secret among them is refused here.

    Raises:
        InvalidRequestError: a secret was passed for one call.
    """
    _refuse_secrets(given)
    shown = {name: value for name, value in given.items() if name != "validate"}
    if headers := shown.get("extra_headers"):
        shown["extra_headers"] = dict.fromkeys(headers, "***")
    return shown


def _refuse_secrets(given: Mapping[str, Any]) -> None:
    for name in _SECRETS:
        if given.get(name) is not None:
            raise glmv.InvalidRequestError(
                f"{name!r} cannot be passed for one call: LangChain writes call options into traces. "
                f"Make a model with it: ChatGLMV({name}=...)."
            )
