"""The ledger: entries are on disk, one run locks it, and a killed run leaves no lock behind."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import glmv
from glmv_batch import Job
from glmv_batch._ledger import Ledger, Waiting
from glmv_emulator import Emulator

HOLD = """
import sys, time
from glmv_batch._ledger import Ledger
ledger = Ledger(sys.argv[1], place="here")
for number in range(100):
    ledger.keep(str(number), {"text": "kept"}).result()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "job.ledger"


def test_a_reopened_ledger_has_all_stored_answers(path: Path) -> None:
    with Ledger(path, place="here") as ledger:
        ledger.keep("a", {"key": "photo.jpg", "text": "a cat \ud800"}).result()
        ledger.keep("b", {"error": "busy", "retryable": True}).result()
    with Ledger(path, place="here") as ledger:
        assert ledger.answer("a") == {"text": "a cat \ud800"}
        assert ledger.answer("b") == {"error": "busy", "retryable": True}
        assert ledger.answer("b", retry_failed=True) is None
        assert ledger.answer("c") is None


def test_a_later_answer_replaces_the_stored_failure_of_an_item(path: Path) -> None:
    with Ledger(path, place="here") as ledger:
        ledger.keep("a", {"error": "busy", "retryable": True}).result()
        ledger.keep("a", {"text": "a cat"}).result()
        assert ledger.answer("a", retry_failed=True) == {"text": "a cat"}


def test_a_stored_permanent_failure_is_not_retried_even_with_the_option_retry_failed(path: Path) -> None:
    with Ledger(path, place="here") as ledger:
        ledger.keep("a", {"error": "no picture", "retryable": False}).result()
        assert ledger.answer("a", retry_failed=True) is not None


