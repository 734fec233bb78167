"""Pictures measured, decoded and re-encoded by Pillow (extra `images`): the only module of media that imports it."""

from __future__ import annotations

import io
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

from glmv.errors import LimitExceeded, UnsupportedContent

if TYPE_CHECKING:
    from types import ModuleType

    from PIL.Image import Image

    PILImage: TypeAlias = Image

    from glmv.media.headers import Picture

MAX_PIXELS = 89_478_485
"""Pixels of a picture at most, announced by its header: Pillow's own `MAX_IMAGE_PIXELS`, 256 MB of RGB."""

ORIENTATION = 0x0112
"""The EXIF tag that says how a picture is turned (EXIF 2.32): 1 is upright, 5 to 8 are turned by a quarter."""

QUALITIES = (92, 85, 75, 60)
"""JPEG qualities that are tried before the picture is made smaller."""

SHRINK = 0.75
"""What each side is multiplied by when no quality is small enough."""

SMALLEST_SIDE = 64
"""Below this a picture shows a model nothing: give up rather than send it."""

# Formats whose pixels are usually drawn (screens, charts, text): JPEG would blur their edges.
_DRAWN = {"png", "gif", "bmp", "tiff"}

# The readers of Pillow and pillow_heif for the formats that are not measured by hand. `PIL.Image.open` would load all
# readers, and print a warning about a large picture that is refused here anyway.
_READERS = {
    "webp": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "gif": ("PIL.GifImagePlugin", "GifImageFile"),
    "bmp": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "tiff": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "avif": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "heic": ("pillow_heif", "HeifImageFile"),
}
# Their readers turn the picture themselves: HEIC and AVIF by a property of the file, TIFF by its orientation tag.
_UPRIGHT = {"avif", "heic"}
_TURNED_BY_READER = {"heic", "tiff"}


