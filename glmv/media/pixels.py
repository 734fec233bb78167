"""Measures, decodes and re-encodes pictures with Pillow (extra `images`).

The other modules of `glmv.media` use Pillow only through this one.
"""

from __future__ import annotations

import io
import math
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from glmv.errors import LimitExceeded, UnsupportedContent
from glmv.media.formats import FORMATS, spoken
from glmv.media.stopping import go_on
from glmv.media.text import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from PIL.Image import Image

    PILImage: TypeAlias = Image

    from glmv.media.headers import Picture

MAX_PIXELS = 89_478_485
"""The most pixels of a picture by its header: Pillow's own `MAX_IMAGE_PIXELS`, 256 MB of RGB."""

MAX_JPEG_PIXELS = 300_000_000
"""The most pixels of a JPEG that can be decoded at 1/2, 1/4 or 1/8 of its size: cameras have 200 million."""

MAX_PAGES = 150
"""The most pages that are converted to pictures: the largest documented number of pictures in one request."""

ORIENTATION = 0x0112
"""The EXIF tag for the orientation (EXIF 2.32): 1 is upright, 5 to 8 are rotated by 90 degrees."""

QUALITIES = (92, 85, 75, 60)
"""JPEG qualities to try before the sides are reduced."""

SHRINK = 0.75
"""The factor for each side when the file is too large at all qualities."""

SMALLEST_SIDE = 64
"""The smallest longer side in pixels: a smaller picture is refused, because a model would not see anything in it."""

LEAST_SHARE = 1 / 4
"""If the lightest level is below this share of 16 bits, the levels are those of a sensor or scan with fewer bits."""

_LOOK_AHEAD = 16  # bytes that a decoder reads after the last pixels of a JPEG

# Pillow's readers rotate these formats: HEIC and AVIF by a property of the file, TIFF by its orientation tag.
_UPRIGHT = {"avif", "heic"}
_TURNED_BY_READER = {"heic", "tiff"}


