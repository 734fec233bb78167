"""Options and a model's row -> the options within the documented limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glmv.errors import InvalidRequestError, LimitExceeded, UnsupportedContent
from glmv.media.text import shown
from glmv.request.limits import Limits

if TYPE_CHECKING:
    from glmv.catalog.row import Model
    from glmv.wire.dialect import Dialect

# docs.bigmodel.cn, tools: "函数名称 … 必须是 a-z、A-Z、0-9，或包含下划线和短横线，最大长度为 64".
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def checked_options(
    options: Mapping[str, Any], model: Model, limits: Limits, dialect: Dialect
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Check options against the model's catalogue row.

    Args:
        options: the options that are set, in the form for the server.
        model: the row.
        limits: records notes, and decides whether a request over a limit is refused.
        dialect: the server's dialect.

    Returns:
        The options to send, and the stop words that are not sent.

    Raises:
        InvalidRequestError, LimitExceeded, UnsupportedContent: if `limits` refuses; the message names the option, the
            range and the model.
    """
    if not options:
        return options, ()
    result = dict(options)
    _max_tokens(result, model, limits)
    _sampling(result, model, limits, dialect)
    _thinking(result, model, limits)
    if "tools" in result:
        result["tools"] = _tools(result["tools"], model, limits)
    return result, _stop(result, model, limits)


def _max_tokens(options: dict[str, Any], model: Model, limits: Limits) -> None:
    wanted = options.get("max_tokens")
    if wanted is not None and model.max_output is not None and wanted > model.max_output:
        limits.over(
            LimitExceeded, f"max_tokens: {model.name} generates at most {model.max_output:,} tokens; got {wanted:,}."
        )


def _sampling(options: dict[str, Any], model: Model, limits: Limits, dialect: Dialect) -> None:
    temperature = options.get("temperature")
    if temperature == 0 and model.temperature[0] > 0 and not dialect.own_fields:
        # The lowest one, as the platform's own SDKs send it (zhipuai `completions.py`).
        options["temperature"] = model.temperature[0]
        limits.add_note(
            f"temperature=0 was sent as {model.temperature[0]:g}, the lowest temperature of {model.name}, "
            f"because servers of dialect {dialect.name!r} have no do_sample=false."
        )
    elif temperature == 0 and model.temperature[0] > 0:
        del options["temperature"]
        options["do_sample"] = False
        limits.add_note(
            f"temperature=0 was sent as do_sample=false, which has the same effect, because the lowest "
            f"temperature of {model.name} is {model.temperature[0]:g}."
        )
    for name, (low, high) in (("temperature", model.temperature), ("top_p", model.top_p)):
        value = options.get(name)
        if value is not None and not low <= value <= high:
            limits.over(InvalidRequestError, f"{name}: {model.name} takes {low:g} to {high:g}; got {value:g}.")


def _thinking(options: dict[str, Any], model: Model, limits: Limits) -> None:
    effort = options.get("reasoning_effort")
    if effort is not None and effort not in model.reasoning_effort:
        takes = f"takes {', '.join(model.reasoning_effort)}" if model.reasoning_effort else "has no such option"
        limits.over(InvalidRequestError, f"reasoning_effort: {model.name} {takes}; got {shown(effort)}.")
    thinking = options.get("thinking")
    if thinking is None or thinking == "auto":
        return
    kind = thinking_kind(thinking)
    if kind in model.thinking_values:
        return
    if model.thinking_values:
        limits.over(
            InvalidRequestError,
            f"thinking: the type for {model.name} is {' or '.join(model.thinking_values)}; got {shown(kind)}.",
        )
        return
    wants = kind == "enabled"
    does = model.thinking == "always"
    if wants != does:
        limits.over(
            InvalidRequestError,
            f"thinking: {model.name} always thinks. To switch thinking off, use glm-4.5v or glm-4.6v."
            if does
            else f"thinking: {model.name} cannot think; glm-4.5v, glm-4.6v and later can.",
        )
        return
    del options["thinking"]
    limits.add_note(
        f"The option thinking was left out: {model.name} {'always' if does else 'never'} thinks and has no switch."
    )


def thinking_kind(thinking: Any) -> Any:
    """The `type` that the request body gets for the option `thinking`: "enabled", "disabled" or the caller's `type`."""
    return thinking.get("type") if isinstance(thinking, Mapping) else ("enabled" if thinking else "disabled")


def _tools(tools: list[dict[str, Any]], model: Model, limits: Limits) -> list[dict[str, Any]]:
    if tools and not model.tools:
        limits.over(
            UnsupportedContent,
            f"tools: {model.name} does not support tools; glm-4.6v, glm-5.3-flash and the text models do.",
        )
        return tools
    if len(tools) > model.tools:
        limits.over(LimitExceeded, f"tools: {model.name} takes at most {model.tools} tools; got {len(tools)}.")
    return [_tool(tool, index, model, limits) for index, tool in enumerate(tools)]


def _tool(tool: dict[str, Any], index: int, model: Model, limits: Limits) -> dict[str, Any]:
    kind = tool.get("type")
    if kind not in model.tool_types:
        limits.over(
            UnsupportedContent,
            f"tools[{index}] has the type {shown(kind)}; {model.name} takes {', '.join(model.tool_types)}.",
        )
        return tool
    function = tool.get("function")
    if kind != "function" or not isinstance(function, Mapping):
        return tool
    name = function.get("name")
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        limits.over(
            InvalidRequestError,
            f"tools[{index}]: a name has 1 to 64 letters, digits, _ and -; got {shown(name)}.",
        )
    # name, description and parameters are all required (docs.z.ai, chat completion, FunctionObject).
    needed = {"description": name, "parameters": {"type": "object", "properties": {}}}
    missing = {key: value for key, value in needed.items() if function.get(key) is None}
    return {**tool, "function": {**function, **missing}}


def _stop(options: dict[str, Any], model: Model, limits: Limits) -> tuple[str, ...]:
    words = options.get("stop")
    if words is None:
        return ()
    if not words:
        del options["stop"]
        return ()
    rest = tuple(words[model.stop :])
    if rest:
        options["stop"] = list(words[: model.stop])
        limits.add_note(
            f"{model.name} takes {model.stop} stop word{'s' * (model.stop > 1)}; the client cuts answers at the others."
        )
    return rest
