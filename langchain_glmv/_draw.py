"""Grounding made visible: the boxes of an answer, drawn on the picture that was asked about."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableLambda

import glmv
from langchain_glmv._blocks import Source
from langchain_glmv._errors import joined_errors

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

# "coordinates are normalized to 0-1000": github.com/zai-org/GLM-V, README, Grounding.
_GRID = 1000


def draw_boxes(
    source: Source | PILImage | glmv.Image, *, index: int | None = None, color: str = "red", width: int = 3
) -> Runnable[AIMessage, PILImage]:
    """A runnable that draws `response_metadata["boxes"]` of a message: `model | draw_boxes("photo.jpg")`.

    Args:
        source: the picture that was asked about: a path, bytes, a Pillow picture or a `glmv.Image` with bytes at hand.
        index: draw only the boxes of this picture, counted from 0 over the request; None draws all.
        color: of the lines, in Pillow's terms.
        width: of the lines, in pixels.

    Returns:
        A runnable from a message to a new Pillow picture; without boxes it is the picture as it was.
    """
    with joined_errors():
        data = glmv.Image.of(source).data()

    def draw(message: AIMessage) -> Any:
        from PIL import Image, ImageDraw, ImageOps

        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        pen = ImageDraw.Draw(picture)
        for box in message.response_metadata.get("boxes", ()):
            if index is None or box["image"] in (None, index):
                x1, y1, x2, y2 = box["grid"]
                across, down = picture.width / _GRID, picture.height / _GRID
                pen.rectangle((x1 * across, y1 * down, x2 * across, y2 * down), outline=color, width=width)
        return picture

    return RunnableLambda(draw, name="draw_boxes")
