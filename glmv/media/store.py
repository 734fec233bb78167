"""Stores pictures and videos in a folder, named by their content. Messages and state use a short reference for each."""

from __future__ import annotations

import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from glmv._public import public_class
from glmv.errors import InvalidRequestError, LimitExceeded, UnsupportedContent
from glmv.media.blob import Blob
from glmv.media.image import MAX_PICTURE_BYTES, Image
from glmv.media.text import shortened, shown
from glmv.media.video import MAX_VIDEO_BYTES, Video

if TYPE_CHECKING:
    from glmv.media.pixels import PILImage

_DIGITS = re.compile(r"[0-9a-f]{64}")
# The subfolders of a store: the class of their content, and the most bytes of a file.
_FOLDERS: dict[str, tuple[type[Image | Video], int]] = {
    "pictures": (Image, MAX_PICTURE_BYTES),
    "videos": (Video, MAX_VIDEO_BYTES),
}
_PREFIX, _SUFFIX = ".glmv-", ".part"  # of the names of incomplete files
_NEW = 60.0  # seconds for which a file counts as new in any case
_ABANDONED = 3600.0  # after this many seconds an incomplete file is abandoned: writing one takes far less


@public_class
class PictureStore:
    """A folder of pictures and videos, each written once and named by its SHA-256.

    `add` returns a reference of 76 characters, which messages, checkpoints, caches and traces contain instead of the
    content; `get` returns the content. Several threads and processes may use one folder at the same time. A file is
    complete or absent: it is written under another name, synced to the disk and renamed. Each time content is read, it
    is checked against its reference.

    A folder that does not exist is created with the first `add`, for this user only (mode 0700). In an existing folder,
    users who may read the folder may read its files. A program that knows a reference gets the content from the store:
    give each user a separate folder if they must not see each other's pictures.

    A pickle contains the path of the folder, but no content. Two stores are equal if their folders are.

    Args:
        folder: the path of the folder; `~` is the home directory, and a relative path is made absolute now.

    Attributes:
        prefix: the beginning of all references.

    Raises:
        InvalidRequestError: `folder` is not a path.

    Examples:
        >>> store = PictureStore("pictures")
        >>> reference = store.add("photo.jpg")  # doctest: +SKIP
        >>> store.get(reference)  # doctest: +SKIP
        Image(JPEG 640x480, 41 kB, sha256 9f86d081884c)
    """

    __slots__ = ("_folder",)

    prefix: ClassVar[str] = "glmv-sha256-"

    _folder: Path

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        path = os.fspath(folder) if isinstance(folder, str | os.PathLike) else None
        if not isinstance(path, str) or not path or "\0" in path:  # an empty path would be the working directory
            raise InvalidRequestError(f"A PictureStore needs the path of a folder; got {shown(folder)}.")
        self._folder = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - links stay links

    @property
    def folder(self) -> Path:
        """The folder, as an absolute path."""
        return self._folder

    def add(self, source: str | os.PathLike[str] | bytes | bytearray | memoryview | PILImage | Image | Video) -> str:
        """Store a picture or a video, unless it is stored already.

        The bytes are stored unchanged; the name and `fit=False` of an `Image` are not stored.

        Args:
            source: an argument of `Image.of` or `Video.of`. A str that is a path is opened: do not pass strings
                from a message.

        Returns:
            The reference. The content is on the disk then, so a database may store the reference.

        Raises:
            InvalidRequestError: the file cannot be read.
            UnsupportedContent: the source is neither a picture nor a video, or it is a URL, which is not fetched.
            LimitExceeded: the content is larger than the limit for pictures or videos.
            OSError: the folder cannot be written.
        """
        medium = _medium(source)
        digest = medium.sha256
        if digest is None:
            raise UnsupportedContent(f"{medium!r} has no bytes to store: put the URL itself into the message.")
        path = self._find(digest)
        if path is not None and _holds(path, digest):
            _renew(path)
        else:
            self._write(path or self._place(medium, digest), medium.data())
        return self.prefix + digest

    def get(self, reference: str) -> Image | Video:
        """The content of a reference.

        Raises:
            InvalidRequestError: the string is not a reference, the store does not have it, or its file was changed.
        """
        digest = self._digest(reference)
        path = self._existing(reference)
        kind, cap = _FOLDERS[path.parts[-3]]
        blob = Blob.from_path(path, cap=cap, what=reference)
        try:
            medium = kind.from_bytes(blob.data())
        except InvalidRequestError:  # a stored file was valid: it was changed
            medium = None
        if medium is None or medium.sha256 != digest:
            raise InvalidRequestError(f"The file of {reference} was changed or damaged: add the original again.")
        return medium

    def path(self, reference: str) -> Path:
        """The file of a reference, for functions that need a path. Its content is not checked.

        Raises:
            InvalidRequestError: the string is not a reference, or this store does not have it.
        """
        return self._existing(reference)

    def remove(self, reference: str) -> bool:
        """Delete the content of a reference. Messages with this reference can no longer be sent.

        Returns:
            Whether the store had the content.

        Raises:
            InvalidRequestError: the string is not a reference.
            OSError: the file cannot be deleted.
        """
        removed = False
        while (path := self._find(self._digest(reference))) is not None:
            path.unlink(missing_ok=True)  # another process may delete it first
            removed = True
        return removed

    def references(self) -> Iterator[str]:
        """All references, in any order; use it to remove those that are no longer needed."""
        for folder in _FOLDERS:
            for path in (self._folder / folder).glob("??/*"):
                if _DIGITS.fullmatch(path.stem):
                    yield self.prefix + path.stem

    def _digest(self, reference: str) -> str:
        """The hex digits of a reference; only these become part of a path."""
        if isinstance(reference, str) and reference.startswith(self.prefix):
            digest = reference.removeprefix(self.prefix)
            if _DIGITS.fullmatch(digest):
                return digest
        raise InvalidRequestError(
            f"{shortened(str(reference))!r} is not a reference of a PictureStore; "
            f"a reference is {self.prefix!r} followed by 64 hex digits in lower case."
        )

    def _existing(self, reference: str) -> Path:
        path = self._find(self._digest(reference))
        if path is None:
            raise InvalidRequestError(
                f"{reference} is not in the store {os.fspath(self._folder)!r}: "
                "it was removed, or it was added to another store."
            )
        return path

    def _find(self, digest: str) -> Path | None:
        for folder in _FOLDERS:
            for path in (self._folder / folder / digest[:2]).glob(f"{digest}.*"):
                return path
        return None

    def _place(self, medium: Image | Video, digest: str) -> Path:
        match medium:
            case Image():
                folder, extension = "pictures", medium.format
            case Video():
                folder, extension = "videos", medium.container
        # 256 folders, because searching a folder takes time for each of its files. The extension is for other programs.
        return self._folder / folder / digest[:2] / f"{digest}.{extension}"

    def _write(self, path: Path, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(self._folder.stat().st_mode)
        for folder in (path.parent.parent, path.parent):
            _make_folder(folder, mode)
        self._remove_abandoned()
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=self._folder)
        try:
            with open(handle, "wb") as file:  # noqa: PTH123 - it is open
                file.write(data)
                file.flush()
                # Without this a rename could reach the disk before the content: after a power cut, a reference in a
                # database would belong to an empty file.
                os.fsync(handle)
            os.chmod(name, mode & 0o666)  # noqa: PTH101 - it is a str
            os.replace(name, path)  # noqa: PTH105 - it is a str
        except BaseException:
            os.unlink(name)  # noqa: PTH108 - it is a str
            raise
        _sync(path.parent)

    def _remove_abandoned(self) -> None:
        """Remove incomplete files that are an hour old: their processes were killed while they wrote."""
        for path in self._folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            with suppress(OSError):  # another process has removed it
                if path.stat().st_mtime < time.time() - _ABANDONED:
                    path.unlink()

    def __fspath__(self) -> str:
        return os.fspath(self._folder)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PictureStore) and other._folder == self._folder

    def __hash__(self) -> int:
        return hash((PictureStore, self._folder))

    def __copy__(self) -> PictureStore:
        return self

    def __deepcopy__(self, memo: object) -> PictureStore:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return PictureStore, (os.fspath(self._folder),)

    def __repr__(self) -> str:
        return f"PictureStore({os.fspath(self._folder)!r})"


def _medium(source: Any) -> Image | Video:
    """Returns the picture or the video that a source contains."""
    if isinstance(source, Video):
        return source
    try:
        return Image.of(source)
    except (UnsupportedContent, LimitExceeded) as error:
        try:
            return Video.of(source)
        except InvalidRequestError:
            raise error from None


def _holds(path: Path, digest: str) -> bool:
    """Whether the SHA-256 of a file is `digest`. If not, the file is damaged, and `add` writes it again."""
    try:
        return Blob.from_path(path, cap=MAX_VIDEO_BYTES, what="").sha256 == digest
    except InvalidRequestError:
        return False


def _renew(path: Path) -> None:
    """Set the modification time of an old file to now. Cleanups keep new files, and new messages may refer to it."""
    with suppress(OSError):  # it is read-only
        if path.stat().st_mtime < time.time() - _NEW:
            os.utime(path)


def _make_folder(folder: Path, mode: int) -> None:
    try:
        folder.mkdir()
    except FileExistsError:
        return
    folder.chmod(mode)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Sync the names in a folder to the disk. Windows has no such call, and syncs names by itself."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
