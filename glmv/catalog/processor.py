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

# GLM's tokenizer splits numbers into groups of three digits: a time from here on is one token longer.
_LONG_SECONDS = 1000


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
        stamp_tokens: of the time that stands behind each layer of a video, in text, up to 999 s.
        whole_seconds: frames are looked for up to the last whole second of a video only.
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
    whole_seconds: bool = False

    def picture(self, width: int, height: int) -> int:
        """Tokens of a picture of so many pixels, its two marks included."""
        return self._cells(width, height, 1, self.picture_tokens) + _MARKS

    def video(self, width: int, height: int, seconds: float, frame_rate: float | None = None) -> int:
        """Tokens of a video, marks and times of its frames included.

        Args:
            width: pixels.
            height: pixels.
            seconds: how long it lasts.
            frame_rate: its frames a second. None or 0 is unknown, and counts as enough.
        """
        layers = math.ceil(self.frames(seconds, frame_rate) / LAYER)
        cells = self._cells(width, height, layers, self.video_tokens)
        longer = layers * max(0.0, 1 - _LONG_SECONDS / seconds) if seconds else 0
        return layers * (cells + _MARKS + self.stamp_tokens) + round(longer) + _MARKS

    def frames(self, seconds: float, frame_rate: float | None = None) -> int:
        """Different frames that are taken from a video of so many seconds and frames a second (None: enough)."""
        counted = min(seconds, self.video_rates[-1][0])
        rate = next(rate for most, rate in self.video_rates if counted <= most)
        wanted = max(1, min(int(counted * rate), self.video_frames))
        if not frame_rate:
            return 1 if self.whole_seconds and seconds < 1 else wanted
        total = max(1, round(seconds * frame_rate))
        if not self.whole_seconds or total < wanted:
            return min(wanted, total)
        taken, last = _steps(total, frame_rate, rate, int(seconds), wanted)
        # Where the steps find too few, as many as are wanted are spread from the first frame to the last one found.
        return wanted if taken >= wanted else min(wanted, last + 1)

    def _cells(self, width: int, height: int, layers: int, most: int) -> int:
        """Tokens of one of `layers` pictures of one size that together have between the least and the most tokens."""
        match self.rounding:
            case "nearest":
                return _nearest(width, height, layers, self.least_tokens, most)
            case "up":
                return _up(width, height, layers, self.least_tokens, most)


def _steps(total: int, frame_rate: float, rate: float, until: int, most: int) -> tuple[int, int]:
    """Go through `total` frames in steps of 1/rate seconds up to `until`: how many are taken, and the last one's index.

    It stops after one more than `most`. The sums are those of the published processors, rounding errors included, since
    a frame at the very moment of a step is taken or left by them.
    """
    taken, last, moment = 0, -1, 0.0
    apart, step = 1 / frame_rate, 1 / rate
    while taken <= most:
        index = max(last + 1, math.floor(moment * frame_rate) - 1)
        while index * apart < moment:
            index += 1
        if index >= total:
            break
        taken, last, moment = taken + 1, index, moment + step
        if moment >= until:
            break
    return taken, last


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
