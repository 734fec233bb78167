"""Counts the tokens of pictures and videos by the published preprocessing of the open weights. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from glmv._public import public_class

CELL = 28
"""A token covers a square of this many pixels a side: patch_size 14 times merge_size 2, in every model family."""

LAYER = 2
"""Frames of a video that share their tokens (temporal_patch_size); a picture counts as two such frames."""

# `<|begin_of_image|>` and `<|end_of_image|>` around each picture and each layer of a video,
# `<|begin_of_video|>` and `<|end_of_video|>` around a video.
_MARKS = 2

# GLM's tokenizer splits numbers into groups of three digits, so a time of 1000 s or more has one token more.
_LONG_SECONDS = 1000


@public_class
@dataclass(frozen=True, slots=True)
class Processor:
    """The parameters that determine how many tokens a picture or video has for the models of one family.

    Attributes:
        source: where the parameters are published.
        rounding: how sides become whole cells: "nearest", or "up".
        least_tokens: the fewest tokens; a smaller picture or video is enlarged.
        picture_tokens, video_tokens: the most tokens; a larger picture or video is shrunk.
        most_aspect: the largest ratio of the longer side to the shorter one; None if every ratio is accepted.
        video_rates: pairs (maximum length in seconds, frames a second), the shortest length first. A video that is
            longer than the last length gets as many frames as a video of that length.
        video_frames: the most frames of a video of any length.
        stamp_tokens: tokens of one time stamp of up to 999 s. A time stamp follows every two frames of a video.
        whole_seconds: whether frames are taken only up to the last whole second of a video.
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
        """Tokens of a picture, including the two special tokens around it. Sides in pixels."""
        return self._cells(width, height, 1, self.picture_tokens) + _MARKS

    def video(self, width: int, height: int, seconds: float, frame_rate: float | None = None) -> int:
        """Tokens of a video, including the special tokens and the times of its frames.

        Args:
            width: pixels.
            height: pixels.
            seconds: its duration.
            frame_rate: frames a second. None or 0 means unknown, and is treated as high enough.
        """
        layers = math.ceil(self.frames(seconds, frame_rate) / LAYER)
        cells = self._cells(width, height, layers, self.video_tokens)
        longer = layers * max(0.0, 1 - _LONG_SECONDS / seconds) if seconds else 0
        return layers * (cells + _MARKS + self.stamp_tokens) + round(longer) + _MARKS

    def frames(self, seconds: float, frame_rate: float | None = None) -> int:
        """How many different frames are taken from a video; the arguments are those of `video`."""
        counted = min(seconds, self.video_rates[-1][0])
        rate = next(rate for most, rate in self.video_rates if counted <= most)
        wanted = max(1, min(int(counted * rate), self.video_frames))
        if not frame_rate:
            return 1 if self.whole_seconds and seconds < 1 else wanted
        total = max(1, round(seconds * frame_rate))
        if not self.whole_seconds or total < wanted:
            return min(wanted, total)
        count, last = _steps(total, frame_rate, rate, int(seconds), wanted)
        # If that gives too few frames, the wanted number is spread evenly from the first frame to the last one taken.
        return wanted if count >= wanted else min(wanted, last + 1)

    def _cells(self, width: int, height: int, layers: int, most: int) -> int:
        """Tokens of one picture, sized so that `layers` such pictures have from `least_tokens` to `most` tokens."""
        match self.rounding:
            case "nearest":
                return _nearest(width, height, layers, self.least_tokens, most)
            case "up":
                return _up(width, height, layers, self.least_tokens, most)


def _steps(total: int, frame_rate: float, rate: float, until: int, most: int) -> tuple[int, int]:
    """Takes a frame every 1/rate seconds up to `until`. Returns the number of frames and the index of the last frame.

    It stops after `most` + 1 frames. The times are added up as in the published processors, with the same rounding
    errors: if a frame and a step have the same time, the errors decide whether this frame or the next one is taken.
    """
    count, last, moment = 0, -1, 0.0
    apart, step = 1 / frame_rate, 1 / rate
    while count <= most:
        index = max(last + 1, math.floor(moment * frame_rate) - 1)
        while index * apart < moment:
            index += 1
        if index >= total:
            break
        count, last, moment = count + 1, index, moment + step
        if moment >= until:
            break
    return count, last


def _nearest(width: int, height: int, layers: int, least: int, most: int) -> int:
    """The number of cells of a picture whose sides are rounded to the nearest cell.

    The number of cells of the picture times `layers` is the total. If it is over `most`, both sides are reduced by the
    same factor, and rounded down. If it is under `least`, both are enlarged by the same factor, and rounded up.
    """
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
    """The cells of a picture whose sides are rounded up to whole cells.

    If `layers` such pictures have under `least` cells, the picture is enlarged. If they have over `most`, it is reduced
    to the largest picture of the same shape that fits.
    """
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
