"""Pictures as values.

The type carries the trust. `from_path` is an explicit act of the programmer and opens a file; `from_message`
takes what a message says and never does. A URL is handed on for the platform to fetch and never fetched here.
"""

from __future__ import annotations

import os
import sys
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from glmv.catalog.row import MIB
from glmv.errors import LimitExceeded, UnsupportedContent
from glmv.media import headers, pixels
from glmv.media.base import Medium, refuse_path
from glmv.media.blob import Blob, checked_url, head_of, human, scheme_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glmv.catalog.row import Model
    from glmv.media.pixels import PILImage

MAX_PICTURE_BYTES = 100 * 10**6
"""Bytes of a picture that are read at most. The platform takes 5 MB; fitting makes that of larger ones."""

MAX_PIXELS = 89_478_485
"""Pixels of a picture at most, told from its header: Pillow's own `MAX_IMAGE_PIXELS`, 256 MB of RGB."""

PICTURES = "JPEG, PNG, WEBP, GIF, BMP, TIFF, HEIC and AVIF"


class Image(Medium):
    """A picture: bytes at hand, measured from their header, or a URL that the platform fetches.

    Args of the constructors:
        fit: whether it may be re-encoded when the model would refuse it (too large, other format, turned by
            EXIF); what was done is told in `answer.notes`. With False it is refused instead.

    Equal when the content is. Nothing is decoded here; a header that announces more than `MAX_PIXELS` is
    refused.
    """

    __slots__ = ("_fits", "_fitted", "_picture")

    _picture: headers.Picture | None
    _fits: bool
    _fitted: dict[tuple[Any, ...], tuple[Image, str | None]]

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError("Make a picture with glmv.Image.from_path, from_bytes, from_base64, from_url, from_pil or of.")

    @classmethod
    def _make(
        cls,
        blob: Blob | None,
        picture: headers.Picture | None,
        *,
        url: str | None,
        name: str | None,
        fit: bool,
    ) -> Image:
        self = cls.__new__(cls)
        self._blob, self._picture, self._url, self._name, self._fits, self._fitted = (
            blob,
            picture,
            url,
            name,
            fit,
            {},
        )
        return self

    @classmethod
    def _from_blob(cls, blob: Blob, *, name: str | None, fit: bool) -> Image:
        picture = headers.picture(blob.read)
        told = name or "the picture"
        if picture is None:
            raise UnsupportedContent(
                f"{told}: this is no picture, it is {headers.describe(blob.read(0, 512))}. "
                f"Pictures are {PICTURES}, told by their first bytes and not by their name."
            )
        if picture.width * picture.height > MAX_PIXELS:
            raise LimitExceeded(
                f"{told} announces {picture.width}x{picture.height} pixels; more than {MAX_PIXELS:,} are not "
                "taken, because decoding them could use up the memory. Scale it down first."
            )
        return cls._make(blob, picture, url=None, name=name, fit=fit)

    @classmethod
    def from_path(cls, path: str | os.PathLike[str], *, fit: bool = True) -> Image:
        """Read a picture file. Links are followed; only a regular file that sniffs as a picture is taken.

        Raises:
            InvalidRequestError: there is no such file, or it cannot be read.
            UnsupportedContent: it is no regular file, or no picture.
            LimitExceeded: it has more than `MAX_PICTURE_BYTES` or `MAX_PIXELS`.
        """
        blob = Blob.from_path(path, cap=MAX_PICTURE_BYTES, what="picture")
        return cls._from_blob(blob, name=PurePath(path).name, fit=fit)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, *, name: str | None = None, fit: bool = True) -> Image:
        """Take the bytes of a picture file; `name` is for messages only."""
        blob = Blob.from_bytes(data, cap=MAX_PICTURE_BYTES, what=name or "picture")
        return cls._from_blob(blob, name=name, fit=fit)

    @classmethod
    def from_base64(cls, data: str | bytes, *, name: str | None = None, fit: bool = True) -> Image:
        """Take base64 or a base64 `data:` URI. It is kept as it is; only its header is decoded.

        What a `data:` prefix says about the format is not believed: the first bytes tell.
        """
        blob = Blob.from_base64(data, cap=MAX_PICTURE_BYTES, what=name or "picture")
        return cls._from_blob(blob, name=name, fit=fit)

    @classmethod
    def from_url(cls, url: str) -> Image:
        """Take an http or https URL for the platform to fetch, or a base64 `data:` URI.

        Raises:
            UnsupportedContent: any other scheme, or none.
        """
        if isinstance(url, str) and scheme_of(url) == "data":
            return cls.from_base64(url.strip())
        return cls._make(None, None, url=checked_url(url, "picture"), name=None, fit=True)

    @classmethod
    def from_pil(cls, picture: PILImage, *, name: str | None = None, fit: bool = True) -> Image:
        """Encode a Pillow picture, turned upright by its EXIF: as JPEG when it was one, else as PNG."""
        width, height = getattr(picture, "size", (0, 0))
        if width * height > MAX_PIXELS:
            raise LimitExceeded(f"The picture has {width}x{height} pixels; more than {MAX_PIXELS:,} are not taken.")
        return cls.from_bytes(pixels.encode(picture), name=name, fit=fit)

    @classmethod
    def from_message(cls, text: str) -> Image:
        """Take what a message says about a picture, which nobody vouches for: no file is opened for it.

        Args:
            text: an http or https URL, a base64 `data:` URI, or base64 of a picture, which is the platform's
                own wire form.

        Raises:
            UnsupportedContent: anything else, such as a path.
        """
        if scheme_of(text) is None and headers.format_of(head_of(text)) is not None:
            return cls.from_base64(text)
        if scheme_of(text) is None:
            refuse_path(text, "picture", "Image")
        return cls.from_url(text)

    @classmethod
    def of(cls, source: str | os.PathLike[str] | bytes | bytearray | memoryview | PILImage | Image) -> Image:
        """Take whatever the programmer has: a URL, a path, bytes, a Pillow picture, or an `Image`.

        A str that has a scheme is a URL, any other is a path and is opened: not for strings out of a message.
        """
        match source:
            case Image():
                return source
            case str() if scheme_of(source) is not None:
                return cls.from_url(source)
            case str() | os.PathLike():
                return cls.from_path(source)
            case bytes() | bytearray() | memoryview():
                return cls.from_bytes(source)
            case _ if (pil := sys.modules.get("PIL.Image")) is not None and isinstance(source, pil.Image):
                return cls.from_pil(source)
            case _:
                raise UnsupportedContent(
                    f"A picture is a URL, a path, bytes, a Pillow picture or a glmv.Image; got {type(source).__name__}."
                )

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
        """Pixels across as displayed, after the EXIF orientation; None for a URL."""
        return None if self._picture is None else self._picture.width

    @property
    def height(self) -> int | None:
        """Pixels down as displayed, after the EXIF orientation; None for a URL."""
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
    ) -> tuple[Image, str | None]:
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
        facts, size = self._picture, self._blob.size
        small = (max_bytes is None or size <= max_bytes) and (
            max_side is None or max(facts.width, facts.height) <= max_side
        )
        if small and (not formats or facts.format in formats):
            if facts.orientation == 1:
                return self, None
            if not pixels.available():
                return self, f"{self._label}: {_SIDEWAYS}"
        key = (max_bytes, max_side, tuple(formats))
        if key not in self._fitted:
            data = pixels.fit(self._blob.data(), self._label, facts, max_bytes, max_side, tuple(formats))
            self._fitted[key] = self._refit(data)
        return self._fitted[key]

    def fitted_for(self, model: Model) -> tuple[Image, str | None]:
        """The same picture within the limits of a model's row, as `fitted`; what a call does with it in any case.

        Who has many pictures can do it beforehand, in threads of their own.
        """
        return self.fitted(
            # A limit of "5 MB" may mean 5,000,000 or 5 MiB: fitted by the first, refused by the second.
            max_bytes=None if model.image_bytes is None else model.image_bytes * 10**6 // MIB,
            max_side=model.image_side,
            formats=model.image_formats,
        )

    def _refit(self, data: bytes) -> tuple[Image, str]:
        image = Image.from_bytes(data, name=self._name)
        did = [f"re-encoded as {_spoken(image.format)}"]
        if self.orientation != 1:
            did.append("turned upright as its EXIF says")
        if (self.width, self.height) != (image.width, image.height):
            did.append(f"{self.width}x{self.height} to {image.width}x{image.height}")
        did.append(f"{human(self.size or 0)} to {human(len(data))}")
        return image, f"{self._label}: {', '.join(did)}"

    @property
    def _label(self) -> str:
        return self._name or f"picture {self.digest}"

    def _facts(self) -> Sequence[str]:
        if self._picture is None:
            return ()
        return (f"{_spoken(self._picture.format)} {self._picture.width}x{self._picture.height}",)


def _spoken(name: str | None) -> str:
    return "JPEG" if name == "jpg" else str(name).upper()


_SIDEWAYS = (
    "its EXIF turns it, and no document says that the platform does; it was sent as it is. "
    'To turn it: pip install "glmv[images]".'
)
