"""Pictures as values.

The type carries the trust. `from_path` is an explicit act of the programmer and opens a file; `from_message`
takes what a message says and never does. A URL is handed on for the platform to fetch and never fetched here.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Self

from glmv.catalog.row import MIB
from glmv.errors import LimitExceeded, UnsupportedContent
from glmv.media import headers, pixels
from glmv.media.base import VisualMedium
from glmv.media.pixels import MAX_PIXELS
from glmv.media.text import human_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glmv.catalog.row import Model
    from glmv.media.pixels import PILImage

MAX_PICTURE_BYTES = 100 * 10**6
"""Bytes of a picture that are read at most. The platform takes 5 MB; fitting makes that of larger ones."""

PICTURES = "JPEG, PNG, WEBP, GIF, BMP, TIFF, HEIC and AVIF"


class Image(VisualMedium):
    """A picture: bytes at hand, measured from their header, or a URL that the platform fetches.

    Args of the constructors:
        fit: whether it may be re-encoded when the model would refuse it (too large, other format, turned by
            EXIF); what was done is told in `answer.notes`. With False it is refused instead.

    Equal when the content is. No pixels are decoded here; a header that announces more than `MAX_PIXELS` is refused.
    """

    __slots__ = ("_fits", "_fitted", "_picture")

    _picture: headers.Picture | None
    _fits: bool
    _fitted: dict[tuple[Any, ...], tuple[Self, str | None]]

    _noun = "picture"
    _constructors = "from_path, from_bytes, from_base64, from_url, from_pil or of"
    _sources = "a URL, a path, bytes, a Pillow picture or a glmv.Image"

    @classmethod
    def _max_bytes(cls) -> int:
        return MAX_PICTURE_BYTES

    @classmethod
    def _recognizes(cls, head: bytes) -> bool:
        return headers.format_of(head) is not None

    def _read(self) -> None:
        self._picture, self._fits, self._fitted = None, True, {}
        if self._blob is None:
            return
        picture = headers.picture(self._blob.read, self._blob.size)
        label = self._name or "the picture"
        if picture is None:
            raise UnsupportedContent(
                f"{label}: this is no picture, it is {headers.describe(self._blob.read(0, 512))}. "
                f"Pictures are {PICTURES}, told by their first bytes and not by their name."
            )
        if picture.width is not None and picture.height is not None and picture.width * picture.height > MAX_PIXELS:
            raise LimitExceeded(
                f"{label} announces {picture.width}x{picture.height} pixels; more than {MAX_PIXELS:,} are not "
                "taken, because decoding them could use up the memory. Scale it down first."
            )
        self._picture = picture

    @classmethod
    def from_path(cls, path: str | os.PathLike[str], *, fit: bool = True) -> Self:
        """Read a picture file. Links are followed; only a regular file that begins as a picture is taken.

        Raises:
            InvalidRequestError: there is no such file, or it cannot be read.
            UnsupportedContent: it is not a regular file, or not a picture.
            LimitExceeded: it has more than `MAX_PICTURE_BYTES` or `MAX_PIXELS`.
        """
        self = super().from_path(path)
        self._fits = fit
        return self

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, *, name: str | None = None, fit: bool = True) -> Self:
        """Take the bytes of a picture file; `name` is for messages only."""
        self = super().from_bytes(data, name=name)
        self._fits = fit
        return self

    @classmethod
    def from_base64(cls, data: str | bytes, *, name: str | None = None, fit: bool = True) -> Self:
        """Take base64 or a base64 `data:` URI. It is kept as it is; only its header is decoded.

        What a `data:` prefix says about the format is not believed: the first bytes decide.
        """
        self = super().from_base64(data, name=name)
        self._fits = fit
        return self

    @classmethod
    def from_pil(cls, picture: PILImage, *, name: str | None = None, fit: bool = True) -> Self:
        """Encode a Pillow picture, turned upright by its EXIF: as JPEG when it was one, else as PNG."""
        width, height = getattr(picture, "size", (0, 0))
        if width * height > MAX_PIXELS:
            raise LimitExceeded(f"The picture has {width}x{height} pixels; more than {MAX_PIXELS:,} are not taken.")
        return cls.from_bytes(pixels.encode(picture), name=name, fit=fit)

    @classmethod
    def of(cls, source: str | os.PathLike[str] | bytes | bytearray | memoryview | PILImage | Self) -> Self:
        """Take whatever the programmer has: a URL, a path, bytes, a Pillow picture, or an `Image`.

        A str that has a scheme is a URL, any other is a path and is opened: not for strings out of a message.
        """
        pil = sys.modules.get("PIL.Image")
        if pil is not None and isinstance(source, pil.Image):
            return cls.from_pil(source)
        return super().of(source)  # type: ignore[arg-type]  # it is not a Pillow picture

    @property
    def format(self) -> str | None:
        """ "jpg", "png", "webp", "gif", "bmp", "tiff", "heic" or "avif"; None for a URL."""
        return None if self._picture is None else self._picture.format

    @property
    def mime(self) -> str | None:
        """The media type, such as "image/jpeg"; None for a URL."""
        return None if self._picture is None else headers.MIME[self._picture.format]

    @property
    def width(self) -> int | None:
        """Pixels across as displayed, after the EXIF orientation.

        None for a URL, and where Pillow cannot say it: JPEG and PNG are measured without it, other formats are not.
        """
        return None if self._picture is None else self._picture.width

    @property
    def height(self) -> int | None:
        """Pixels down as displayed, after the EXIF orientation; None where `width` is."""
        return None if self._picture is None else self._picture.height

    @property
    def orientation(self) -> int:
        """The EXIF orientation, 1 (upright) to 8; 1 when unknown."""
        return 1 if self._picture is None else self._picture.orientation

    @property
    def fit(self) -> bool:
        """Whether it may be re-encoded to fit a model's limits."""
        return self._fits

    def fitted(
        self, *, max_bytes: int | None = None, max_side: int | None = None, formats: Sequence[str] = ()
    ) -> tuple[Self, str | None]:
        """The same picture within limits.

        Args:
            max_bytes: bytes of the file at most; None for no limit.
            max_side: pixels of the longer side at most; None for no limit.
            formats: formats that are taken, by the names of `format`; () for any.

        Returns:
            The picture, and one line about what was done; itself and None when nothing was. Kept, so that the
            next turn does not fit it again. A picture that EXIF turns is made upright.

        Raises:
            UnsupportedContent: Pillow is needed and missing, or the picture cannot be decoded.
            LimitExceeded: it cannot be made small enough.
        """
        if self._picture is None or self._blob is None:
            return self, None
        picture = self._picture
        small = max_bytes is None or self._blob.size <= max_bytes
        if max_side is not None:
            # A picture whose size is unknown may be too large; decoding it decides.
            small = small and picture.longer_side is not None and picture.longer_side <= max_side
        if small and (not formats or picture.format in formats):
            if picture.orientation == 1:
                return self, None
            if not pixels.available():
                return self, f"{self._label}: {_SIDEWAYS}"
        key = (max_bytes, max_side, tuple(formats))
        if key not in self._fitted:
            data = pixels.fit(self._blob.data(), self._label, picture, max_bytes, max_side, tuple(formats))
            self._fitted[key] = self._refit(data)
        return self._fitted[key]

    def fitted_for(self, model: Model) -> tuple[Self, str | None]:
        """The same picture within the limits of a model's row, as `fitted`; what a call does with it in any case.

        For many pictures it can be done before the calls, in threads.
        """
        return self.fitted(
            # A limit of "5 MB" may mean 5,000,000 or 5 MiB: fitted by the first, refused by the second.
            max_bytes=None if model.image_bytes is None else model.image_bytes * 10**6 // MIB,
            max_side=model.image_side,
            formats=model.image_formats,
        )

    def _refit(self, data: bytes) -> tuple[Self, str]:
        image = self.from_bytes(data, name=self._name)
        changes = [f"re-encoded as {_format_name(image.format)}"]
        if self.orientation != 1:
            changes.append("turned upright as its EXIF says")
        if self.width is not None and (self.width, self.height) != (image.width, image.height):
            changes.append(f"{self.width}x{self.height} to {image.width}x{image.height}")
        changes.append(f"{human_size(self.size or 0)} to {human_size(len(data))}")
        return image, f"{self._label}: {', '.join(changes)}"

    @property
    def _label(self) -> str:
        return self._name or f"picture {self.digest}"

    def _facts(self) -> Sequence[str]:
        if self._picture is None:
            return ()
        sides = "" if self.width is None else f" {self.width}x{self.height}"
        return (f"{_format_name(self._picture.format)}{sides}",)


def _format_name(name: str | None) -> str:
    return "JPEG" if name == "jpg" else str(name).upper()


_SIDEWAYS = (
    "its EXIF turns it, and no document says that the platform does; it was sent as it is. "
    'To turn it: pip install "glmv[images]".'
)
