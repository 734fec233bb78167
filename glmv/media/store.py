"""Pictures and videos in a folder, named by their content. A short reference stands for each, in messages and state."""

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
# The folders inside the store's, by what they hold; the most bytes of such a file.
_FOLDERS: dict[str, tuple[type[Image | Video], int]] = {
    "pictures": (Image, MAX_PICTURE_BYTES),
    "videos": (Video, MAX_VIDEO_BYTES),
}
_PREFIX, _SUFFIX = ".glmv-", ".part"  # of the names of files that are being written
_NEW = 60.0  # seconds for which a file counts as new in any case
_ABANDONED = 3600.0  # seconds from which on the process that wrote such a file is gone: a write takes far less


@public_class
class PictureStore:
    """A folder of pictures and videos, each written once and named by its SHA-256.

    `add` returns a reference of 76 characters, which stands for the content in messages, checkpoints, caches and
    traces; `get` returns the content. Several threads and processes may use one folder at a time. A file is complete
    or absent: it is written beside its place, brought to the disk and renamed. Content is checked against its
    reference each time that it is read.

    A folder that does not exist is made when something is first added, for this user only (mode 0700); in one that
    exists, whoever may read the folder may read its files. Whoever knows a reference gets the content from the store,
    so users who may not see each other's pictures need a folder each.

    A pickle holds the folder and no content. Two stores are equal when their folders are.

    Args:
        folder: where the files are; `~` is the home directory, a relative path counts from the working directory as it
            is now.

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
            raise InvalidRequestError(f"A PictureStore is made of the path of a folder; got {shown(folder)}.")
        self._folder = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - links stay links

    @property
    def folder(self) -> Path:
        """The folder, as an absolute path."""
        return self._folder

    def add(self, source: str | os.PathLike[str] | bytes | bytearray | memoryview | PILImage | Image | Video) -> str:
        """Write a picture or a video, unless it is there already.

        The bytes are kept as they are; names and `fit=False` of an `Image` are not.

        Args:
            source: what `Image.of` or `Video.of` take, of which a str that is not a `data:` URI is a path: not for
                strings out of a message.

        Returns:
            The reference. When it is returned the content is on the disk, so a database may keep it.

        Raises:
            InvalidRequestError: the file cannot be read.
            UnsupportedContent: it is neither a picture nor a video, or it is a URL, whose content is not at hand.
            LimitExceeded: it is larger than media of its kind may be.
            OSError: the folder cannot be written.
        """
        medium = _medium(source)
        digest = medium.sha256
        if digest is None:
            raise UnsupportedContent(f"{medium!r} holds no bytes to store: put the URL itself into the message.")
        found = self._find(digest)
        if found is not None and _holds(found, digest):
            _renew(found)
        else:
            self._write(found or self._place(medium, digest), medium.data())
        return self.prefix + digest

    def get(self, reference: str) -> Image | Video:
        """The content of a reference.

        Raises:
            InvalidRequestError: it is not a reference, there is nothing of it in this store, or the file holds
                something else by now.
        """
        digest = self._digest(reference)
        path = self._found(reference)
        kind, cap = _FOLDERS[path.parts[-3]]
        blob = Blob.from_path(path, cap=cap, what=reference)
        try:
            medium = kind.from_bytes(blob.data())
        except InvalidRequestError:  # what was added was such a medium
            medium = None
        if medium is None or medium.sha256 != digest:
            raise InvalidRequestError(f"The file of {reference} was changed or damaged: add the original again.")
        return medium

    def path(self, reference: str) -> Path:
        """The file of a reference, for what takes paths. Its content is not checked here.

        Raises:
            InvalidRequestError: it is not a reference, or there is nothing of it in this store.
        """
        return self._found(reference)

    def remove(self, reference: str) -> bool:
        """Delete the content of a reference. Messages that name it cannot be sent any more.

        Returns:
            Whether there was something to delete.

        Raises:
            InvalidRequestError: it is not a reference.
            OSError: the file cannot be deleted.
        """
        removed = False
        while (path := self._find(self._digest(reference))) is not None:
            path.unlink(missing_ok=True)  # another process may have been faster
            removed = True
        return removed

    def references(self) -> Iterator[str]:
        """The references of all that is stored, in no order; for removing what nothing names any more."""
        for folder in _FOLDERS:
            for path in (self._folder / folder).glob("??/*"):
                if _DIGITS.fullmatch(path.stem):
                    yield self.prefix + path.stem

    def _digest(self, reference: str) -> str:
        """The hex digits of a reference; nothing else becomes part of a path."""
        if isinstance(reference, str) and reference.startswith(self.prefix):
            digest = reference.removeprefix(self.prefix)
            if _DIGITS.fullmatch(digest):
                return digest
        raise InvalidRequestError(
            f"{shortened(str(reference))!r} is not a reference of a PictureStore, "
            f"which is {self.prefix!r} and 64 hex digits in small letters."
        )

    def _found(self, reference: str) -> Path:
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
        # 256 folders, because looking into one takes as long as it has files. The extension is for what takes paths.
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
                # A rename can reach the disk before the content does: a power cut would leave an empty file under a
                # reference that a database has.
                os.fsync(handle)
            os.chmod(name, mode & 0o666)  # noqa: PTH101 - it is a str
            os.replace(name, path)  # noqa: PTH105 - it is a str
        except BaseException:
            os.unlink(name)  # noqa: PTH108 - it is a str
            raise
        _sync(path.parent)

    def _remove_abandoned(self) -> None:
        """Remove the files of processes that were killed while they wrote."""
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
    """What the programmer has -> a picture; or a video, if it is that."""
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
    """Whether a file holds this content: one that was damaged since is written again."""
    try:
        return Blob.from_path(path, cap=MAX_VIDEO_BYTES, what="").sha256 == digest
    except InvalidRequestError:
        return False


def _renew(path: Path) -> None:
    """Make an old file new: whoever removes what no message names leaves new ones alone, their messages come later."""
    with suppress(OSError):  # it can only be read
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
    """Bring the names in a folder to the disk. Windows cannot, and keeps them by itself."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
