"""The emulator's token counts. The formula is published in docs/fidelity.md; it is not the platform's tokenizer.

A text token is one CJK character, or up to four letters or digits in a row, or one other character; blanks belong to
the next token. A message costs three more tokens, a tool costs the tokens of its JSON. A picture costs one token for
each started cell of 28 x 28 pixels, but at least 16 tokens and at most the limit of its model. A video is sampled at
the frame rate of its model; each pair of frames costs one token for each 28 x 28 pixels, rounded. If a video exceeds
the limit of its model, its frames are scaled down (like in the published processors of GLM-4.5V and GLM-4.6V). A medium
that was not measured costs 640 tokens.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from glmv_emulator.answers import Medium
from glmv_emulator.eyes import SeenImage, SeenVideo
from glmv_emulator.platform.models import Model, VideoSampling

PER_MESSAGE = 3
CELL = 28
LEAST_PICTURE = 16
# Two frames of a video are one layer of tokens (temporal_patch_size of the published processors).
LAYER = 2
# Small enough that a model's maximum number of pictures by URL fits into its context.
UNSEEN = 640

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN = re.compile(rf"\s*(?:[{_CJK}]|[^\W{_CJK}]{{1,4}}|[^\w\s])|\s+")


def tokens(text: str) -> list[str]:
    """The tokens of a text; joined, they are the text."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    return sum(1 for _ in _TOKEN.finditer(text))


def picture(width: int, height: int, cap: int) -> int:
    """Tokens of a picture with this size in pixels."""
    cells = math.ceil(width / CELL) * math.ceil(height / CELL)
    return max(LEAST_PICTURE, min(cells, cap))


def video(seconds: float, width: int, height: int, sampling: VideoSampling) -> int:
    """Tokens of a video with this duration in seconds and size in pixels."""
    counted_seconds = min(seconds, sampling.rates[-1][0])
    rate = next(rate for most, rate in sampling.rates if counted_seconds <= most)
    layers = math.ceil(max(1, min(int(counted_seconds * rate), sampling.frames)) / LAYER)
    across, down = max(1, round(width / CELL)), max(1, round(height / CELL))
    if layers * across * down > sampling.tokens:
        smaller = math.sqrt(layers * width * height / (sampling.tokens * CELL**2))
        across = max(1, math.floor(width / smaller / CELL))
        down = max(1, math.floor(height / smaller / CELL))
    return min(layers * across * down, sampling.tokens)


def medium(seen: SeenImage | SeenVideo | None, model: Model) -> int:
    match seen:
        case None:
            return UNSEEN
        case SeenVideo():
            return video(seen.duration, seen.width, seen.height, model.video_sampling)
        case SeenImage():
            return picture(seen.width, seen.height, model.picture_cap)


def prompt(messages: Sequence[Mapping[str, Any]], media: Iterable[Medium], tools: Sequence[Any], model: Model) -> int:
    """Tokens of a whole request."""
    total = sum(PER_MESSAGE + sum(count(text) for text in texts(message)) for message in messages)
    total += sum(count(json.dumps(tool, ensure_ascii=False)) for tool in tools)
    return total + sum(medium(one.seen, model) for one in media)


def texts(message: Mapping[str, Any]) -> Iterable[str]:
    """All texts of a message: its content and its tool calls."""
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        yield from (part["text"] for part in content if isinstance(part, dict) and part.get("type") == "text")
    for call in message.get("tool_calls") or ():
        yield json.dumps(call.get("function", {}), ensure_ascii=False)
