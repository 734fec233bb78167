"""Pictures in messages.

The constructor decides whether a string is trusted. `from_path` opens a file, because the programmer asks for it
explicitly; `from_message` is for strings in messages and never opens a file. A URL is passed on to the platform, not
fetched here.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Self, TypeGuard

from glmv.catalog.row import MIB
from glmv.errors import InvalidRequestError, LimitExceeded, UnsupportedContent
from glmv.media import headers, pixels
from glmv.media.base import VisualMedium
from glmv.media.blob import Blob
from glmv.media.formats import FORMATS, SUFFIXES, format_of, listed, spoken
from glmv.media.kept import CHECKED, FITTED, PICTURE_CACHE_BYTES, Checked, key_of, remember
from glmv.media.pixels import MAX_JPEG_PIXELS, MAX_PIXELS
from glmv.media.structure import cut_short
from glmv.media.text import human_size, kind_of, shortened, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from glmv.catalog.row import Model
    from glmv.media.base import Readable
    from glmv.media.pixels import PILImage

MAX_PICTURE_BYTES = 100 * 10**6
"""The most bytes of a picture file. The platform accepts 5 MB; fitting shrinks larger pictures to that."""


class Image(VisualMedium):
    """A picture: bytes, measured from their header, or a URL that the platform fetches.

    Args of the constructors:
        fit: whether the picture may be re-encoded when the model would refuse it (too large, another format, rotated by
            EXIF); `answer.notes` says what was changed. With False the request is refused instead.

    Two pictures are equal if their contents are equal. Only the constructor `from_pil` decodes pixels. A picture is
    refused if its header says that it has more than `MAX_PIXELS`. A JPEG that is not progressive may have up to
    `MAX_JPEG_PIXELS`, because it can be decoded at a smaller size.
    """

    __slots__ = ("_checked", "_cut", "_fits", "_fitted", "_picture", "_remarks")

    _checked: Checked | None

    _picture: headers.Picture | None
    _fits: bool
    _cut: tuple[str | None] | None
    _remarks: tuple[str, ...]
    _fitted: dict[tuple[Any, ...], tuple[Self, str | None]]

    suffixes = SUFFIXES

    _noun = "picture"
    _constructors = "from_path, from_bytes, from_base64, from_url, from_pil or of"
    _sources = "a URL, a path, bytes, base64, an open file, a Pillow picture or a glmv.Image"

    @classmethod
    def _max_bytes(cls) -> int:
        return MAX_PICTURE_BYTES

    @classmethod
    def _recognizes(cls, head: bytes) -> bool:
        return format_of(head) is not None

    @classmethod
    def _knows(cls, head: bytes) -> bool:
        return headers.is_known(head)

    def _read(self) -> None:
        self._picture, self._fits, self._fitted, self._cut, self._remarks = None, True, {}, None, ()
        self._checked = None
        if self._blob is None:
            return
        picture = headers.picture(self._blob.read, self._blob.size)
        label = shortened(self._name, 120) if self._name else "the picture"
        if picture is None:
            raise UnsupportedContent(
                f"{label}: this is not a picture, but {headers.describe(self._blob.read(0, 512))}. "
                f"Supported formats are {listed()}; they are recognized by the content, not by the name."
            )
        if picture.width is not None and picture.height is not None and picture.width * picture.height > MAX_PIXELS:
            small = picture.format == "jpg" and headers.decodes_in_strips(self._blob.read)
            most = MAX_JPEG_PIXELS if small else MAX_PIXELS
            if picture.width * picture.height > most:
                hint = "" if small or picture.format != "jpg" else ", or save it as a JPEG that is not progressive"
                raise LimitExceeded(
                    f"{label} has {picture.width}x{picture.height} pixels by its header, more than the limit of "
                    f"{most:,}; decoding it could use up the memory. Scale it down first{hint}."
                )
        self._picture = picture

    @classmethod
    def from_path(cls, path: str | os.PathLike[str], *, fit: bool = True) -> Self:
        """Read a picture file. Links are followed. It must be a regular file with the first bytes of a picture.

        Raises:
            InvalidRequestError: the file does not exist or cannot be read.
            UnsupportedContent: the path is not a regular file, or the file is not a picture.
            LimitExceeded: the picture has more than `MAX_PICTURE_BYTES` or `MAX_PIXELS`.
        """
        self = super().from_path(path)
        self._fits = fit
        return self

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, *, name: str | None = None, fit: bool = True) -> Self:
        """Make a picture from the bytes of a file; `name` is for error messages and notes."""
        self = super().from_bytes(data, name=name)
        self._fits = fit
        return self

    @classmethod
    def from_base64(cls, data: str | bytes, *, name: str | None = None, fit: bool = True) -> Self:
        """Make a picture from base64 or a base64 `data:` URI. Only the header of the picture is decoded.

        The media type of a `data:` URI is ignored: the first bytes decide the format.
        """
        if (keyed := key_of(data)) is None:
            self = super().from_base64(data, name=name)
        else:
            data, key = keyed
            checked = CHECKED.get(key)
            self = super().from_base64(data, name=name) if checked is None else cls._from_checked(data, checked, name)
            if checked is None:
                self._remember(data, key)
        self._fits = fit
        return self

    @classmethod
    def _from_checked(cls, data: bytes, checked: Checked, name: str | None) -> Self:
        """The picture for base64 that was checked before."""
        self = cls.__new__(cls)
        self._blob, self._url, self._name = Blob(None, data[checked.start :], checked.size), None, name
        self._fits, self._fitted, self._cut, self._remarks = True, {}, checked.cut, ()
        self._picture, self._checked = checked.picture, checked
        return self

    def _remember(self, data: bytes, key: bytes) -> None:
        start = self._at_hand.begins(data)
        if start is not None and self._picture is not None:
            self._checked = Checked(key, start, self._at_hand.size, self._picture)
            remember(self._checked)

    @classmethod
    def from_pil(cls, picture: PILImage, *, name: str | None = None, fit: bool = True) -> Self:
        """Encode a Pillow picture, rotated as its EXIF says: as JPEG if it was read from one, else as PNG."""
        if not _is_pil(picture):
            raise UnsupportedContent(f"from_pil takes a Pillow picture; got {kind_of(picture)}")
        width, height = getattr(picture, "size", (0, 0))
        if width * height > MAX_PIXELS:
            raise LimitExceeded(
                f"The Pillow picture has {width}x{height} pixels; the limit is {MAX_PIXELS:,}. Scale it down with its "
                "thumbnail(), or read a JPEG with from_path, which decodes it at a smaller size."
            )
        encoded = pixels.encode(picture)
        self = cls.from_bytes(encoded.data, name=name, fit=fit)
        self._remarks = encoded.remarks
        return self

    @classmethod
    def of(cls, source: str | os.PathLike[str] | bytes | bytearray | memoryview | Readable | PILImage | Self) -> Self:
        """Make a picture from any source: a URL, path, bytes, base64, open file, Pillow picture, or an `Image`.

        A str with a scheme is a URL; one that decodes to a picture is base64; any other is a path, which is opened. So
        do not pass strings from a message. An open file, or an upload of a web framework, is read from its start;
        afterwards its position is the start again.
        """
        if _is_pil(source):
            return cls.from_pil(source)
        return super().of(source)  # type: ignore[arg-type]  # it is not a Pillow picture

    @property
    def digest(self) -> str | None:
        """The first 12 hex digits of the content's SHA-256, or None for a URL."""
        checked = self._checked
        if checked is None:
            return super().digest
        if checked.digest is None:
            checked.digest = super().digest
        return checked.digest

    @property
    def format(self) -> str | None:
        """ "jpg", "png", "webp", "gif", "bmp", "tiff", "heic", "avif", "jp2", "ppm", "ico", "pcx" or "tga".

        None for a URL.
        """
        return None if self._picture is None else self._picture.format

    @property
    def mime(self) -> str | None:
        """The media type, such as "image/jpeg"; None for a URL."""
        return None if self._picture is None else FORMATS[self._picture.format].mime

    @property
    def width(self) -> int | None:
        """The width in pixels as displayed, after the EXIF orientation.

        None for a URL, and for formats other than JPEG and PNG if Pillow is missing or cannot read them.
        """
        return None if self._picture is None else self._picture.width

    @property
    def height(self) -> int | None:
        """The height in pixels as displayed, after the EXIF orientation; None if `width` is None."""
        return None if self._picture is None else self._picture.height

    @property
    def orientation(self) -> int:
        """The EXIF orientation, 1 (upright) to 8; 1 when unknown."""
        return 1 if self._picture is None else self._picture.orientation

    @property
    def fit(self) -> bool:
        """Whether the picture may be re-encoded to fit a model's limits."""
        return self._fits

    def fitted(
        self,
        *,
        max_bytes: int | None = None,
        max_side: int | None = None,
        formats: Sequence[str] = (),
        keep: int = PICTURE_CACHE_BYTES,
    ) -> tuple[Self, str | None]:
        """The same picture within limits.

        Args:
            max_bytes: the maximum size of the file in bytes; None for no limit.
            max_side: the maximum length of the longer side in pixels; None for no limit.
            formats: accepted formats, by the names of `format`; () for any.
            keep: bytes of fitted pictures that the process caches, see `Settings.picture_cache_bytes`.

        Returns:
            The fitted picture, and one line about the changes. If nothing was changed: this object, and None or a
            remark. For example, a remark says that an EXIF rotation was not applied because Pillow is missing. The
            result is cached, so that the next turn does not fit the picture again.

        Raises:
            UnsupportedContent: Pillow is needed and missing, or the picture cannot be decoded.
            LimitExceeded: the picture cannot be made small enough.
        """
        if self._picture is None or self._blob is None:
            return self, None
        if self.cut_short is not None:
            raise UnsupportedContent(
                f"{self._label}: this {spoken(self._picture.format)} cannot be decoded, because it was cut short: "
                f"{self.cut_short}. Save or download it again, or pass fit=False to send it as it is."
            )
        picture = self._picture
        small = max_bytes is None or self._blob.size <= max_bytes
        if max_side is not None:
            # A picture of unknown size may be too large: it is decoded to know.
            small = small and picture.longer_side is not None and picture.longer_side <= max_side
        # Decoders of 16-bit grey either clip or scale the levels: this is decided here, as for a TIFF.
        deep = picture.format == "png" and pixels.available() and headers.is_deep_grey(self._blob.read)
        if small and not deep and (not formats or picture.format in formats):
            if picture.orientation == 1:
                return self, self._note(self._remarks) if self._remarks else self._first_of(picture.format)
            if not pixels.available():
                return self, f"{self._label}: {_SIDEWAYS}"
        limits = (max_bytes, max_side, tuple(formats))
        if limits not in self._fitted:
            self._fitted[limits] = self._refit(*self._fit(picture, limits, keep))
        return self._fitted[limits]

    def _fit(self, picture: headers.Picture, limits: tuple[Any, ...], keep: int) -> tuple[Blob, tuple[str, ...]]:
        """The picture file within limits and the remarks on it, from the cache if possible."""
        blob = self._at_hand
        key = None
        if keep:
            key = (self._checked.key if self._checked else blob.sha256, limits)
            if (cached := FITTED.get(key)) is not None:
                return cached
        fitted = pixels.fit(blob.data(), self._label, picture, *limits)
        result = Blob.from_bytes(fitted.data, cap=len(fitted.data), what=self._label), fitted.remarks
        if key is not None:
            FITTED.put(key, result, -(-len(fitted.data) // 3) * 4, keep)
        return result

    @property
    def cut_short(self) -> str | None:
        """A message if the file was cut short, as by a failed download; None for a complete file and for a URL.

        Only a JPEG without its end marker is decoded for this, because some cameras omit the marker.
        """
        if self._picture is None or self._blob is None:
            return None
        if self._cut is None:
            missing = cut_short(self._blob.read, self._blob.size, self._picture.format)
            if missing and self._picture.format == "jpg" and pixels.decodes(self._blob.data()):
                missing = None
            self._cut = (missing,)
            if self._checked is not None:
                self._checked.cut = self._cut
        return self._cut[0]

    def pages(self, n: int | None = None) -> list[Self]:
        """The pages of a TIFF or the frames of an animation as pictures, because a model sees only the first one.

        Each is upright, and a JPEG of more than 89 megapixels is scaled down.

        Args:
            n: how many, from the first on; None for all, at most 150.

        Raises:
            LimitExceeded: the result would have more than 150 pages, or a page has too many pixels.
            InvalidRequestError: `n` is not a positive int.
            UnsupportedContent: Pillow (extra `images`) is missing, the picture is a URL, or a page cannot be decoded.
        """
        if n is not None and (type(n) is not int or n < 1):
            raise InvalidRequestError(f"The number of pages must be an int of 1 or more; got {shown(n)}.")
        data = self.data()
        assert self._picture is not None
        label, many = self._label, FORMATS[self._picture.format].many or "page"
        return [
            self.from_bytes(page, name=f"{label}, {many} {number}")
            for number, page in enumerate(pixels.pages(data, label, self._picture, n), 1)
        ]

    def to_pil(self) -> PILImage:
        """The picture (the first one of several) for Pillow, upright; a JPEG of over 89 megapixels is scaled down.

        Raises:
            UnsupportedContent: Pillow (extra `images`) is missing, or the picture is a URL or cannot be decoded.
        """
        data = self.data()
        assert self._picture is not None
        return pixels.decoded(data, self._label, self._picture)

    def fitted_for(self, model: Model, *, keep: int = PICTURE_CACHE_BYTES) -> tuple[Self, str | None]:
        """The same picture within the limits of a model; returns what `fitted` returns.

        `chat` does this by itself. To process many pictures, call this ahead of time from worker threads.
        """
        return self.fitted(
            # A limit of "5 MB" may be 5,000,000 bytes or 5 MiB: fit to the smaller number, refuse above the larger one.
            max_bytes=None if model.image_bytes is None else model.image_bytes * 10**6 // MIB,
            max_side=model.image_side,
            formats=model.image_formats,
            keep=keep,
        )

    def _first_of(self, kind: str) -> str | None:
        """The note about an animated PNG that is sent as it is, or None."""
        frames = headers.frames_of_png(self._at_hand.read) if kind == "png" else 1
        if frames < 2:
            return None
        return self._note(
            [f"it has {frames} frames; the platform's documents do not say whether the model sees more than the first"]
        )

    def _note(self, facts: Iterable[str]) -> str:
        return f"{self._label}: {'; '.join(facts)}"

    def _refit(self, blob: Blob, remarks: tuple[str, ...]) -> tuple[Self, str]:
        image = self._make(blob, name=self._name)
        changes = [f"re-encoded as {spoken(image.format)}"]
        if self.orientation != 1:
            changes.append("rotated as its EXIF says")
        if self.width is not None and (self.width, self.height) != (image.width, image.height):
            changes.append(f"{self.width}x{self.height} to {image.width}x{image.height}")
        changes.append(f"{human_size(self.size or 0)} to {human_size(blob.size)}")
        return image, self._note([", ".join(changes), *self._remarks, *remarks])

    @property
    def _label(self) -> str:
        return shortened(self._name, 120) if self._name else f"picture {self.digest}"

    def _facts(self) -> Sequence[str]:
        if self._picture is None:
            return ()
        sides = "" if self.width is None else f" {self.width}x{self.height}"
        return (f"{spoken(self._picture.format)}{sides}",)


def _is_pil(value: object) -> TypeGuard[PILImage]:
    """Whether a value is a Pillow picture; False before Pillow is imported, and while another thread imports it."""
    kind = getattr(sys.modules.get("PIL.Image"), "Image", None)
    return kind is not None and isinstance(value, kind)


_SIDEWAYS = (
    "its EXIF has a rotation, which the platform may ignore; the picture was sent unrotated. "
    'To rotate it, install Pillow: pip install "glmv[images]".'
)
