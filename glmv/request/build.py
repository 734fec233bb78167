"""Messages and options -> a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from glmv.credentials import without_values
from glmv.options import CALL_OPTIONS, DEFAULT_MODEL, ChatRequest, Options, call_options, validated
from glmv.request.messages import Messages, media_moved, messages_of, pictures_kept
from glmv.request.tool_results import media_in_results

# What frameworks pass by themselves and the platform has no place for.
_DROPPED = {"strict": "a flag of OpenAI's schemas"}

_OPTION_NAMES = tuple(Options.model_fields)


def request_of(messages: Messages, settings: BaseModel, model: str | None, options: dict[str, Any]) -> ChatRequest:
    """The arguments of one call -> a request. Empties `options`, which may hold headers with credentials.

    Args:
        messages, settings: as `chat_request`.
        model: another model than that of the settings, or None.
        options: keywords of the call.

    Raises:
        InvalidRequestError, UnsupportedContent: as `chat_request`.
    """
    if model:
        options["model"] = model
    return without_values(lambda: chat_request(messages, settings, options), options)


def chat_request(messages: Messages, defaults: BaseModel, overrides: Mapping[str, Any]) -> ChatRequest:
    """Messages, a model's defaults and one call's keywords -> a request.

    Args:
        messages: what `Client.chat` takes.
        defaults: `Settings`, or another model with fields of `Options` and a `model`.
        overrides: fields of `Options`, `model`, and what concerns the call alone (`timeout`, `extra_headers`, ...).
            None takes a default away.

    Raises:
        InvalidRequestError: for an unknown or misspelt keyword, or a value out of its documented range.
        UnsupportedContent: for content that cannot be sent.
    """
    kept = vars(defaults)
    options = {name: value for name in _OPTION_NAMES if (value := kept.get(name)) is not None}
    call: dict[str, Any] = {}
    notes: list[str] = []
    own = model = kept.get("model", DEFAULT_MODEL)
    if overrides:
        given = dict(overrides)
        model = given.pop("model", None) or model
        given.pop("stream", None)  # frameworks pass it along; the method called decides
        dropped = [name for name in _DROPPED if given.pop(name, None) is not None]
        notes = [f"{name} was left out: it is {_DROPPED[name]}, GLM has no such field." for name in dropped]
        call = call_options({name: given.pop(name) for name in CALL_OPTIONS if name in given})
        asked = validated(given, kept)
        options = {name: value for name, value in (options | asked).items() if value is not None}
    # The settings' own names the row of the settings' own model; another one has a name of its own.
    if (model == own and "base_model" not in call) and (base := kept.get("base_model")) is not None:
        call["base_model"] = base
    conversation = media_in_results(messages_of(messages, notes.append), notes.append)
    conversation = media_moved(conversation, notes.append)
    most = call.pop("keep_pictures", kept.get("keep_pictures"))
    if most is not None:
        conversation = pictures_kept(conversation, most, notes.append)
    return ChatRequest(model, conversation, options, call, (), tuple(notes))
