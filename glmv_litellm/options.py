"""What LiteLLM hands to a provider -> where to connect, and the options of the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import glmv

# LiteLLM's limits for calls that set none: of `completion`, and of its router and proxy (`litellm.request_timeout`).
# They would hold for a connection, too, where the core waits for 8 s.
LITELLM_TIMEOUTS = (600.0, 6000.0)

_CONNECTION = ("auth", "token_ttl", "max_concurrency", "allow_http", "dialect", "base64_as")
_RENAMED = {"max_completion_tokens": "max_tokens", "user": "user_id"}
# Options of OpenAI's that GLM does not have, with the values that ask for nothing.
_NOT_OF_GLM: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("logprobs", "top_logprobs", "frequency_penalty", "presence_penalty"), (False, 0)),
    **dict.fromkeys(("logit_bias", "functions", "function_call", "audio", "prediction", "web_search_options"), ()),
    **dict.fromkeys(("service_tier", "store", "verbosity", "prompt_cache_key", "safety_identifier"), ("auto", False)),
    "n": (1,),
    "modalities": (["text"],),
}


class NotOfGLM(glmv.InvalidRequestError):
    """Options that GLM has no field for."""


@dataclass(frozen=True)
class CallSettings:
    """One call as LiteLLM hands it over.

    Attributes:
        connection: keywords of `glmv.Settings` without the key: the base URL and what else says where to connect.
        options: keywords of `glmv.Client.chat`.
    """

    connection: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def call_settings(
    given: Mapping[str, Any],
    *,
    api_base: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: Any = None,
    base_model: str | None = None,
    drop: bool = False,
) -> CallSettings:
    """The arguments of a provider's method -> settings.

    Args:
        given: LiteLLM's `optional_params`: options in OpenAI's names, and what it does not know itself. Keys of
            `extra_body` that are options of glmv (`thinking`) count as these.
        api_base: the base URL, or None.
        headers: of this call.
        timeout: seconds or an `httpx.Timeout`; LiteLLM's own 600 and 6000 seconds leave the core's
            defaults as they are.
        base_model: LiteLLM's name of the model behind an alias; one that is not in the catalogue is left out.
        drop: leave out what GLM does not have, in place of refusing it (LiteLLM's `drop_params`).

    Raises:
        NotOfGLM: an option that GLM has no field for.
    """
    options = {_RENAMED.get(name, name): value for name, value in given.items() if value is not None}
    body = options.pop("extra_body", None)
    if body is not None:
        options |= {name: value for name, value in body.items() if name in glmv.Options.model_fields}
        further = {name: value for name, value in body.items() if name not in glmv.Options.model_fields}
        options |= {"extra_body": further} if further else {}
    options.pop("stream", None)
    options.pop("stream_options", None)  # usage is always asked for: LiteLLM counts by it, and shows it as it was told
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
    # Agents and callers judge an answer themselves; one that is twice not what was asked for has a note.
    return CallSettings(connection, {"on_misfit": "return", **options})


def _response_format(value: Any) -> Any:
    """LiteLLM lets a schema stand beside `json_object`, too."""
    match value:
        case {"type": "json_object", "response_schema": schema} if schema:
            return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        case _:
            return value


def _thinking(value: Any) -> Any:
    """Anthropic's shape, which LiteLLM hands on, has a budget that GLM has no field for."""
    match value:
        case {"type": "enabled", "budget_tokens": _}:
            return True
        case _:
            return value
