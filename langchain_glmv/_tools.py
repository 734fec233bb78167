"""Tools of every kind that LangChain knows -> the platform's, and the options that bind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.utils.function_calling import convert_to_openai_tool

import glmv

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    Tool = Mapping[str, Any] | type | Callable[..., Any] | BaseTool
else:
    # LangChain reads annotations at run time: to name BaseTool there is a third of what this package costs to import.
    Tool = Any

# Tools that the platform runs itself: docs.bigmodel.cn, chat completions, `tools`.
PLATFORM_TOOLS = ("web_search", "retrieval", "mcp")

# What the `type` of a dict may be that describes a function: OpenAI's shape, a JSON Schema, or none.
_OURS = ("function", "object", None)


def converted(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Tools -> dicts of the wire's shape.

    Raises:
        InvalidRequestError: a tool of a kind that only another provider runs.
    """
    return [_converted(tool) for tool in tools]


def _converted(tool: Tool) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, Mapping) and "input_schema" not in tool else None
    if isinstance(tool, Mapping) and kind in PLATFORM_TOOLS:
        return dict(tool)
    made = convert_to_openai_tool(tool) if kind in _OURS else {"type": kind}
    if made.get("type") != "function":
        raise glmv.InvalidRequestError(
            f"A tool of type {made.get('type')!r} is run by another provider. What works: functions, and "
            f"{', '.join(PLATFORM_TOOLS)} of the platform."
        )
    function = dict(made["function"])
    function.pop("strict", None)  # a flag of OpenAI's
    # The platform requires both (docs.bigmodel.cn, chat completions, `tools.function`).
    function["description"] = function.get("description") or function["name"]
    function.setdefault("parameters", {"type": "object", "properties": {}})
    return {"type": "function", "function": function}


def bound(
    tools: Sequence[Tool], choice: str | Mapping[str, Any] | bool | None, parallel: bool | None
) -> dict[str, Any]:
    """What `bind_tools` binds; unset options are absent. The core reads every way of choosing."""
    options: dict[str, Any] = {"tools": converted(tools)}
    if choice:
        options["tool_choice"] = dict(choice) if isinstance(choice, Mapping) else choice
    if parallel is not None:
        options["parallel_tool_calls"] = parallel
    return options
