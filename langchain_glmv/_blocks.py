"""`image(x)` and `video(x)`: whatever the programmer has -> a standard content block of LangChain."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import glmv
from langchain_glmv._errors import joined_errors

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

Source = str | os.PathLike[str] | bytes | bytearray | memoryview


def image(source: Source | PILImage | glmv.Image) -> dict[str, Any]:
    """A path, bytes, a Pillow picture or a URL -> `{"type": "image", ...}` for a message's content.

    A str with a scheme is a URL, which the platform fetches; any other str is a path, which is opened here.
    So do not call it on a string that came out of a message.

    Raises:
        InvalidRequestError: there is no such file, or it is no picture.
    """
    with joined_errors():
        return _block("image", glmv.Image.of(source))


def video(source: Source | glmv.Video) -> dict[str, Any]:
    """A path, bytes or a URL -> `{"type": "video", ...}` for a message's content.

    Raises:
        InvalidRequestError: there is no such file, or it is no video.
    """
    with joined_errors():
        return _block("video", glmv.Video.of(source))


def _block(kind: str, media: glmv.Image | glmv.Video) -> dict[str, Any]:
    if media.url is not None:
        return {"type": kind, "url": media.url}
    return {"type": kind, "base64": media.base64().decode("ascii"), "mime_type": media.mime}
