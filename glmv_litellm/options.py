"""Converts the arguments that LiteLLM passes to a provider into connection settings and options of the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import glmv

# The timeouts in seconds that LiteLLM passes if a call sets none: that of `completion`, and that of its router and
# proxy (`litellm.request_timeout`). They are ignored, because they would also apply to connecting, where `glmv` waits
# for 8 s at most.
LITELLM_TIMEOUTS = (600.0, 6000.0)

_CONNECTION = ("auth", "token_ttl", "max_concurrency", "allow_http", "dialect", "base64_as")
_RENAMED = {"max_completion_tokens": "max_tokens", "user": "user_id"}
# Options of OpenAI that GLM does not have, with the values that have no effect.
_NOT_OF_GLM: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("logprobs", "top_logprobs", "frequency_penalty", "presence_penalty"), (False, 0)),
    **dict.fromkeys(("logit_bias", "functions", "function_call", "audio", "prediction", "web_search_options"), ()),
    **dict.fromkeys(("service_tier", "store", "verbosity", "prompt_cache_key", "safety_identifier"), ("auto", False)),
    "n": (1,),
    "modalities": (["text"],),
}


class NotOfGLM(glmv.InvalidRequestError):
    """GLM has no field for an option."""


@dataclass(frozen=True)
class CallSettings:
    """The settings and options of one call.

    Attributes:
        connection: keywords of `glmv.Settings` about the connection, such as the base URL, but not the key.
        options: keywords of `glmv.Client.chat`.
    """

    connection: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def call_settings(
    optional_params: Mapping[str, Any],
    *,
    api_base: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: Any = None,
    base_model: str | None = None,
    drop: bool = False,
) -> CallSettings:
    """Convert the arguments of a provider's method.

    Args:
        optional_params: as LiteLLM passes them: options under OpenAI's names, and options that LiteLLM does not know. A
            key of `extra_body` that is an option of `glmv`, such as `thinking`, is treated as that option.
        api_base: the base URL, or None.
        headers: headers of this call.
        timeout: seconds or an `httpx.Timeout`. LiteLLM's own defaults of 600 and 6000 seconds are ignored, so that
            `glmv` uses its defaults.
        base_model: LiteLLM's name of the model behind an alias; it is ignored if it is not in the catalogue.
        drop: whether options that GLM does not have are left out instead of refused (LiteLLM's `drop_params`).

    Raises:
        NotOfGLM: GLM has no field for an option, and `drop` is False.
    """
    options = {_RENAMED.get(name, name): value for name, value in optional_params.items() if value is not None}
    body = options.pop("extra_body", None)
    if body is not None:
        options |= {name: value for name, value in body.items() if name in glmv.Options.model_fields}
        further = {name: value for name, value in body.items() if name not in glmv.Options.model_fields}
        options |= {"extra_body": further} if further else {}
    options.pop("stream", None)
    options.pop("stream_options", None)  # usage is always requested: LiteLLM needs it, and may hide it
    for name in options.keys() & _NOT_OF_GLM.keys():
        value = options.pop(name)
        if value not in _NOT_OF_GLM[name] and not drop:
            raise NotOfGLM(f"{name}={value!r} cannot be sent: GLM has no such field. drop_params=True leaves it out.")
    if "thinking" in options:
        options["thinking"] = _thinking(options["thinking"])
    if "response_format" in options:
        options["response_format"] = _response_format(options["response_format"])
    connection = {name: options.pop(name) for name in _CONNECTION if name in options}
    if api_base is not None:
        connection["base_url"] = api_base
    if headers:
        options["extra_headers"] = dict(headers)
    if timeout is not None and timeout not in LITELLM_TIMEOUTS:
        options["timeout"] = timeout
    if base_model is not None and glmv.find_model(base_model) is not None:
        options["base_model"] = base_model
    # Agents and callers check answers themselves. If the second answer does not fit either, it is returned with a note.
    return CallSettings(connection, {"on_misfit": "return", **options})


def _response_format(value: Any) -> Any:
    """Convert LiteLLM's `response_format` to OpenAI's form. In LiteLLM's form, `json_object` may have a schema."""
    match value:
        case {"type": "json_object", "response_schema": schema} if schema:
            return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        case _:
            return value


def _thinking(value: Any) -> Any:
    """Convert `thinking` from Anthropic's form. The token budget is left out, because GLM has no field for it."""
    match value:
        case {"type": "enabled", "budget_tokens": _}:
            return True
        case _:
            return value
