"""Tokens of a prompt, estimated without the network.

Text: the platform's rule of thumb. Pictures and videos: the published preprocessing of the open weights, one token for
28 x 28 pixels after resizing (github.com/huggingface/transformers, models/glm4v, `smart_resize` and the processors'
`size`). What only a URL names, and documents, count as a typical one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import glmv

# "1 token is about 1.6 Chinese characters" and about 4 English ones: docs.bigmodel.cn, glossary.
_WIDE_PER_TOKEN = 1.6
_PLAIN_PER_TOKEN = 4.0
# Role mark and line break in front of each message: chat_template.jinja of zai-org/GLM-4.6V.
_PER_MESSAGE = 3
# `<|begin_of_image|>` and `<|end_of_image|>` around each picture: the same template.
_MARKS = 2

_SIDE = 28
_FRAMES = 2  # frames that become one grid; a picture is doubled
_MIN_PIXELS = 112 * 112
_MAX_IMAGE_PIXELS = 28 * 28 * 15_000
_MAX_VIDEO_PIXELS = 28 * 28 * 2 * 30_000
_FRAMES_PER_SECOND = 2.0
_UNSEEN = (1024, 1024)
_UNSEEN_SECONDS = 10.0
_UNSEEN_DOCUMENT = 2_000


def tokens_of_text(text: str) -> int:
    """Tokens of a text; 0 for an empty one."""
    plain = sum(map(str.isascii, text))
    return math.ceil(plain / _PLAIN_PER_TOKEN + (len(text) - plain) / _WIDE_PER_TOKEN)


def tokens_of_messages(
    messages: Iterable[glmv.Message], tools: Sequence[Mapping[str, Any]], count: Callable[[str], int]
) -> int:
    """Tokens of messages and tools, with a count for texts."""
    total = count(json.dumps(tools, ensure_ascii=False)) if tools else 0
    for message in messages:
        total += _PER_MESSAGE + sum(_of_part(part, count) for part in message.content)
        total += sum(count(call.name) + count(call.arguments) for call in message.tool_calls)
    return total


def _of_part(part: glmv.Text | glmv.Image | glmv.Video | glmv.File, count: Callable[[str], int]) -> int:
    match part:
        case glmv.Text():
            return count(part.text)
        case glmv.Image():
            width, height = (part.width, part.height) if part.width and part.height else _UNSEEN
            return _MARKS + _grids(width, height, _FRAMES, _MAX_IMAGE_PIXELS)
        case glmv.Video():
            width, height = (part.width, part.height) if part.width and part.height else _UNSEEN
            frames = max(_FRAMES, round((part.duration or _UNSEEN_SECONDS) * _FRAMES_PER_SECOND))
            return _MARKS + _grids(width, height, frames, _MAX_VIDEO_PIXELS)
        case glmv.File():
            return _UNSEEN_DOCUMENT
        case _:
            raise TypeError(f"There is no count for a part of type {type(part).__name__}.")


def _grids(width: int, height: int, frames: int, most: int) -> int:
    """Tokens of `frames` pictures of one size, whose pixels together stay between the least and the most."""
    if min(width, height) < _SIDE:
        scale = _SIDE / min(width, height)
        width, height = int(width * scale), int(height * scale)
    across, down = round(width / _SIDE), round(height / _SIDE)
    pixels = frames * across * down * _SIDE**2
    if pixels > most:
        shrink = math.sqrt(frames * width * height / most)
        across, down = (max(1, math.floor(side / shrink / _SIDE)) for side in (width, height))
    elif pixels < _MIN_PIXELS:
        grow = math.sqrt(_MIN_PIXELS / (frames * width * height))
        across, down = (math.ceil(side * grow / _SIDE) for side in (width, height))
    return math.ceil(frames / _FRAMES) * across * down
