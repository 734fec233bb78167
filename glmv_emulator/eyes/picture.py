"""Measures a picture: the fields of its header, and its pixels."""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections import OrderedDict
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError

from glmv_emulator.eyes.colours import SAMPLE_SIDE, Colour, brightness_of, colours_of

# Pillow's names of the formats; other decoders are never used.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# Twice the 6000 x 6000 that the platform documents: larger pictures are refused from their header.
MOST_PIXELS = 2 * 6000 * 6000
MOST_REMEMBERED = 64

_ORIENTATION = 0x0112  # EXIF tag; values 5 to 8 rotate the picture by 90 degrees
_NOT_PICTURES: dict[bytes, str] = {
    b"%PDF": "it is a PDF document",
    b"<svg": "it is an SVG drawing, which has no pixels",
    b"<?xm": "it is an XML document, which has no pixels",
    b"<!DO": "it is an HTML page",
    b"<htm": "it is an HTML page",
    b"data": "it is a data URI, encoded once too often",
    b"iVBO": "it is base64 of base64, encoded once too often",
    b"/9j/": "it is base64 of base64, encoded once too often",
}


class Unreadable(ValueError):
    """The bytes cannot be measured. ``reason`` is a sentence to use after a colon."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SeenImage:
    """The measurements of a picture. Sizes are in pixels after EXIF rotation; shares and brightness are 0-1."""

    format: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    mode: str
    frames: int
    colours: tuple[Colour, ...]
    brightness: float
    transparent: float


_remembered: OrderedDict[str, SeenImage] = OrderedDict()
_lock = threading.Lock()


def look_image(data: bytes) -> SeenImage:
    """Measure a picture file. Raises `Unreadable` if it is not a picture, is too large or is incomplete."""
    digest = hashlib.sha256(data).hexdigest()
    with _lock:
        if (seen := _remembered.get(digest)) is not None:
            _remembered.move_to_end(digest)
            return seen
    with warnings.catch_warnings():
        # Pillow warns about large pictures and unusual tags, but only undecodable pixels matter here.
        warnings.simplefilter("ignore")
        seen = _look(data, digest)
    with _lock:
        _remembered[digest] = seen
        while len(_remembered) > MOST_REMEMBERED:
            _remembered.popitem(last=False)
    return seen


def open_picture(data: bytes) -> Image.Image:
    """Open a picture and check its header and size; its pixels are not decoded yet."""
    if not data:
        raise Unreadable("it is empty")
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        reason = _NOT_PICTURES.get(data[:4], "its first bytes are not those of a supported picture format")
        raise Unreadable(reason) from None
    except Image.DecompressionBombError:
        raise Unreadable(f"it has more than {MOST_PIXELS} pixels") from None
    except (OSError, ValueError, SyntaxError, KeyError, IndexError, TypeError) as error:
        raise Unreadable(f"its header is broken ({error})") from None
    if picture.width * picture.height > MOST_PIXELS:
        raise Unreadable(f"{picture.width} x {picture.height} is more than {MOST_PIXELS} pixels")
    return picture


def _look(data: bytes, digest: str) -> SeenImage:
    with open_picture(data) as picture:
        name = "JPEG" if picture.format == "MPO" else picture.format or "?"
        _check_end(name, data)
        mode, width, height = picture.mode, picture.width, picture.height
        try:
            turned = picture.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
            frames = getattr(picture, "n_frames", 1) if name != "JPEG" else 1
            picture.seek(0)
            # libjpeg can decode to a smaller size, which is faster; it still reads every byte.
            picture.draft("RGB", (2 * SAMPLE_SIDE, 2 * SAMPLE_SIDE))
            picture.load()
            small = _shrink(picture)
        except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
            raise Unreadable(f"its pixel data is incomplete or damaged ({error})") from None
    colours, transparent = _on_white(small)
    return SeenImage(
        format=name,
        width=height if turned else width,
        height=width if turned else height,
        size_bytes=len(data),
        sha256=digest,
        mode=mode,
        frames=frames,
        colours=colours_of(colours),
        brightness=brightness_of(colours),
        transparent=transparent,
    )


def upright(data: bytes, most_side: int) -> Image.Image:
    """The first frame as RGB on white, rotated by its EXIF orientation, with sides of at most ``most_side`` pixels."""
    with open_picture(data) as picture:
        try:
            picture.load()
            rotated = ImageOps.exif_transpose(picture)
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise Unreadable(f"its pixel data is incomplete or damaged ({error})") from None
    if max(rotated.size) > most_side:
        rotated.thumbnail((most_side, most_side))
    return _on_white(rotated)[0]


def _shrink(picture: Image.Image) -> Image.Image:
    factor = -(-max(picture.width, picture.height) // SAMPLE_SIDE)
    # Palette indexes must not be averaged.
    whole = picture.convert("RGBA") if picture.mode in ("P", "PA", "LA") else picture
    if picture.mode.startswith("I") or picture.mode == "F":
        whole = _to_eight_bits(picture)
    if whole.mode not in ("RGB", "RGBA", "L"):
        whole = whole.convert("RGB")
    if factor > 1:
        # Take single pixels instead of averages, so that black print on white paper does not become grey.
        size = (max(1, whole.width // factor), max(1, whole.height // factor))
        return whole.resize(size, Image.Resampling.NEAREST)
    return whole.copy()


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    deep = picture.convert("F")
    _, high = deep.getextrema()
    factor = 1 / 257 if isinstance(high, float) and high > 255 else 1.0
    return deep.point(lambda level: level * factor).convert("L")


def _on_white(picture: Image.Image) -> tuple[Image.Image, float]:
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        alpha = rgba.getchannel("A")
        levels = alpha.histogram()
        clear = 1 - sum(level * count for level, count in enumerate(levels)) / (255 * sum(levels))
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=alpha)
        return white, clear
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _to_eight_bits(picture)
    return picture.convert("RGB"), 0.0


def _check_end(name: str, data: bytes) -> None:
    """Raise `Unreadable` if the end of the file is missing. Decoders accept such a file.

    Each format marks its end in its own way. TIFF has no such mark, so a TIFF file is not checked.
    """
    whole = True
    match name:
        case "JPEG":
            whole = data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
        case "PNG":
            whole = b"IEND\xaeB`\x82" in data
        case "WEBP":
            whole = len(data) >= int.from_bytes(data[4:8], "little") + 8
        case "GIF":
            whole = data.rstrip(b"\0").endswith(b";")
        case "BMP":
            whole = len(data) >= int.from_bytes(data[2:6], "little")
        case "TIFF":
            pass
        case _:
            raise AssertionError(name)
    if not whole:
        raise Unreadable(f"the {name} file breaks off before its end")
