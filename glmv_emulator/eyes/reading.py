"""Reads the words and codes in a picture, if the extra `eyes` is installed.

The engines are loaded at first use. Results are cached by the picture's SHA-256.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from glmv_emulator.eyes.picture import open_picture, upright

if TYPE_CHECKING:
    from PIL.Image import Image

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the upright picture

LONGEST_SIDE = 2000  # pixels; larger pictures are shrunk before they are read
MOST_REMEMBERED = 64
# Scores are from 0 to 1. A single character is often a speck, so it needs a higher score.
LEAST_SCORE, LEAST_SCORE_ALONE = 0.6, 0.9
FLAT = 8  # levels by which the pixels of a one-colour picture may differ, because of JPEG
_THREADS = 2


@dataclass(frozen=True, slots=True)
class Line:
    """A line of words, and its box."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Code:
    """A QR or bar code: its kind, its content, and its box."""

    kind: str
    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Reading:
    """The text in a picture of ``width`` x ``height`` pixels."""

    lines: tuple[Line, ...]
    codes: tuple[Code, ...]
    width: int
    height: int


_remembered: OrderedDict[str, Reading] = OrderedDict()
_lock = threading.Lock()


@cache
def can_read() -> bool:
    """Whether the extra `eyes` is installed."""
    return all(find_spec(name) is not None for name in ("rapidocr", "onnxruntime", "zxingcpp"))


def read_image(data: bytes) -> Reading | None:
    """The words and codes in a picture that `look_image` accepts; None without the extra `eyes`."""
    if not can_read():
        return None
    digest = hashlib.sha256(data).hexdigest()
    # One picture at a time, because the engine already uses all its threads.
    with _lock:
        if (reading := _remembered.get(digest)) is not None:
            _remembered.move_to_end(digest)
            return reading
        reading = _read(data)
        _remembered[digest] = reading
        while len(_remembered) > MOST_REMEMBERED:
            _remembered.popitem(last=False)
        return reading


def _read(data: bytes) -> Reading:
    picture = upright(data, LONGEST_SIDE)
    if all(_is_flat(channel.histogram()) for channel in picture.split()):
        return Reading((), (), *picture.size)  # one colour: there is nothing to read
    with open_picture(data) as opened:
        longest = max(opened.size)
    scale = longest / max(picture.size)
    lines = [Line(text, _scaled(box, scale)) for text, box in _lines(picture)]
    codes = [Code(kind, text, _scaled(box, scale)) for kind, text, box in _codes(picture)]
    size = round(picture.width * scale), round(picture.height * scale)
    return Reading(tuple(lines), tuple(codes), *size)


def _is_flat(histogram: list[int]) -> bool:
    levels = [level for level, count in enumerate(histogram) if count]
    return levels[-1] - levels[0] <= FLAT


def _scaled(box: tuple[float, float, float, float], scale: float) -> Box:
    left, top, right, bottom = (round(side * scale) for side in box)
    return left, top, right, bottom


@cache
def _engine() -> Any:  # RapidOCR ships no types
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": _THREADS,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def _lines(picture: Image) -> list[tuple[str, tuple[float, float, float, float]]]:
    import numpy as np

    result = _engine()(np.asarray(picture)[:, :, ::-1])
    if result.boxes is None:
        return []
    lines = []
    for corners, text, score in zip(result.boxes, result.txts, result.scores, strict=True):
        text = _apart(text.strip())
        if not text or score < (LEAST_SCORE_ALONE if len(text) == 1 else LEAST_SCORE):
            continue
        across, down = [float(corner[0]) for corner in corners], [float(corner[1]) for corner in corners]
        lines.append((text, (min(across), min(down), max(across), max(down))))
    return lines


def _apart(text: str) -> str:
    """Separate a date and a time that were read as one word: "14.03.202609:41"."""
    return re.sub(r"((?:19|20)\d\d)(\d\d:\d\d)", r"\1 \2", text)


def _codes(picture: Image) -> list[tuple[str, str, tuple[float, float, float, float]]]:
    import zxingcpp

    codes: list[tuple[str, str, tuple[float, float, float, float]]] = []
    for code in zxingcpp.read_barcodes(picture):
        where = code.position
        corners = (where.top_left, where.top_right, where.bottom_left, where.bottom_right)
        across, down = [corner.x for corner in corners], [corner.y for corner in corners]
        codes.append((_kind(code.format), str(code.text), (min(across), min(down), max(across), max(down))))
    return codes


def _kind(form: Any) -> str:
    name = str(form).rsplit(".", 1)[-1]
    return "QR code" if name.lower().replace(" ", "").startswith("qr") else f"{name} bar code"