def test_the_ledger_of_a_killed_run_has_all_answers_and_is_not_locked(path: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    run.stdout.readline()
    with pytest.raises(glmv.InvalidRequestError, match=f"process {run.pid} on .*, since 20"):
        Ledger(path, place="here")
    run.send_signal(signal.SIGKILL)
    run.communicate()
    with Ledger(path, place="here") as ledger:
        assert all(ledger.answer(str(number)) == {"text": "kept"} for number in range(100))


def test_the_file_with_the_process_id_is_removed_when_the_ledger_is_closed(path: Path) -> None:
    with Ledger(path, place="here"):
        assert json.loads(path.with_name("job.ledger.holder").read_text())["pid"]
    assert [file.name for file in path.parent.iterdir()] == ["job.ledger"]


def test_a_file_that_is_not_a_ledger_is_refused_and_left_unchanged(path: Path) -> None:
    path.write_bytes(b"somebody's file, long enough to be read as a database " * 20)
    before = path.read_bytes()
    with pytest.raises(glmv.InvalidRequestError, match="is not a ledger"):
        Ledger(path, place="here")
    assert path.read_bytes() == before


def test_a_database_of_a_foreign_program_is_refused_as_ledger_and_not_changed(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("create table customers (name)")
    before = path.read_bytes()
    with pytest.raises(glmv.InvalidRequestError, match="is not a ledger of glmv_batch: its tables are customers"):
        Ledger(path, place="here")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["job.ledger"]


def test_a_ledger_of_an_unknown_version_is_refused(path: Path) -> None:
    Ledger(path, place="here").close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("update meta set value = '99' where name = 'version'")
    with pytest.raises(glmv.InvalidRequestError, match=r"has version 99; this glmv_batch reads version 1"):
        Ledger(path, place="here")


def test_the_digest_of_a_file_is_reused_until_size_or_time_of_the_file_changes(path: Path) -> None:
    with Ledger(path, place="here") as ledger:
        ledger.keep_digest("a.png", 10, 1, "digest")
        ledger.keep("x", {}).result()
        assert ledger.digest("a.png", 10, 1) == "digest"
        assert ledger.digest("a.png", 10, 2) is None
        assert ledger.digest("a.png", 11, 1) is None


def test_a_ledger_returns_rows_that_wait_for_an_answer_once_and_not_in_the_next_run(path: Path) -> None:
    with Ledger(path, place="here") as ledger:
        assert not ledger.wait_for(Waiting("k", "a.png", {"shelf": 3}))
        assert ledger.wait_for(Waiting("k", "a.png", {"shelf": 4}))
        assert ledger.waited("k") == [("k", "a.png", {"shelf": 3}), ("k", "a.png", {"shelf": 4})]
        assert ledger.waited("k") == []
        ledger.wait_for(Waiting("k", "a.png", {}))
    with Ledger(path, place="here") as ledger:
        assert ledger.waited("k") == []
        assert not ledger.wait_for(Waiting("k", "a.png", {}))


def test_an_item_waits_for_the_answer_to_an_equal_item_in_an_unfinished_chunk(path: Path) -> None:
    with Ledger(path, place="here") as ledger:
        ledger.chunk_planned("chunk-1", ["k"])
        ledger.chunk_sent("chunk-1", "batch_1")
    with Ledger(path, place="here") as ledger:
        assert ledger.chunks() == [("chunk-1", "batch_1")]
        assert ledger.chunk_keys("chunk-1") == ["k"]
        assert ledger.wait_for(Waiting("k", "a.png", {}))
        ledger.chunk_ended("chunk-1")
        ledger.waited("k")
        assert ledger.chunks() == []
        assert not ledger.wait_for(Waiting("k", "a.png", {}))


def test_a_ledger_refuses_all_writes_after_a_failed_write(path: Path) -> None:
    with Ledger(path, place="here") as ledger:
        ledger.chunk_planned("chunk-1", ["k"])
        with pytest.raises(glmv.LimitExceeded, match="cannot be written"):
            ledger._put("insert into nowhere values (1)", ()).result()
        with pytest.raises(glmv.LimitExceeded, match="cannot be written"):
            ledger.chunk_ended("chunk-1")
        assert ledger.chunks() == [("chunk-1", None)]


def test_the_ledger_file_contains_no_base64_data(path: Path) -> None:
    with Ledger(path, place="https://open.bigmodel.cn") as ledger:
        ledger.keep("k", {"text": "a cat"}).result()
    assert b"base64" not in path.read_bytes()


COUNT = 60


def job(emulator: Emulator, photos: Path) -> Job:
    return Job(photos, "Which?", model="glm-4.6v-flash", api_key=emulator.api_key, base_url=emulator.base_url)


def in_the_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(4096 * 3, len(data)):
        data[place] = 0x5A if place % 3 else data[place]
    path.write_bytes(data)


def in_the_rows(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"text"', b'"te"xt'))


def other_names(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"text"', b'"tent"'))


def no_objects(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("update answers set row = '[1]'")
        db.commit()


def test_an_empty_ledger_beside_an_output_with_answers_ends_the_job(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    out, ledger = tmp_path / "o.csv", tmp_path / "other.ledger"
    ledger.touch()  # a run that was killed as it began may leave it so
    job(emulator, photos).write(out, ledger=ledger)
    whole, count = out.read_bytes(), len(emulator.requests)
    ledger.write_bytes(b"")
    with pytest.raises(
        glmv.InvalidRequestError, match=r"other\.ledger is damaged: it is empty, but o\.csv has answers"
    ):
        job(emulator, photos).write(out, ledger=ledger)
    assert (out.read_bytes(), len(emulator.requests)) == (whole, count)


@pytest.mark.parametrize("damage", [in_the_middle, in_the_rows, other_names, no_objects])
@pytest.mark.parametrize("via", ["write", "rows"])
def test_the_error_of_a_damaged_ledger_names_the_file_and_says_what_to_do(
    emulator: Emulator, photos: Path, tmp_path: Path, damage: Callable[[Path], None], via: str
) -> None:
    out, ledger = tmp_path / "o.jsonl", tmp_path / "o.jsonl.ledger"
    job(emulator, photos).write(out)
    whole, count = out.read_bytes(), len(emulator.requests)
    damage(ledger)
    with pytest.raises(
        glmv.InvalidRequestError,
        match=r"The ledger .*o\.jsonl\.ledger is damaged: .*Restore the ledger from a copy, or move it away and run",
    ):
        job(emulator, photos).write(out) if via == "write" else list(job(emulator, photos).rows(ledger=ledger))
    assert out.read_bytes() == whole
    assert len(emulator.requests) == count
    ledger.rename(tmp_path / "away")
    assert job(emulator, photos).write(out).answered == COUNT


def test_a_read_error_of_the_ledger_raises_an_error_that_says_to_run_again(
    emulator: Emulator, photos: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise sqlite3.OperationalError("disk I/O error")

    list(job(emulator, photos).rows(ledger=path))
    with Ledger(path, place="loopback") as ledger:
        db = ledger._db
        monkeypatch.setattr(ledger, "_db", SimpleNamespace(execute=broken))
        with pytest.raises(
            glmv.InvalidRequestError, match=r"cannot be read: disk I/O error\. Run again when it can be read"
        ):
            ledger.answer("a")
        monkeypatch.setattr(ledger, "_db", db)


@pytest.mark.parametrize(
    "row",
    [
        '{"text": 5}',
        '{"text": "a", "notes": 5}',
        '{"text": "a", "notes": [5]}',
        '{"text": "a", "seconds": "fast"}',
        '{"error": {"message": "busy"}}',
        '{"text": "a", "prompt_tokens": "5"}',
        "[" * 100_000,
    ],
)
@pytest.mark.parametrize("via", ["write", "rows"])
def test_a_stored_answer_with_a_value_of_another_type_ends_the_job(
    emulator: Emulator, photos: Path, tmp_path: Path, row: str, via: str
) -> None:
    out, ledger = tmp_path / "o.jsonl", tmp_path / "o.jsonl.ledger"
    job(emulator, photos).write(out)
    whole, count = out.read_bytes(), len(emulator.requests)
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("update answers set row = ? where key = (select max(key) from answers)", (row,))
        db.commit()
    with pytest.raises(glmv.InvalidRequestError, match=r"The ledger .*o\.jsonl\.ledger is damaged"):
        job(emulator, photos).write(out) if via == "write" else list(job(emulator, photos).rows(ledger=ledger))
    assert (out.read_bytes(), len(emulator.requests)) == (whole, count)
