"""Converts keywords of the constructor, of one call and of `bind_tools` to options, tools and schemas of glmv.

Names from ChatZhipuAI and ChatOpenAI are renamed, options that GLM does not support are refused with advice, and
secrets are kept out of traces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

import glmv

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    Tool = Mapping[str, Any] | type | Callable[..., Any] | BaseTool
else:
    # LangChain reads annotations at run time, and importing BaseTool takes a third of this package's import time.
    Tool = Any

# Tools that the platform runs itself: docs.bigmodel.cn, chat completions, `tools`.
PLATFORM_TOOLS = ("web_search", "retrieval", "mcp")

# The `type` of a dict that describes a function: OpenAI's shape, a JSON Schema, or no `type`.
_FUNCTION_TYPES = ("function", "object", None)

# Constructor keywords of ChatZhipuAI and ChatOpenAI, so that users need only change the name of the class.
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
    "audio": "The GLM-4V family neither accepts nor returns audio.",
    "functions": "Use bind_tools().",
    "function_call": "Use bind_tools(..., tool_choice=...).",
}
# Values that GLM uses anyway: such an option is left out instead of refused.
_DEFAULTS_OF_GLM: dict[str, Any] = {
    "n": 1,
    "logprobs": False,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "modalities": ["text"],
}
# Keywords that langchain-core passes for its own use.
_FRAMEWORK = ("stream", "streaming", "ls_structured_output_format", "structured_output_format")
_UNTRACED = ("validate", "may_replace")
_OF_MODELS = (
    "api_key",
    "zhipuai_api_key",
    "http_client",
    "http_async_client",
    "default_headers",
    "authorization",
)


def constructor_options(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor keywords -> names and values of the fields. pydantic refuses unknown names later.

    `model_kwargs`, a field of other model classes, may contain options and further keys of the request body.

    Raises:
        InvalidRequestError: GLM does not support an option.
    """
    options = {_RENAMED.get(name, name): value for name, value in kwargs.items()}
    for name, value in (options.pop("model_kwargs", None) or {}).items():
        if name in glmv.Options.model_fields:
            options[name] = value
        else:
            options["extra_body"] = {**(options.get("extra_body") or {}), name: value}
    return _possible(options)


def _possible(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(kwargs)
    for name in options.keys() & _UNKNOWN_TO_GLM.keys():
        if options.pop(name) not in (None, _DEFAULTS_OF_GLM.get(name)):
            raise glmv.InvalidRequestError(f"{name!r} cannot be sent. {_UNKNOWN_TO_GLM[name]}")
    return options


def call_options(kwargs: Mapping[str, Any], stream_usage: bool) -> tuple[dict[str, Any], bool]:
    """Keywords of one call -> glmv's options, and whether the answer gets `usage_metadata`.

    Raises:
        InvalidRequestError: a secret was passed, or an option that GLM does not support. Options with unknown names are
            refused later, by glmv.
    """
    options = {name: value for name, value in kwargs.items() if name not in _FRAMEWORK}
    if not options:
        return options, stream_usage
    _refuse_secrets(options)
    usage = options.pop("stream_usage", None)
    if "model_name" in options:
        options["model"] = options.pop("model_name")
    options = _possible(options)
    if (options.get("stream_options") or {}).get("include_usage") is False:
        usage = False
    schema = options.get("response_format")
    if schema is not None and (isinstance(schema, type) or schema.get("type") not in _FORMATS):
        options |= {**validation(schema), "response_format": response_format(schema)}
    return options, stream_usage if usage is None else bool(usage)


_FORMATS = ("json_schema", "json_object", "text")


def response_format(schema: Mapping[str, Any] | type) -> dict[str, Any]:
    """A pydantic class, TypedDict or JSON Schema -> the `response_format` that asks for it."""
    json_schema = convert_to_json_schema(titled(schema))
    return {"type": "json_schema", "json_schema": {"name": json_schema["title"], "schema": json_schema}}


def titled(schema: Any) -> Any:
    """Converts a schema for langchain-core: adds a title and removes the wrapping of OpenAI's `response_format`."""
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


def validation(schema: Any) -> dict[str, Callable[[str], object]]:
    """The option that validates answers with a pydantic class and shows the model the error; {} for other schemas."""
    return {"validate": schema} if is_model(schema) else {}


def traced_options(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of one call -> those that traces and cache keys may contain; the values of headers are hidden.

    langchain-core writes traces and cache keys before it calls the model, so a secret is refused here already.

    Raises:
        InvalidRequestError: a secret was passed for one call.
    """
    _refuse_secrets(kwargs)
    options = {name: value for name, value in kwargs.items() if name not in _UNTRACED}
    if headers := options.get("extra_headers"):
        options["extra_headers"] = dict.fromkeys(headers, "***")
    return options


def _refuse_secrets(kwargs: Mapping[str, Any]) -> None:
    for name in _OF_MODELS:
        if kwargs.get(name) is not None:
            raise glmv.InvalidRequestError(
                f"{name!r} cannot be passed for one call: LangChain writes call options into traces. "
                f"Pass it to the constructor: ChatGLMV({name}=...)."
            )


def wire_tools(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Tools -> dicts as the request body takes them.

    Raises:
        InvalidRequestError: a tool is of a type that only another provider runs.
    """
    return [_wire_tool(tool) for tool in tools]


def _wire_tool(tool: Tool) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, Mapping) and "input_schema" not in tool else None
    if isinstance(tool, Mapping) and kind in PLATFORM_TOOLS:
        return dict(tool)
    converted = convert_to_openai_tool(tool) if kind in _FUNCTION_TYPES else {"type": kind}
    if converted.get("type") != "function":
        raise glmv.InvalidRequestError(
            f"A tool of type {glmv.shown(converted.get('type'))} is run by another provider. What works: functions, "
            f"and the platform's own tools ({', '.join(PLATFORM_TOOLS)})."
        )
    function = dict(converted["function"])
    function.pop("strict", None)  # a flag of OpenAI's API
    # The platform requires both (docs.bigmodel.cn, chat completions, `tools.function`).
    function["description"] = function.get("description") or function["name"]
    function.setdefault("parameters", {"type": "object", "properties": {}})
    return {"type": "function", "function": function}


def tool_options(
    tools: Sequence[Tool], choice: str | Mapping[str, Any] | bool | None, parallel: bool | None
) -> dict[str, Any]:
    """The options that `bind_tools` binds, without those that are not set; glmv accepts all forms of `tool_choice`."""
    options: dict[str, Any] = {"tools": wire_tools(tools)}
    if choice:
        options["tool_choice"] = dict(choice) if isinstance(choice, Mapping) else choice
    if parallel is not None:
        options["parallel_tool_calls"] = parallel
    return options
