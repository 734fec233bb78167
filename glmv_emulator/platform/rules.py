"""Checks the parameters of a chat request against the documented ranges (docs.bigmodel.cn, chat completion)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from glmv_emulator.platform import proxy
from glmv_emulator.platform.errors import Refusal, ThinkingCannotBeOff
from glmv_emulator.platform.models import STOP_WORDS, Model
from glmv_emulator.platform.settings import Doubt, Settings

MOST_TOOLS = 128
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
USER_ID = range(6, 129)
# docs.z.ai: 6 to 64 characters; docs.bigmodel.cn states no length.
REQUEST_ID: range | Doubt[range] = Doubt("request-id-6", range(1, 65), range(6, 65))


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters that an answer depends on."""

    stream: bool
    max_tokens: int
    stop: tuple[str, ...]
    tools: list[dict[str, Any]]
    response_format: dict[str, Any] | None
    thinking: bool
    request_id: str | None
    seed: int | None
    include_usage: bool
    tool_stream: bool
    tool_choice: Any = None


def check(body: dict[str, Any], model: Model, settings: Settings, *, proxied: bool = False) -> Parameters:
    """The parameters of a body; raises 1210, 1213 or 1214 for values that are not as documented. Null counts as absent.

    `proxied` means that the body came to `/v1`, where more values are valid than on the platform's own API, and where
    `tool_choice` and `response_format` take effect.
    """
    fields = {name: value for name, value in body.items() if value is not None}
    for name in ("stream", "do_sample", "tool_stream"):
        if not isinstance(fields.get(name, False), bool):
            raise Refusal("1214", name)
    if fields.get("do_sample", True):
        # If do_sample is false, temperature and top_p are ignored (bigmodel.cn docs, do_sample).
        open_ended = "range-open" in settings.strict and not proxied
        highest = proxy.HIGHEST_TEMPERATURE if proxied else 1.0
        _number(fields, "temperature", 0.0, highest, inside=open_ended)
        _number(fields, "top_p", 0.0 if proxied else model.lowest_top_p, 1.0, inside=open_ended)
    most = settings.read(model.output)
    name = "max_completion_tokens" if "max_completion_tokens" in fields else "max_tokens"
    max_tokens = fields.get(name, min(model.default_output, most))
    if not _whole(max_tokens) or not 1 <= max_tokens <= most:
        raise Refusal("1214", f"{name}（1 - {most}）", f"{name} (1 - {most})")
    if not proxied:
        _text(fields, "user_id", USER_ID)
    stream = fields.get("stream", False)
    tools = _tools(fields.get("tools", []), model, settings)
    answer_format = fields.get("response_format")
    obeys_format = model.kind == "text"
    return Parameters(
        stream=stream,
        max_tokens=max_tokens,
        stop=_stop(fields.get("stop", []), settings, proxied=proxied),
        tools=tools,
        response_format=proxy.response_format(answer_format)
        if proxied
        else _format(answer_format)
        if obeys_format
        else None,
        thinking=_thinking(fields.get("thinking"), model),
        request_id=_request_id(fields.get("request_id"), settings, proxied=proxied),
        seed=fields["seed"] if _whole(fields.get("seed")) else None,
        include_usage=proxied and proxy.include_usage(fields.get("stream_options"), stream=stream),
        tool_choice=proxy.tool_choice(fields.get("tool_choice"), tools) if proxied else None,
        tool_stream=fields.get("tool_stream", False) and model.tool_stream,
    )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(fields: dict[str, Any], name: str, lowest: float, highest: float, *, inside: bool) -> None:
    value = fields.get(name)
    if value is None:
        return
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not lowest <= value <= highest
        or (inside and value in (0, 1))
    ):
        raise Refusal("1214", f"{name}（{lowest:g} - {highest:g}）", f"{name} ({lowest:g} - {highest:g})")


def _text(fields: dict[str, Any], name: str, lengths: range) -> None:
    value = fields.get(name)
    if value is not None and (not isinstance(value, str) or len(value) not in lengths):
        raise Refusal("1214", name)


def _request_id(value: Any, settings: Settings, *, proxied: bool) -> str | None:
    # The tests of the platform's own SDK send time.time(), so a number is accepted as text.
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Refusal("1214", "request_id")
    lengths = settings.read(REQUEST_ID)
    if len(str(value)) not in lengths and not proxied:
        least, most = lengths[0], lengths[-1]
        raise Refusal("1214", f"request_id（{least} - {most}）", f"request_id ({least} - {most} characters)")
    return str(value)


def _stop(value: Any, settings: Settings, *, proxied: bool) -> tuple[str, ...]:
    if isinstance(value, str) and (proxied or "stop-one" not in settings.strict):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
        raise Refusal("1214", "stop")
    if len(value) > settings.read(STOP_WORDS) and not proxied:
        raise Refusal("1214", "stop")
    return tuple(value)


def _tools(value: Any, model: Model, settings: Settings) -> list[dict[str, Any]]:
    if not isinstance(value, list) or len(value) > MOST_TOOLS:
        raise Refusal("1214", f"tools（≤{MOST_TOOLS}）", f"tools (at most {MOST_TOOLS})")
    if value and not settings.read(model.tools):
        raise Refusal("1210", "该模型不支持 tools", "this model takes no tools")
    for tool in value:
        _check_tool(tool, vision=model.kind == "vision")
    return value


def _check_tool(tool: Any, *, vision: bool) -> None:
    kinds = ("function",) if vision else ("function", "retrieval", "web_search", "mcp")
    if not isinstance(tool, dict) or tool.get("type") not in kinds:
        raise Refusal("1214", "tools.type")
    if tool["type"] != "function":
        return
    function = tool.get("function")
    if not isinstance(function, dict):
        raise Refusal("1213", "tools.function")
    if not isinstance(function.get("name"), str) or not TOOL_NAME.fullmatch(function["name"]):
        raise Refusal("1214", "tools.function.name")
    if not isinstance(function.get("description") or "", str):
        raise Refusal("1214", "tools.function.description")
    if not isinstance(function.get("parameters") or {}, dict):
        raise Refusal("1214", "tools.function.parameters")


def _format(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    # json_schema is accepted and ignored, as users observed.
    if not isinstance(value, dict) or value.get("type") not in ("text", "json_object", "json_schema"):
        raise Refusal("1214", "response_format.type")
    return value if value["type"] == "json_object" else None


def _thinking(value: Any, model: Model) -> bool:
    if value is None or model.thinking == "no":
        return model.thinking != "no"
    if not isinstance(value, dict) or value.get("type") not in ("enabled", "disabled"):
        raise Refusal("1214", "thinking.type")
    if value["type"] == "disabled" and model.refuses_thinking_off:
        raise ThinkingCannotBeOff
    return value["type"] == "enabled" or model.thinking == "always"
