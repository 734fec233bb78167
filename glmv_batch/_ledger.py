"""The ledger: one SQLite file next to the output, which stores each answer before its row is passed on.

WAL with `synchronous=FULL`: a stored answer survives a power failure (sqlite.org/pragma.html, "synchronous").
`locking_mode=EXCLUSIVE`: a second run finds the ledger locked. A killed run leaves no lock, because the lock is the
operating system's.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, Self

import glmv
from glmv_batch._batches import Chunk
from glmv_batch._fields import FACTS
from glmv_batch._row import jsonable

VERSION = 1
# Bytes of free disk space that a call needs: for the answers of the running calls, and for SQLite's log.
MARGIN = 64 * 1024 * 1024
# The maximum number of writes in a transaction; each transaction waits for the disk once.
_GROUP = 1_000
# The types of the fields that a stored answer may have; `parsed` is any JSON value.
_KINDS: Mapping[str, Any] = {"string": str, "int64": int, "float64": int | float, "bool": bool, "list": list}
_TYPES = {"parsed": object} | {name: _KINDS[kind] for name, kind in FACTS.items()}
# Seconds until the disk's free space is checked again.
_LOOK = 0.5

_TABLES = """
create table if not exists meta (name text primary key, value text) without rowid;
create table if not exists answers (key text primary key, ok integer, retryable integer, row text) without rowid;
create table if not exists files (path text primary key, size integer, mtime integer, digest text) without rowid;
create table if not exists chunks (name text primary key, batch text) without rowid;
create table if not exists chunk_items (chunk text, key text);
create index if not exists chunk_items_by_chunk on chunk_items (chunk);
create index if not exists chunk_items_by_key on chunk_items (key);
create temp table waiting (key text, name text, columns text);
create index temp.waiting_by_key on waiting (key);
"""

_Write = tuple[str, Sequence[Any], "Future[None]"]


class LedgerUnreadable(glmv.InvalidRequestError):
    """The ledger cannot be read. This ends the job, because the cause is not a single item."""

    def __init__(self, path: Path, error: Exception) -> None:
        if isinstance(error, sqlite3.Error) and not _is_damage(error):
            super().__init__(f"The ledger {path} cannot be read: {error}. Run again when it can be read.")
            return
        super().__init__(
            f"The ledger {path} is damaged: {error}. The run has ended. Restore the ledger from a copy, or move it "
            "away and run again: without it, all items are sent again and paid for again."
        )


class Waiting(NamedTuple):
    """An item that waits for the answer of a batch."""

    key: str
    name: Any
    columns: Mapping[str, Any]


class Ledger:
    """Answers by the key of their item. Its methods can be called from any thread."""

    def __init__(self, path: str | os.PathLike[str], *, place: str) -> None:
        """Open the ledger, or create it.

        Args:
            path: the file.
            place: the server that answers; a ledger has answers of one server only.

        Raises:
            InvalidRequestError: another run uses the ledger (the error names the process), the file is not a ledger,
                or it has answers of another server.
            LimitExceeded: the ledger cannot be written.
        """
        self.path = Path(path)
        self._holder = self.path.with_name(f"{self.path.name}.holder")
        self._lock = threading.Lock()
        self._looked = 0.0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise glmv.InvalidRequestError(f"The ledger {self.path} cannot be opened: {error}.") from error
        try:
            self._begin(place)
            self._holder.write_text(json.dumps(_me()))
        except OSError as error:
            self._db.close()
            raise glmv.LimitExceeded(f"The ledger {self.path} cannot be written: {error}.") from error
        except BaseException:
            self._db.close()
            raise
        self._writes: SimpleQueue[_Write | None] = SimpleQueue()
        self._broken: Exception | None = None
        self._writer = threading.Thread(target=self._write_all, name="glmv ledger", daemon=True)
        self._writer.start()

    def _begin(self, place: str) -> None:
        try:
            self._db.execute("pragma locking_mode=EXCLUSIVE")
            # Checked before anything is written, so that the database of another program is not changed.
            tables = {name for (name,) in self._db.execute("select name from sqlite_master where type = 'table'")}
            if tables and "meta" not in tables:  # `meta` is the first table that is made
                raise glmv.InvalidRequestError(
                    f"{self.path} is not a ledger of glmv_batch: its tables are {', '.join(sorted(tables)[:5])}."
                )
            for pragma in ("journal_mode=WAL", "synchronous=FULL"):
                self._db.execute(f"pragma {pragma}")
            self._db.executescript(_TABLES)
            meta = dict(self._db.execute("select name, value from meta"))
            self._db.execute("insert or ignore into meta values ('version', ?), ('place', ?)", (VERSION, place))
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise glmv.InvalidRequestError(f"The ledger {self.path} cannot be opened: {error}.") from error
            raise glmv.InvalidRequestError(
                f"Another run uses the ledger {self.path}: {self._who()}. Wait until that run has ended, or stop it."
            ) from None
        except sqlite3.DatabaseError as error:
            if "malformed" in str(error):
                raise LedgerUnreadable(self.path, error) from error
            raise glmv.InvalidRequestError(f"{self.path} is not a ledger of glmv_batch: {error}.") from error
        if meta.get("version", str(VERSION)) != str(VERSION):
            raise glmv.InvalidRequestError(
                f"The ledger {self.path} has version {meta['version']}; this glmv_batch reads version {VERSION}."
            )
        if meta.get("place", place) != place:
            raise glmv.InvalidRequestError(
                f"The ledger {self.path} has answers of {meta['place']}, but this job uses {place}. Use one ledger "
                "for each server."
            )

    def _who(self) -> str:
        try:
            holder = json.loads(self._holder.read_text())
            return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
        except (OSError, ValueError, KeyError):
            return "an unknown process"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish all writes and close the file."""
        if self._writer.is_alive():
            self._writes.put(None)
            self._writer.join()
            self._holder.unlink(missing_ok=True)
            self._db.close()

    def check_space(self) -> None:
        """Check that the disk has space for the next answers.

        Raises:
            LimitExceeded: the disk is almost full (but all answers so far are stored), or an earlier write failed.
            LedgerUnreadable: an earlier write found that the file is damaged.
        """
        if self._broken is not None:
            raise self._refusal() from self._broken
        if time.monotonic() - self._looked < _LOOK:
            return
        free = shutil.disk_usage(self.path.parent).free
        if free < MARGIN:
            raise glmv.LimitExceeded(
                f"The disk of {self.path} has {free >> 20} MB left; {MARGIN >> 20} MB must be free to store answers. "
                "Free disk space and run again: all answers so far are in the ledger."
            )
        self._looked = time.monotonic()

    def answer(self, key: str, *, retry_failed: bool = False) -> dict[str, Any] | None:
        """The stored row as a dict, as from `Row.as_dict` but without `key`; None if no row is stored.

        Args:
            retry_failed: also return None for failures that may succeed next time.
        """
        rows = self._rows("select ok, retryable, row from answers where key = ?", key)
        if not rows:
            return None
        ok, retryable, row = rows[0]
        try:
            facts = json.loads(row)
            if not isinstance(facts, dict) or not all(_fits(name, value) for name, value in facts.items()):
                raise ValueError("a stored answer has unexpected content")
        except (TypeError, ValueError, RecursionError) as error:
            raise LedgerUnreadable(self.path, error) from error
        return None if retry_failed and not ok and retryable else facts

    def keep(self, key: str, facts: Mapping[str, Any]) -> Future[None]:
        """Store an answer or a failure. It is on disk when the returned future is done."""
        ok = "error" not in facts
        row = json.dumps({name: value for name, value in facts.items() if name != "key"}, ensure_ascii=True)
        return self._put(
            "insert or replace into answers values (?, ?, ?, ?)", (key, ok, bool(facts.get("retryable")), row)
        )

    def digest(self, path: str, size: int, mtime: int) -> str | None:
        """The stored SHA-256 of the file; None if none is stored for this size and modification time."""
        rows = self._rows(
            "select digest from files where path = ? and size = ? and mtime = ?", os.fsencode(path), size, mtime
        )
        return str(rows[0][0]) if rows else None

    def keep_digest(self, path: str, size: int, mtime: int, digest: str) -> None:
        """Store a file's SHA-256; it may be written to disk later."""
        # The path is stored as bytes, because file names need not be UTF-8.
        self._put("insert or replace into files values (?, ?, ?, ?)", (os.fsencode(path), size, mtime, digest))

    def chunk_planned(self, name: str, keys: Sequence[str]) -> None:
        """Record a chunk that is about to be submitted."""
        last = self._put("insert into chunks values (?, null)", (name,))
        for key in keys:
            last = self._put("insert into chunk_items (chunk, key) values (?, ?)", (name, key))
        last.result()

    def chunk_sent(self, name: str, batch: str) -> None:
        """Record the id of the batch that the platform created for a chunk."""
        self._put("update chunks set batch = ? where name = ?", (batch, name)).result()

    def chunk_ended(self, name: str) -> None:
        """Remove a chunk, because no more answers will come from it."""
        self._put("delete from chunk_items where chunk = ?", (name,))
        self._put("delete from chunks where name = ?", (name,)).result()

    def chunks(self) -> list[Chunk]:
        """The chunks whose answers have not been read yet."""
        return [Chunk(name, batch) for name, batch in self._rows("select name, batch from chunks")]

    def chunk_keys(self, name: str) -> list[str]:
        """The keys of a chunk's items, each once."""
        return [key for (key,) in self._rows("select distinct key from chunk_items where chunk = ?", name)]

    def wait_for(self, waiting: Waiting) -> bool:
        """Record that an item waits for its answer; return whether a chunk or another waiting item has the same key.

        These records last only for this run: the next run reads the source again, because it may have changed.
        """
        key, name, columns = waiting
        tables = "chunk_items", "waiting"
        before = [self._rows(f"select 1 from {table} where key = ? limit 1", key) for table in tables]  # noqa: S608
        # File names need not be UTF-8; JSON escapes the other characters.
        values = key, json.dumps(name, default=jsonable), json.dumps(columns, default=jsonable)
        self._rows("insert into waiting values (?, ?, ?)", *values)
        return any(before)

    def waited(self, key: str) -> list[Waiting]:
        """The items with this key that wait for an answer, in order; removes their records."""
        rows = self._rows("select name, columns from waiting where key = ? order by rowid", key)
        self._rows("delete from waiting where key = ?", key)
        return [Waiting(key, json.loads(name), json.loads(columns)) for name, columns in rows]

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with self._lock:
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise LedgerUnreadable(self.path, error) from error

    def _put(self, sql: str, values: Sequence[Any]) -> Future[None]:
        done: Future[None] = Future()
        self._writes.put((sql, values, done))
        return done

    def _write_all(self) -> None:
        """Do the queued writes until the ledger closes, up to `_GROUP` in one transaction; runs in its own thread."""
        ended = False
        while not ended:
            first = self._writes.get()
            group = [] if first is None else [first]
            ended = first is None
            while len(group) < _GROUP and not self._writes.empty():
                more = self._writes.get()
                ended = ended or more is None
                group += [] if more is None else [more]
            try:
                if self._broken is not None:
                    raise self._broken  # later writes may depend on those that failed
                with self._lock:
                    self._db.execute("begin")
                    for sql, values, _ in group:
                        self._db.execute(sql, values)
                    self._db.execute("commit")
            except Exception as error:  # noqa: BLE001 - any error is passed to the threads that wait for these writes
                self._broken = error
                self._undo()
                for *_, done in group:
                    done.set_exception(self._refusal())
            else:
                for *_, done in group:
                    done.set_result(None)

    def _refusal(self) -> glmv.GLMVError:
        """The error for a write that failed, and for every later write."""
        if isinstance(self._broken, sqlite3.Error) and _is_damage(self._broken):
            return LedgerUnreadable(self.path, self._broken)
        return glmv.LimitExceeded(f"The ledger {self.path} cannot be written: {self._broken}.")

    def _undo(self) -> None:
        with self._lock:
            if self._db.in_transaction:
                try:
                    self._db.execute("rollback")
                except sqlite3.DatabaseError:  # the ledger is already unusable
                    pass


def _fits(name: str, value: object) -> bool:
    """Whether the value of a field in a stored answer has the type that the field must have."""
    return isinstance(value, _TYPES.get(name, ())) and (name != "notes" or all(isinstance(note, str) for note in value))


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means that the file is damaged; a full disk and a locked file raise errors of other classes."""
    return type(error) is sqlite3.DatabaseError or isinstance(error, sqlite3.DataError)


def _me() -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
