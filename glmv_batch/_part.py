"""A file under another name until it is whole, and one job's alone until then."""

from __future__ import annotations

import os
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

import glmv
from glmv_batch._fields import KeptColumns
from glmv_batch._row import Row


class Part(ABC):
    """`<file>.part`, which takes the file's name when the run ends.

    It is locked from `claim` on, by the operating system, which ends the lock with the process, however that ends.

    Attributes:
        kept: the columns of the source that are written.
    """

    kept: KeptColumns

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._held: IO[bytes] | None = None
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
        """Take the file for this job. What stands in it stays until the first row comes.

        Raises:
            InvalidRequestError: another job has it.
            LimitExceeded: it may not be written.
        """
        with self._disk():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            while self._held is None:
                flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
                file = os.fdopen(os.open(self._part, flags, 0o666), "r+b")
                is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)  # a link may lead to a pipe or a device
                if is_file and not _lock(file.fileno()):
                    file.close()
                    raise glmv.InvalidRequestError(
                        f"Another job writes {self._path}: its rows so far are in {self._part.name}. Wait for its end, "
                        "stop it, or name another output."
                    )
                if self._is_there(file):
                    self._held = file
                else:  # the other job ended between our opening and our locking, and the file has its name now
                    file.close()

    def write(self, row: Row) -> None:
        """Take one row.

        Raises:
            LimitExceeded: the file takes no more: the disk is full, or may not be written to.
        """
        with self._disk():
            self._begin()
            self._put(row)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise glmv.LimitExceeded(
                f"{self._path} cannot be written: {error}. Make room and run again: the ledger has every answer."
            ) from error

    def _begin(self) -> None:
        """Empty the file with its first row: a run that comes to none, because another one has the ledger, has no
        business with that one's file.
        """
        if not self._begun:
            if self._held is None:
                self.claim()
            assert self._held is not None
            if os.fstat(self._held.fileno()).st_size:
                self._held.truncate(0)
            self._open(self._held)
            self._begun = True

    def _finish(self, *, whole: bool) -> None:
        """Give the file its name. Where an open file can be renamed, nobody takes the lock before that."""
        assert self._held is not None
        self._held.flush()
        if sys.platform == "win32":
            self._held.close()
        if whole or not self._path.exists():
            self._part.replace(self._path)

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        try:
            is_empty = not self._begun and not os.fstat(held.fileno()).st_size and self._is_there(held)
            if sys.platform == "win32":
                held.close()
            if is_empty:
                self._part.unlink(missing_ok=True)
        except (OSError, ValueError):  # it is closed already, or not ours to remove
            pass
        finally:
            try:
                held.close()
            except OSError:  # what it could not write was told before
                pass

    def _is_there(self, file: IO[bytes]) -> bool:
        """Whether this is the file that bears the name."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._part.stat())
        except FileNotFoundError:
            return False

    @abstractmethod
    def _open(self, file: IO[bytes]) -> None:
        """Begin to write into this file, which stays open."""

    @abstractmethod
    def _put(self, row: Row) -> None: ...

    @abstractmethod
    def _close(self) -> None:
        """Write what is left."""


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> bool:
        """Lock a file; whether nobody else had it locked."""
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: int) -> bool:
        """Lock a file; whether nobody else had it locked."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
        return True
