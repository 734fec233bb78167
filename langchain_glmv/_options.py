"""Keywords that people and LangChain pass: renamed, refused with a hint, or kept out of traces. Tables, no I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass

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
# What says of these what GLM does anyway, so that it can go.
_AS_IT_IS: dict[str, Any] = {
    "n": 1,
    "logprobs": False,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "modalities": ["text"],
}
# What core passes along for itself.
_FRAMEWORK = ("stream", "streaming", "ls_structured_output_format", "structured_output_format")
_SECRETS = ("api_key", "zhipuai_api_key", "http_client", "http_async_client", "default_headers", "authorization")


def constructor(given: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor keywords -> those of the fields; names that no one knows are refused by `glmv.Settings`.

    `model_kwargs` of other classes holds options and further keys of the body.

    Raises:
        InvalidRequestError: an option for what GLM cannot do.
    """
    options = {_RENAMED.get(name, name): value for name, value in given.items()}
    for name, value in (options.pop("model_kwargs", None) or {}).items():
        if name in glmv.Options.model_fields:
            options[name] = value
        else:
            options["extra_body"] = {**(options.get("extra_body") or {}), name: value}
    return _possible(options)


def _possible(given: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(given)
    for name in options.keys() & _UNKNOWN_TO_GLM.keys():
        if options.pop(name) not in (None, _AS_IT_IS.get(name)):
            raise glmv.InvalidRequestError(f"{name!r} cannot be sent. {_UNKNOWN_TO_GLM[name]}")
    return options


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
    options = _possible(options)
    if (options.get("stream_options") or {}).get("include_usage") is False:
        usage = False
    wanted = options.get("response_format")
    if wanted is not None and (isinstance(wanted, type) or wanted.get("type") not in _FORMATS):
        options |= {**checked(wanted), "response_format": response_format(wanted)}
    return options, stream_usage if usage is None else bool(usage)


_FORMATS = ("json_schema", "json_object", "text")


def response_format(schema: Mapping[str, Any] | type) -> dict[str, Any]:
    """A pydantic class, TypedDict or JSON Schema -> the `response_format` that asks for it."""
    described = convert_to_json_schema(titled(schema))
    return {"type": "json_schema", "json_schema": {"name": described["title"], "schema": described}}


def titled(schema: Any) -> Any:
    """A schema as core reads it: with a title, and not wrapped as OpenAI's `response_format` and its inner part are."""
    match schema:
        case {"type": "json_schema", "json_schema": Mapping() as inner}:
            return titled(inner)
        case {"name": str(name), "schema": Mapping() as inner}:
            return {"title": name, **inner}
        case {"type": "object"} | {"properties": _} if "title" not in schema:
            return {"title": "answer", **schema}
        case _:
            return schema


def is_model(schema: object) -> bool:
    """Whether a schema is a pydantic class, of version 1 or 2."""
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def checked(schema: Any) -> dict[str, Callable[[str], object]]:
    """pydantic's own check for the core to run, so that its words are what the model is shown."""
    return {"validate": partial(_read, schema)} if is_model(schema) else {}


def _read(schema: Any, text: str) -> object:
    read = schema.model_validate if hasattr(schema, "model_validate") else schema.parse_obj
    return read(json.loads(text))


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
