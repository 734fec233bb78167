"""An output file that has a temporary name and a lock until it is complete."""

from __future__ import annotations

import errno
import os
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

import glmv
from glmv_batch._fields import SourceColumns
from glmv_batch._row import Row

# A disk or a quota is full, or a file is as large as the file system permits.
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class Part(ABC):
    """A writer to `<file>.part`, which is renamed to `<file>` when the run ends.

    `claim` locks the file. The operating system removes the lock when the process ends or is killed.

    Attributes:
        source_columns: the columns of the source that are written.
    """

    source_columns: SourceColumns

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._locked_file: IO[bytes] | None = None
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            with self._disk():
                if exc[0] is None:
                    self._begin()
                if self._begun:
                    self._close()
                    self._finish(whole=exc[0] is None)
        finally:
            self._let_go()

    def claim(self) -> None:
        """Lock the file for this job. Its old content stays until the first row is written.

        Raises:
            InvalidRequestError: another job has locked it.
            LimitExceeded: the file cannot be written.
        """
        with self._disk():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            while self._locked_file is None:
                flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
                file = os.fdopen(os.open(self._part, flags, 0o666), "r+b")
                is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)  # a link may point to a pipe or a device
                if is_file and not _lock(file.fileno()):
                    file.close()
                    raise glmv.InvalidRequestError(
                        f"Another job writes {self._path}: its rows so far are in {self._part.name}. Wait until "
                        "that job has ended, stop the job, or name another output."
                    )
                if self._is_there(file):
                    self._locked_file = file
                else:  # another job ended after the file was opened and before it was locked, and has renamed it
                    file.close()

    def write(self, row: Row) -> None:
        """Write one row.

        Raises:
            LimitExceeded: the file cannot be written: the disk is full, or writing is not permitted.
        """
        with self._disk():
            self._begin()
            self._put(row)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            advice = "Free disk space" if error.errno in _FULL else "Make it writable, or name another output,"
            raise glmv.LimitExceeded(
                f"{self._path} cannot be written: {error}. {advice} and run again: the ledger has every answer."
            ) from error

    def _begin(self) -> None:
        """Empty the file before the first row is written.

        A run that fails before that, for example because the ledger is locked, leaves the file unchanged.
        """
        if not self._begun:
            if self._locked_file is None:
                self.claim()
            assert self._locked_file is not None
            if os.fstat(self._locked_file.fileno()).st_size:
                self._locked_file.truncate(0)
            self._open(self._locked_file)
            self._begun = True

    def _finish(self, *, whole: bool) -> None:
        """Rename the file, unless the run failed and an older file exists. On Windows, close and so unlock it first."""
        assert self._locked_file is not None
        self._locked_file.flush()
        if sys.platform == "win32":
            self._locked_file.close()
        if whole or not self._path.exists():
            self._part.replace(self._path)

    def _let_go(self) -> None:
        file, self._locked_file = self._locked_file, None
        if file is None:
            return
        try:
            is_empty = not self._begun and not os.fstat(file.fileno()).st_size and self._is_there(file)
            if sys.platform == "win32":
                file.close()
            if is_empty:
                self._part.unlink(missing_ok=True)
        except (OSError, ValueError):  # it is already closed, or may not be removed
            pass
        finally:
            try:
                file.close()
            except OSError:  # the failed write was reported before
                pass

    def _is_there(self, file: IO[bytes]) -> bool:
        """Whether the path of the `.part` file still names this open file."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._part.stat())
        except FileNotFoundError:
            return False

    @abstractmethod
    def _open(self, file: IO[bytes]) -> None:
        """Start writing into this open file."""

    @abstractmethod
    def _put(self, row: Row) -> None: ...

    @abstractmethod
    def _close(self) -> None:
        """Write the remaining rows."""


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> bool:
        """Try to lock a file; return whether that succeeded."""
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: int) -> bool:
        """Try to lock a file; return whether that succeeded."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
        return True
