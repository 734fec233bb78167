"""Tokens of a prompt, estimated without the network.

Text: the platform's rule of thumb. Pictures and videos: the published preprocessing of the open weights, as the
`processor` of the model's catalogue row computes it; a model without a `processor` counts as glm-4.6v. For documents,
and for pictures and videos given by URL, a typical size is assumed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import glmv

# Characters of one token: about 1.6 Chinese or 4 English ones (docs.bigmodel.cn, glossary).
_WIDE_PER_TOKEN = 1.6
_PLAIN_PER_TOKEN = 4.0
# Tokens of the role and the line break before each message (chat_template.jinja of zai-org/GLM-4.6V).
_PER_MESSAGE = 3

# This model's processor is used for models that are not in the catalogue or have no published preprocessing.
_USUAL = "glm-4.6v"
_UNSEEN = (1024, 1024)
_UNSEEN_SECONDS = 10.0
_UNSEEN_DOCUMENT = 2_000


def tokens_of_text(text: str) -> int:
    """Tokens of a text; 0 for an empty one."""
    plain = sum(map(str.isascii, text))
    return math.ceil(plain / _PLAIN_PER_TOKEN + (len(text) - plain) / _WIDE_PER_TOKEN)


def tokens_of_messages(
    messages: Iterable[glmv.Message],
    tools: Sequence[Mapping[str, Any]],
    count: Callable[[str], int],
    model: glmv.Model | None,
) -> int:
    """Tokens of messages and tools; `count` returns the tokens of a text, `model` is the catalogue row or None."""
    total = count(json.dumps(tools, ensure_ascii=False)) if tools else 0
    for message in messages:
        total += _PER_MESSAGE + sum(_of_part(part, count, model) for part in message.content)
        total += sum(count(call.name) + count(call.arguments) for call in message.tool_calls)
    return total


def _of_part(
    part: glmv.Text | glmv.Image | glmv.Video | glmv.File, count: Callable[[str], int], model: glmv.Model | None
) -> int:
    match part:
        case glmv.Text():
            return count(part.text)
        case glmv.Image() | glmv.Video():
            processor = _row(model).processor
            assert processor is not None
            sides = (part.width, part.height) if part.width and part.height else _UNSEEN
            if isinstance(part, glmv.Image):
                return processor.picture(*sides)
            return processor.video(*sides, part.duration or _UNSEEN_SECONDS, part.frame_rate)
        case glmv.File():
            return _UNSEEN_DOCUMENT
        case _:
            raise TypeError(f"Cannot estimate the tokens of a part of type {type(part).__name__}.")


def _row(model: glmv.Model | None) -> glmv.Model:
    """The catalogue row whose processor counts the tokens of pictures and videos."""
    row = model if model is not None and model.processor is not None else glmv.find_model(_USUAL)
    assert row is not None
    return row
