"""Decides whether messages are too large to be handled in an event loop."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from glmv.media import File, Image, Video
from glmv.types import Message, Text

LARGE = 128 * 1024
"""From this number of characters or bytes, messages are handled in a worker thread. The switch to it takes about
0.1 ms; checking so much base64, or writing it as JSON, takes 0.3 ms."""


def is_large(value: object) -> bool:
    """Whether messages, or values that will become messages, have much content to read, check or encode.

    True for a picture, video or file with bytes, for an open file, and for `LARGE` characters or more in all strings
    together, at any depth in lists, dicts and pydantic objects.
    """
    left, todo = LARGE, [value]
    while todo:
        match todo.pop():
            case Message(content=content):
                todo += content
            case Text(text=text):
                left -= len(text)
            case list() | tuple() as several:
                todo += several
            case str() | bytes() | bytearray() | memoryview() as text:
                left -= len(text)
            case Image() | Video() | File() as medium:
                if medium.size is not None:
                    return True
            case Mapping() as table:
                todo += table.values()
            case BaseModel() as model:
                todo += vars(model).values()
            case other if hasattr(other, "read"):
                return True
        if left <= 0:
            return True
    return False
