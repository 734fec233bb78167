"""How many tokens pictures and videos come to, by the published preprocessing of the open weights. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from glmv._public import public_class

CELL = 28
"""Pixels of a side that become one token: patch_size 14, and merge_size 2, of every family."""

LAYER = 2
"""Frames of a video that share their tokens (temporal_patch_size); a picture counts as two such frames."""

# `<|begin_of_image|>` and `<|end_of_image|>` around each picture and each layer of a video,
# `<|begin_of_video|>` and `<|end_of_video|>` around a video.
_MARKS = 2


@public_class
@dataclass(frozen=True, slots=True)
class Processor:
    """The picture and video processors of one family of open weights, as far as they decide about tokens.

    Attributes:
        source: where they are published.
        rounding: sides are rounded to the nearest cell, and kept within the bounds by shrinking; or "up".
        least_tokens: of a picture or a video, which is made larger up to there.
        picture_tokens, video_tokens: at most; what is more is made smaller.
        most_aspect: the longer side by the shorter one, at most; None for any.
        video_rates: (seconds, frames a second): for a video of so many seconds at most. A longer one than the last row
            says counts as that long.
        video_frames: at most, whatever the length.
        stamp_tokens: of the time that stands behind each layer of a video, in text.
    """

    source: str
    rounding: Literal["nearest", "up"]
    least_tokens: int
    picture_tokens: int
    video_tokens: int
    video_rates: tuple[tuple[float, float], ...]
    video_frames: int
    stamp_tokens: int
    most_aspect: float | None = None

    def picture(self, width: int, height: int) -> int:
        """Tokens of a picture of so many pixels, its two marks included."""
        return self._cells(width, height, 1, self.picture_tokens) + _MARKS

    def video(self, width: int, height: int, seconds: float) -> int:
        """Tokens of a video of so many pixels and seconds, marks and times of its frames included."""
        layers = math.ceil(self.frames(seconds) / LAYER)
        cells = self._cells(width, height, layers, self.video_tokens)
        return layers * (cells + _MARKS + self.stamp_tokens) + _MARKS

    def frames(self, seconds: float) -> int:
        """Frames that a video of so many seconds is cut into."""
        if seconds < 1:  # the processors end at the last whole second
            return 1
        counted = min(seconds, self.video_rates[-1][0])
        rate = next(rate for most, rate in self.video_rates if counted <= most)
        return max(1, min(int(counted * rate), self.video_frames))

    def _cells(self, width: int, height: int, layers: int, most: int) -> int:
        """Tokens of one of `layers` pictures of one size that together have between the least and the most tokens."""
        match self.rounding:
            case "nearest":
                return _nearest(width, height, layers, self.least_tokens, most)
            case "up":
                return _up(width, height, layers, self.least_tokens, most)


def _nearest(width: int, height: int, layers: int, least: int, most: int) -> int:
    """Sides to the nearest cell. Where that is out of bounds: both by one factor, then down or up to a whole cell."""
    enlarge = max(1.0, CELL / min(width, height))
    width, height = int(width * enlarge), int(height * enlarge)
    cells = round(width / CELL) * round(height / CELL)
    if layers * cells > most:
        factor = math.sqrt(layers * width * height / (most * CELL**2))
        return math.prod(max(1, math.floor(side / factor / CELL)) for side in (width, height))
    if layers * cells < least:
        factor = math.sqrt(least * CELL**2 / (layers * width * height))
        return math.prod(math.ceil(side * factor / CELL) for side in (width, height))
    return cells


def _up(width: int, height: int, layers: int, least: int, most: int) -> int:
    """Sides up to whole cells; beyond the most, the largest picture of the same shape that fits."""
    cells = _covering(width, height)
    if layers * cells < least:
        factor = math.sqrt(least * CELL**2 / (layers * width * height))
        cells = _covering(math.ceil(width * factor), math.ceil(height * factor))
    if layers * cells <= most:
        return cells
    low, high, best = 1, height, 1
    while low <= high:
        tried = (low + high) // 2
        cells = _covering(max(1, width * tried // height), tried)
        if layers * cells <= most:
            best, low = cells, tried + 1
        else:
            high = tried - 1
    return best


def _covering(width: int, height: int) -> int:
    return math.ceil(width / CELL) * math.ceil(height / CELL)