def measure(file: io.RawIOBase, kind: str) -> tuple[int, int, int] | None:
    """Sides and orientation of a picture as its header says. No pixels are decoded.

    Args:
        file: its bytes, of which only those are read that the header takes.
        kind: its format, one that is not measured by hand.

    Returns:
        Width and height as displayed, and the EXIF orientation, 1 to 8. None when Pillow (of HEIC: pillow_heif) is
        missing or cannot read the header.

    Raises:
        LimitExceeded: Pillow refuses to go on, because the header announces so many pixels.
    """
    try:
        from PIL import Image
    except ImportError:
        return None
    module, name = _READERS[kind]
    try:
        picture = getattr(import_module(module), name)(file)
        width, height = picture.size
    except Image.DecompressionBombError as error:
        raise LimitExceeded(f"The picture announces too many pixels: {error}") from None
    except Exception:  # noqa: BLE001 - readers raise anything at damaged files; fitting names the reason
        return None
    try:
        orientation = checked_orientation(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - as above; a damaged EXIF block turns nothing
        orientation = 1
    if kind not in _TURNED_BY_READER:
        width, height = displayed(width, height, orientation)
    return width, height, 1 if kind in _UPRIGHT else orientation


def checked_orientation(orientation: object) -> int:
    """An EXIF orientation, 1 to 8; 1 for any other value."""
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def displayed(width: int, height: int, orientation: int) -> tuple[int, int]:
    """The sides as displayed: 5 to 8 are turned by a quarter, so that they change places."""
    return (height, width) if orientation >= 5 else (width, height)


def fit(
    data: bytes,
    label: str,
    facts: Picture,
    max_bytes: int | None = None,
    max_side: int | None = None,
    formats: tuple[str, ...] = (),
) -> bytes:
    """Decode a picture (of an animation the first frame), turn it upright, and encode it within limits.

    Drawn pictures and those with transparency stay lossless as PNG while they fit; else JPEG on white.

    Args:
        data: the picture file. `facts` is what its header says, `label` names it in errors.
        max_bytes: bytes of the result at most, or None.
        max_side: pixels of its longer side at most, or None.
        formats: formats that are taken; () for any.
    """
    picture = _decode(data, label, facts, max_side)
    if max_side is not None:
        picture.thumbnail((max_side, max_side))
    clear = picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info
    encodings = _allowed(formats, label)
    if "png" in encodings and (clear or facts.format in _DRAWN or "jpg" not in encodings):
        encoded = _png(picture)
        if max_bytes is None or len(encoded) <= max_bytes:
            return encoded
        if "jpg" not in encodings:
            return _shrunk(picture, label, max_bytes, lambda p: [_png(p)])
    picture = _opaque(picture)
    return _shrunk(picture, label, max_bytes, lambda p: (_jpeg(p, quality) for quality in QUALITIES))


def encode(picture: PILImage) -> bytes:
    """A Pillow picture as a file: JPEG when it was read from one, else PNG. EXIF orientation is applied."""
    pillow("a Pillow picture")
    from PIL import ImageOps

    was = getattr(picture, "format", None)
    try:
        upright = ImageOps.exif_transpose(picture)
        return _jpeg(_opaque(upright), 95) if was in {"JPEG", "MPO"} else _png(upright)
    except (OSError, ValueError, SyntaxError, AttributeError) as error:
        raise UnsupportedContent(f"The Pillow picture cannot be encoded: {error}.") from error


def available() -> bool:
    """Whether Pillow is installed."""
    return find_spec("PIL") is not None


def pillow(label: str) -> ModuleType:
    """`PIL.Image`, or an error that says how to get it."""
    try:
        from PIL import Image
    except ImportError:
        raise UnsupportedContent(
            f'{label} has to be re-encoded for this model, which needs Pillow: pip install "glmv[images]". '
            "Or send it within the limits: JPEG or PNG, upright, small enough."
        ) from None
    return Image


def _decode(data: bytes, label: str, facts: Picture, max_side: int | None) -> PILImage:
    module = pillow(label)
    if facts.format == "heic":
        _register_heif(label)
    from PIL import ImageOps

    try:
        picture: PILImage = module.open(io.BytesIO(data))
        if picture.width * picture.height > MAX_PIXELS:
            raise LimitExceeded(
                f"{label} has {picture.width}x{picture.height} pixels; more than {MAX_PIXELS:,} are not taken."
            )
        if facts.width and facts.height and picture.width * picture.height > facts.width * facts.height * 2:
            # A file can announce less to one reader than to another: what was measured is what may be decoded.
            raise LimitExceeded(f"{label}: the picture inside is larger than its header says.")
        if max_side is not None and picture.format == "JPEG":
            picture.draft(None, (max_side, max_side))  # lets the decoder skip what would be scaled away
        picture.load()
        return ImageOps.exif_transpose(picture)
    except LimitExceeded:
        raise
    except (module.DecompressionBombError, module.DecompressionBombWarning) as error:
        raise LimitExceeded(f"{label}: {error}") from None
    except Exception as error:
        raise UnsupportedContent(
            f"{label}: this {facts.format.upper()} cannot be decoded ({type(error).__name__}: {error}). "
            "It is damaged or cut short; save it again, or pass fit=False to send it as it is."
        ) from error


def _register_heif(label: str) -> None:
    try:
        heif = import_module("pillow_heif")
    except ImportError:
        raise UnsupportedContent(
            f"{label} is HEIC, which this model does not take and Pillow alone cannot read: "
            'pip install "glmv[heic]", or export it as JPEG.'
        ) from None
    heif.register_heif_opener()


def _allowed(formats: tuple[str, ...], label: str) -> set[str]:
    encodings = {"jpg", "png"} & set(formats) if formats else {"jpg", "png"}
    if not encodings:
        raise UnsupportedContent(f"{label}: it can be re-encoded as JPEG or PNG, but the model takes {formats} only.")
    return encodings


def _shrunk(picture: PILImage, label: str, max_bytes: int | None, attempts: Any) -> bytes:
    while True:
        for encoded in attempts(picture):
            if max_bytes is None or len(encoded) <= max_bytes:
                assert isinstance(encoded, bytes)
                return encoded
        width, height = (max(1, round(side * SHRINK)) for side in picture.size)
        if max(width, height) < SMALLEST_SIDE:
            raise LimitExceeded(f"{label} cannot be made smaller than {max_bytes:,} bytes and still be seen.")
        picture = picture.resize((width, height))


def _opaque(picture: PILImage) -> PILImage:
    """RGB or grey on white: JPEG has no transparency and no palette."""
    if picture.mode in {"RGB", "L"} and "transparency" not in picture.info:
        return picture
    if picture.mode in {"RGBA", "LA", "PA", "P"} or "transparency" in picture.info:
        from PIL import Image

        layer = picture.convert("RGBA")
        page = Image.new("RGB", layer.size, "white")
        page.paste(layer, mask=layer.getchannel("A"))
        return page
    if picture.mode.startswith(("I", "F")):
        return _eight_bit(picture)
    return picture.convert("RGB")


def _eight_bit(picture: PILImage) -> PILImage:
    """Grey of 16 or 32 bits as 8 bits, darkest to lightest: Pillow's own conversion would clip to white."""
    low, high = picture.convert("F").getextrema()
    assert isinstance(low, float | int)
    assert isinstance(high, float | int)
    scale = 255.0 / ((high - low) or 1.0)
    return picture.convert("F").point(lambda value: value * scale - low * scale).convert("L")


def _jpeg(picture: PILImage, quality: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality, optimize=True, icc_profile=picture.info.get("icc_profile"))
    return out.getvalue()


def _png(picture: PILImage) -> bytes:
    out = io.BytesIO()
    encodable = picture if picture.mode in {"1", "L", "LA", "P", "RGB", "RGBA"} else _opaque(picture)
    encodable.save(out, "PNG", icc_profile=picture.info.get("icc_profile"))
    return out.getvalue()


def encode_frame(picture: PILImage, rotation: float) -> bytes:
    """A frame of a video as JPEG, turned counterclockwise by as many degrees as its container asks."""
    return _jpeg(picture.rotate(rotation, expand=True) if rotation else picture, QUALITIES[0])
