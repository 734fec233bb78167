"""Messages and options -> a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from glmv.credentials import without_values
from glmv.options import CALL_OPTIONS, DEFAULT_MODEL, ChatRequest, Options, call_options, validated
from glmv.request.messages import Messages, media_moved, messages_of, pictures_kept
from glmv.request.tool_results import media_in_results

# Keywords that frameworks pass by themselves and that the platform does not have.
_DROPPED = {"strict": "a flag of OpenAI's schemas"}

_OPTION_NAMES = tuple(Options.model_fields)


def request_of(messages: Messages, settings: BaseModel, model: str | None, options: dict[str, Any]) -> ChatRequest:
    """The arguments of one call -> a request. Empties `options`, because it may hold credentials.

    Args:
        messages, settings: the arguments `messages` and `defaults` of `chat_request`.
        model: the model of the call; None means the model of the settings.
        options: keywords of the call.

    Raises:
        InvalidRequestError, UnsupportedContent: as `chat_request`.
    """
    if model:
        options["model"] = model
    return without_values(lambda: chat_request(messages, settings, options), options)


def chat_request(messages: Messages, defaults: BaseModel, overrides: Mapping[str, Any]) -> ChatRequest:
    """Makes a request from messages, default settings and the keywords of one call.

    Args:
        messages: as for `Client.chat`.
        defaults: `Settings`, or another pydantic object with fields of `Options` and a `model`.
        overrides: fields of `Options`, `model`, and keywords of the call (`timeout`, `extra_headers`, ...). None
            removes a default.

    Raises:
        InvalidRequestError: for an unknown or misspelt keyword, or a value out of its documented range.
        UnsupportedContent: for content that cannot be sent.
    """
    settings = vars(defaults)
    values = zip(_OPTION_NAMES, map(settings.get, _OPTION_NAMES), strict=True)
    options = {name: value for name, value in values if value is not None}
    call: dict[str, Any] = {}
    notes: list[str] = []
    own = model = settings.get("model", DEFAULT_MODEL)
    if overrides:
        keywords = dict(overrides)
        model = keywords.pop("model", None) or model
        keywords.pop("stream", None)  # frameworks pass it; the called method decides
        dropped = [name for name in _DROPPED if keywords.pop(name, None) is not None]
        notes = [f"{name} was left out: it is {_DROPPED[name]}; GLM has no such field." for name in dropped]
        call = call_options({name: keywords.pop(name) for name in CALL_OPTIONS if name in keywords})
        new = validated(keywords, settings)
        options = {name: value for name, value in (options | new).items() if value is not None}
    # `base_model` of the settings belongs to the model of the settings, not to another model of the call.
    if (model == own and "base_model" not in call) and (base := settings.get("base_model")) is not None:
        call["base_model"] = base
    conversation = media_in_results(messages_of(messages, notes.append), notes.append)
    conversation = media_moved(conversation, notes.append)
    keep_pictures = call.pop("keep_pictures", settings.get("keep_pictures"))
    if keep_pictures is not None:
        conversation = pictures_kept(conversation, keep_pictures, notes.append)
    return ChatRequest(model, conversation, options, call, (), tuple(notes))
