"""Whether there is so much in messages that an event loop should not handle them itself."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from glmv.media import File, Image, Video
from glmv.types import Message, Text

LARGE = 128 * 1024
"""Characters or bytes from which on a worker thread is worth its switch of about 0.1 ms: to check so much base64, or to
write it as JSON, takes 0.3 ms."""


def is_large(value: object) -> bool:
    """Whether messages, or what will be made messages, hold much to read, check or encode.

    True for a picture, video or file whose bytes are at hand, for an open file, and for `LARGE` characters or more in
    all strings, however deep they are in lists, dicts and pydantic objects.
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