def measure(file: io.RawIOBase, kind: str) -> tuple[int, int, int] | None:
    """Reads the sides and the orientation of a picture from its header. No pixels are decoded.

    Args:
        file: the picture file, of which only the header is read.
        kind: its format, one that `headers` does not measure itself.

    Returns:
        Width and height as displayed, and the EXIF orientation, 1 to 8. None if Pillow (for HEIC: pillow_heif) is
        missing or cannot read the header.

    Raises:
        LimitExceeded: Pillow refuses the picture because of its number of pixels.
    """
    try:
        from PIL import Image
    except ImportError:
        return None
    try:
        picture = _reader(kind)(file)
        width, height = picture.size
    except Image.DecompressionBombError as error:
        raise LimitExceeded(f"According to its header, the picture has too many pixels: {error}") from None
    except Exception:  # noqa: BLE001 - readers raise any error for damaged files; fitting reports the reason
        return None
    try:
        orientation = checked_orientation(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - as above; a damaged EXIF block is ignored
        orientation = 1
    if kind not in _TURNED_BY_READER:
        width, height = displayed(width, height, orientation)
    return width, height, 1 if kind in _UPRIGHT else orientation


def _reader(kind: str) -> Any:
    """The class that reads a format. `PIL.Image.open` would import every such class, and warn of refused pictures."""
    module, name = FORMATS[kind].reader
    return getattr(import_module(module), name)


def checked_orientation(orientation: object) -> int:
    """An EXIF orientation, 1 to 8; 1 for any other value."""
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def displayed(width: int, height: int, orientation: int) -> tuple[int, int]:
    """The sides as displayed: orientations 5 to 8 swap them."""
    return (height, width) if orientation >= 5 else (width, height)


class Fitted(NamedTuple):
    """A picture file within limits, and remarks about it: pages that were left out, levels that were stretched."""

    data: bytes
    remarks: tuple[str, ...] = ()


def fit(
    data: bytes,
    label: str,
    facts: Picture,
    max_bytes: int | None = None,
    max_side: int | None = None,
    formats: tuple[str, ...] = (),
) -> Fitted:
    """Decode a picture (the first frame of an animation), rotate it upright, and encode it within limits.

    Drawings and pictures with transparency become PNG, without loss, if that is small enough. If it is not, they become
    JPEG, like all other pictures, with white in place of transparency. `formats` may exclude one of the two.

    Args:
        data: the picture file. `facts` are those of its header; `label` names it in errors.
        max_bytes: the maximum size of the result in bytes, or None.
        max_side: the maximum length of its longer side in pixels, or None.
        formats: accepted formats; () for any.
    """
    go_on()
    picture, remarks = _decode(data, label, facts, max_side)
    go_on()
    return Fitted(_encoded(picture, label, facts, max_bytes, formats), remarks)


def _encoded(picture: PILImage, label: str, facts: Picture, max_bytes: int | None, formats: tuple[str, ...]) -> bytes:
    clear = picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info
    encodings = _allowed(formats, label)
    if "png" in encodings and (clear or FORMATS[facts.format].drawn or "jpg" not in encodings):
        encoded = _png(picture)
        if max_bytes is None or len(encoded) <= max_bytes:
            return encoded
        if "jpg" not in encodings:
            return _shrunk(picture, label, max_bytes, lambda p: [_png(p)])
    picture = _opaque(picture)
    return _shrunk(picture, label, max_bytes, lambda p: (_jpeg(p, quality) for quality in QUALITIES))


def pages(data: bytes, label: str, facts: Picture, n: int | None) -> Iterator[bytes]:
    """The pages or frames of a file, each upright, as a JPEG or PNG.

    Args:
        data: the picture file. `facts` are those of its header; `label` names it in errors.
        n: how many, from the first on; None for all.

    Raises:
        LimitExceeded: the result would have more than `MAX_PAGES`, or a page has too many pixels.
        UnsupportedContent: Pillow is missing, or a page cannot be decoded.
    """
    source = _opened(data, label, facts)
    count = _count(source, facts)
    wanted = count if n is None else min(n, count)
    if wanted > MAX_PAGES:
        row = FORMATS[facts.format]
        raise LimitExceeded(f"{label} has {count} {row.many}s; take at most {MAX_PAGES} of them: pages({MAX_PAGES}).")
    for index in range(wanted):
        try:
            if count > 1:
                source.seek(index)
            _check_pixels(source, label)
            _draft(source, None)
            picture, _ = _upright(source, None)
            yield _encoded(picture, label, facts, None, ())
        except LimitExceeded:
            raise
        except Exception as error:
            raise UnsupportedContent(
                f"{label}: its {FORMATS[facts.format].many} {index + 1} of {count} cannot be decoded "
                f"({type(error).__name__}: {shortened(str(error), 200)})."
            ) from error


def decoded(data: bytes, label: str, facts: Picture) -> PILImage:
    """The first picture of a file, upright, with 8 bits; a JPEG of more than `MAX_PIXELS` is scaled down.

    Raises:
        LimitExceeded: the picture has too many pixels.
        UnsupportedContent: Pillow is missing, or the picture cannot be decoded.
    """
    return _decode(data, label, facts, None)[0]


def decodes(data: bytes) -> bool:
    """Whether a JPEG without its end marker has all its pixels; False if Pillow is missing.

    It is decoded at an eighth of its width and height. A failed download may leave zeros at the end of the file, which
    decode as pixels. So these zeros are removed first, except for those that a decoder reads after the last pixels.
    """
    if not available():
        return False
    try:
        picture = _reader("jpg")(io.BytesIO(data.rstrip(b"\0") + bytes(_LOOK_AHEAD)))
        picture.draft(None, (max(1, picture.width // 8), max(1, picture.height // 8)))
        picture.load()
    except Exception:  # noqa: BLE001 - decoders raise any error for damaged files
        return False
    return True


def encode(picture: PILImage) -> Fitted:
    """Encodes a Pillow picture: as JPEG if it was read from a JPEG, else as PNG. The EXIF orientation is applied."""
    pillow("a Pillow picture")
    from PIL import ImageOps

    was = getattr(picture, "format", None)
    try:
        upright = ImageOps.exif_transpose(picture)
        upright, remarks = _eight_bit(upright)
        return Fitted(_jpeg(_opaque(upright), 95) if was in {"JPEG", "MPO"} else _png(upright), remarks)
    except (OSError, ValueError, SyntaxError, AttributeError) as error:
        raise UnsupportedContent(f"The Pillow picture cannot be encoded: {error}.") from error


def available() -> bool:
    """Whether Pillow is installed."""
    return find_spec("PIL") is not None


def pillow(label: str) -> ModuleType:
    """Returns `PIL.Image`. If Pillow is missing, raises UnsupportedContent with the command to install it."""
    try:
        from PIL import Image
    except ImportError:
        raise UnsupportedContent(
            f'{label} must be re-encoded for this model, which needs Pillow: pip install "glmv[images]". '
            "Or send a JPEG or PNG within the limits, without an EXIF rotation."
        ) from None
    return Image


def _decode(data: bytes, label: str, facts: Picture, max_side: int | None) -> tuple[PILImage, tuple[str, ...]]:
    """The first picture of a file, upright and in 8 bits, no side longer than `max_side`; and remarks about it."""
    picture = _opened(data, label, facts)
    try:
        _check_pixels(picture, label)
        if facts.width and facts.height and picture.width * picture.height > facts.width * facts.height * 2:
            # Two readers may see different sizes in one file: only the measured size may be decoded.
            raise LimitExceeded(f"{label}: the picture is larger than its header says.")
        remarks = _remarks(picture, facts)
        _draft(picture, max_side)
        upright, levels = _upright(picture, max_side)
        return upright, remarks + levels
    except LimitExceeded:
        raise
    except Exception as error:
        raise _damaged(data, label, facts, error) from error


def _opened(data: bytes, label: str, facts: Picture) -> PILImage:
    module = pillow(label)
    if facts.format == "heic":
        _register_heif(label)
    try:
        if facts.format == "jpg":  # `PIL.Image.open` refuses twice MAX_PIXELS, whatever size is decoded
            picture: PILImage = _reader("jpg")(io.BytesIO(data))
        else:
            picture = module.open(io.BytesIO(data))
        return picture
    except (module.DecompressionBombError, module.DecompressionBombWarning) as error:
        raise LimitExceeded(f"{label}: {error}") from None
    except Exception as error:
        raise _damaged(data, label, facts, error) from error


def _damaged(data: bytes, label: str, facts: Picture, error: Exception) -> UnsupportedContent:
    return UnsupportedContent(
        f"{label}: this {spoken(facts.format)} of {len(data):,} bytes cannot be decoded "
        f"({type(error).__name__}: {shortened(str(error), 200)}). "
        "It is damaged or cut short; save it again, or pass fit=False to send it as it is."
    )


def _check_pixels(picture: PILImage, label: str) -> None:
    most = MAX_JPEG_PIXELS if picture.format == "JPEG" else MAX_PIXELS
    if picture.width * picture.height > most:
        raise LimitExceeded(f"{label} has {picture.width}x{picture.height} pixels; the limit is {most:,}.")


def _draft(picture: PILImage, max_side: int | None) -> None:
    """Decode a JPEG at a smaller size, if it will be scaled down anyway or would need too much memory."""
    if picture.format == "JPEG":
        scale = draft_scale(picture.width, picture.height, max_side)
        picture.draft(None, (max(1, picture.width // scale), max(1, picture.height // scale)))


def draft_scale(width: int, height: int, max_side: int | None) -> int:
    """The number by which a decoder divides the sides of a JPEG: 1, 2, 4 or 8.

    It is the largest number that leaves at least `max_side` pixels on the longer side; without `max_side` it is 1. It
    is larger if the decoded picture would otherwise have more than `MAX_PIXELS`.
    """
    longer = max(width, height)
    for scale in (1, 2, 4, 8):
        fits = width * height <= MAX_PIXELS * scale**2
        if fits and (max_side is None or longer // (scale * 2) < max_side):
            return scale
    return 8


def _upright(picture: PILImage, max_side: int | None) -> tuple[PILImage, tuple[str, ...]]:
    from PIL import ImageOps

    picture.load()
    upright, remarks = _eight_bit(picture)
    if max_side is not None:
        upright.thumbnail((max_side, max_side))  # before the rotation, which needs twice the memory
    return ImageOps.exif_transpose(upright), remarks


DNG_VERSION, SUBFILE_TYPE = 50706, 254  # tags of TIFF: Adobe's DNG 1.4, and TIFF 6.0, section 8


def _remarks(picture: PILImage, facts: Picture) -> tuple[str, ...]:
    """Remarks on the parts of a file that are not sent: its other pages, or the photograph in a camera's raw file."""
    tags = getattr(picture, "tag_v2", {})
    if DNG_VERSION in tags or tags.get(SUBFILE_TYPE) == 1:
        what = "DNG" if DNG_VERSION in tags else "camera's raw file"
        return (f"only the thumbnail of this {what} is sent: export the photograph as JPEG to send it",)
    count = _count(picture, facts)
    if count < 2:
        return ()
    many = FORMATS[facts.format].many
    return (f"only {many} 1 of {count} is sent; glmv.Image.pages() returns all {many}s",)


def _count(picture: PILImage, facts: Picture) -> int:
    """The number of pages or frames; 1 for formats whose other pictures are copies of the first, such as previews."""
    try:
        return int(getattr(picture, "n_frames", 1)) if FORMATS[facts.format].many else 1
    except Exception:  # noqa: BLE001 - readers raise any error for damaged files; decoding reports the reason
        return 1


def _register_heif(label: str) -> None:
    try:
        heif = import_module("pillow_heif")
    except ImportError:
        raise UnsupportedContent(
            f"{label} is HEIC, which this model does not accept and Pillow alone cannot read: "
            'pip install "glmv[heic]", or export it as JPEG.'
        ) from None
    heif.register_heif_opener()


def _allowed(formats: tuple[str, ...], label: str) -> set[str]:
    encodings = {"jpg", "png"} & set(formats) if formats else {"jpg", "png"}
    if not encodings:
        raise UnsupportedContent(
            f"{label}: it can be re-encoded as JPEG or PNG, but the model accepts only {', '.join(formats)}."
        )
    return encodings


def _shrunk(picture: PILImage, label: str, max_bytes: int | None, attempts: Any) -> bytes:
    while True:
        for encoded in attempts(picture):
            go_on()
            if max_bytes is None or len(encoded) <= max_bytes:
                assert isinstance(encoded, bytes)
                return encoded
        width, height = (max(1, round(side * SHRINK)) for side in picture.size)
        if max(width, height) < SMALLEST_SIDE:
            raise LimitExceeded(
                f"{label} cannot be reduced to {max_bytes:,} bytes with sides of {SMALLEST_SIDE} pixels or more."
            )
        picture = picture.resize((width, height))


def _opaque(picture: PILImage) -> PILImage:
    """The picture in RGB or grey, because JPEG has no transparency and no palette. Transparent pixels become white."""
    if picture.mode in {"RGB", "L"} and "transparency" not in picture.info:
        return picture
    if picture.mode in {"RGBA", "LA", "PA", "P"} or "transparency" in picture.info:
        from PIL import Image

        layer = picture.convert("RGBA")
        page = Image.new("RGB", layer.size, "white")
        page.paste(layer, mask=layer.getchannel("A"))
        return page
    if picture.mode.startswith(("I", "F")):
        return _eight_bit(picture)[0]
    return picture.convert("RGB")


def _eight_bit(picture: PILImage) -> tuple[PILImage, tuple[str, ...]]:
    """Converts grey of 16 or 32 bits to 8 bits, with a remark if levels change. Pillow's conversion would clip them."""
    if not picture.mode.startswith(("I", "F")):
        return picture, ()
    real = picture.convert("F")
    low, high = real.getextrema()
    assert isinstance(low, float | int)
    assert isinstance(high, float | int)
    black, white = levels(picture.mode, low, high)
    scale = 255.0 / (white - black)
    grey = real.point(lambda value: value * scale - black * scale).convert("L")
    if orientation := picture.getexif().get(ORIENTATION):
        grey.getexif()[ORIENTATION] = orientation
    if (black, white) in KEPT_LEVELS:
        return grey, ()
    return grey, (f"its levels {low:g} to {high:g} were stretched: {black:g} is black, {white:g} is white",)


KEPT_LEVELS = ((0, 1), (0, 255), (0, 65535))
"""Levels of black and white that are usual in pictures of more than 8 bits: for these, levels are not stretched."""


def levels(mode: str, low: float, high: float) -> tuple[float, float]:
    """The two levels that become black and white, for a picture with levels from `low` to `high`.

    They are the ends of the first range of `KEPT_LEVELS` that contains `low` and `high`. The range 0 to 1 is only for
    fractions. The range 0 to 65535 is used only if `high` is above `LEAST_SHARE` of 65535, or equals `low`. If no range
    is used, the result is `low` and `high`, so that a scan of 12 bits is visible. A picture with a single level that no
    range contains becomes white.
    """
    fractions, octets, words = KEPT_LEVELS
    if mode.startswith("F") and low >= 0 and high <= 1:
        return fractions
    if low >= 0 and high <= 255:
        return octets
    if low >= 0 and high <= 65535 and (low == high or high > 65535 * LEAST_SHARE):
        return words
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        return low - 1 if math.isfinite(low) else 0, high if math.isfinite(high) else 1
    return low, high


def _jpeg(picture: PILImage, quality: int) -> bytes:
    out = io.BytesIO()
    # Not `optimize=True`: it holds the interpreter's lock for the whole picture, 0.1 s and more.
    picture.save(out, "JPEG", quality=quality, icc_profile=picture.info.get("icc_profile"))
    return out.getvalue()


def _png(picture: PILImage) -> bytes:
    out = io.BytesIO()
    encodable = picture if picture.mode in {"1", "L", "LA", "P", "RGB", "RGBA"} else _opaque(picture)
    encodable.save(out, "PNG", icc_profile=picture.info.get("icc_profile"))
    return out.getvalue()


def encode_frame(picture: PILImage, rotation: float, sides: tuple[int, int]) -> bytes:
    """A video frame as JPEG, scaled to `sides` and rotated counterclockwise by `rotation` degrees."""
    if picture.size != sides:
        picture = picture.resize(sides)
    return _jpeg(picture.rotate(rotation, expand=True) if rotation else picture, QUALITIES[0])
