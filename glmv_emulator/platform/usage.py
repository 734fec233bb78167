"""How the emulator counts tokens. The formula is published in docs/fidelity.md; it is not the platform's tokenizer.

A text token is one CJK character, or up to four letters or digits in a row, or one other sign; blanks belong to
what follows them. A message costs three tokens more, a tool counts as its JSON. A picture costs one token for each
28 x 28 pixels begun, at least 16, at most what its model's row says; a video one such picture, of at most 256
tokens, for each second begun; a medium that nobody looked at costs 1000.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from glmv_emulator.answers import Medium
from glmv_emulator.eyes import SeenImage, SeenVideo

PER_MESSAGE = 3
CELL = 28
LEAST_PICTURE = 16
MOST_FRAME = 256
UNSEEN = 1000

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN = re.compile(rf"\s*(?:[{_CJK}]|[^\W{_CJK}]{{1,4}}|[^\w\s])|\s+")


def tokens(text: str) -> list[str]:
    """The tokens of a text; joined they are the text again."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    return sum(1 for _ in _TOKEN.finditer(text))


def picture(width: int, height: int, cap: int) -> int:
    """Tokens of a picture of so many pixels."""
    cells = math.ceil(width / CELL) * math.ceil(height / CELL)
    return max(LEAST_PICTURE, min(cells, cap))


def medium(seen: SeenImage | SeenVideo | None, cap: int) -> int:
    match seen:
        case None:
            return UNSEEN
        case SeenVideo():
            return max(1, math.ceil(seen.duration)) * picture(seen.width, seen.height, min(cap, MOST_FRAME))
        case SeenImage():
            return picture(seen.width, seen.height, cap)


def prompt(messages: Sequence[Mapping[str, Any]], media: Iterable[Medium], tools: Sequence[Any], cap: int) -> int:
    """Tokens of a whole request."""
    total = sum(PER_MESSAGE + sum(count(text) for text in texts(message)) for message in messages)
    total += sum(count(json.dumps(tool, ensure_ascii=False)) for tool in tools)
    return total + sum(medium(one.seen, cap) for one in media)


def texts(message: Mapping[str, Any]) -> Iterable[str]:
    """Everything written in a message: its content and the tool calls in it."""
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        yield from (part["text"] for part in content if isinstance(part, dict) and part.get("type") == "text")
    for call in message.get("tool_calls") or ():
        yield json.dumps(call.get("function", {}), ensure_ascii=False)
