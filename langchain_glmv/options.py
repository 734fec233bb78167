"""Keywords of the constructor, of one call and of `bind_tools` -> options of the core; tools and schemas in its shape.

The names that ChatZhipuAI and ChatOpenAI use are renamed, what GLM cannot do is refused with a hint, and secrets are
kept out of traces.
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
    # LangChain reads annotations at run time; importing BaseTool is a third of what importing this package costs.
    Tool = Any

# Tools that the platform runs itself: docs.bigmodel.cn, chat completions, `tools`.
PLATFORM_TOOLS = ("web_search", "retrieval", "mcp")

# The `type` of a dict that describes a function: OpenAI's shape, a JSON Schema, or none.
_FUNCTION_TYPES = ("function", "object", None)

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
# Values of these that ask for what GLM does anyway: they are left out.
_DEFAULTS_OF_GLM: dict[str, Any] = {
    "n": 1,
    "logprobs": False,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "modalities": ["text"],
}
# Keywords that core passes for its own use.
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


def constructor_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor keywords -> those of the fields; unknown names are refused by the model.

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
        if options.pop(name) not in (None, _DEFAULTS_OF_GLM.get(name)):
            raise glmv.InvalidRequestError(f"{name!r} cannot be sent. {_UNKNOWN_TO_GLM[name]}")
    return options


def call_options(given: Mapping[str, Any], stream_usage: bool) -> tuple[dict[str, Any], bool]:
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
        options |= {**validation(wanted), "response_format": response_format(wanted)}
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


def validation(schema: Any) -> dict[str, Callable[[str], object]]:
    """The option by which the core lets pydantic check an answer, so that the model is shown pydantic's error."""
    return {"validate": schema} if is_model(schema) else {}


def traced_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """One call's keywords as traces and cache keys may have them.

    Core writes them into both before it calls the model, so a secret among them is refused here.

    Raises:
        InvalidRequestError: a secret was passed for one call.
    """
    _refuse_secrets(given)
    shown = {name: value for name, value in given.items() if name not in _UNTRACED}
    if headers := shown.get("extra_headers"):
        shown["extra_headers"] = dict.fromkeys(headers, "***")
    return shown


def _refuse_secrets(given: Mapping[str, Any]) -> None:
    for name in _OF_MODELS:
        if given.get(name) is not None:
            raise glmv.InvalidRequestError(
                f"{name!r} cannot be passed for one call: LangChain writes call options into traces. "
                f"Make a model with it: ChatGLMV({name}=...)."
            )


def wire_tools(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Tools -> dicts of the wire's shape.

    Raises:
        InvalidRequestError: a tool of a kind that only another provider runs.
    """
    return [_wire_tool(tool) for tool in tools]


def _wire_tool(tool: Tool) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, Mapping) and "input_schema" not in tool else None
    if isinstance(tool, Mapping) and kind in PLATFORM_TOOLS:
        return dict(tool)
    made = convert_to_openai_tool(tool) if kind in _FUNCTION_TYPES else {"type": kind}
    if made.get("type") != "function":
        raise glmv.InvalidRequestError(
            f"A tool of type {glmv.shown(made.get('type'))} is run by another provider. What works: functions, and "
            f"{', '.join(PLATFORM_TOOLS)} of the platform."
        )
    function = dict(made["function"])
    function.pop("strict", None)  # a flag of OpenAI's
    # The platform requires both (docs.bigmodel.cn, chat completions, `tools.function`).
    function["description"] = function.get("description") or function["name"]
    function.setdefault("parameters", {"type": "object", "properties": {}})
    return {"type": "function", "function": function}


def tool_options(
    tools: Sequence[Tool], choice: str | Mapping[str, Any] | bool | None, parallel: bool | None
) -> dict[str, Any]:
    """What tools are bound by; unset options are absent. The core reads every way of choosing."""
    options: dict[str, Any] = {"tools": wire_tools(tools)}
    if choice:
        options["tool_choice"] = dict(choice) if isinstance(choice, Mapping) else choice
    if parallel is not None:
        options["parallel_tool_calls"] = parallel
    return options
