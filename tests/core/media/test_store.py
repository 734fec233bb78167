"""A `PictureStore` writes each picture or video into its folder once, and checks it when it is read."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import stat
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from copy import copy, deepcopy
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from glmv import Image, InvalidRequestError, PictureStore, UnsupportedContent, Video

PICTURES = Path(__file__).parents[3] / "examples" / "pictures"
MP4 = (
    b"\0\0\0\x18ftypisom\0\0\0\0isommp42"
    b"\0\0\0\x74moov\0\0\0\x6cmvhd" + bytes(12) + b"\0\0\x03\xe8\0\0\x0f\xa0" + bytes(80)
)


def encoded(kind: str = "PNG", size: tuple[int, int] = (40, 30), color: str = "teal") -> bytes:
    out = io.BytesIO()
    Pillow.new("RGB", size, color).save(out, kind)
    return out.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> PictureStore:
    return PictureStore(tmp_path / "store")


def files(store: PictureStore) -> list[Path]:
    return [path for path in store.folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_reference_is_the_digest_of_the_content_and_get_returns_the_content(store: PictureStore, kind: str) -> None:
    data = encoded(kind)
    reference = store.add(data)
    assert reference == f"glmv-sha256-{sha256(data).hexdigest()}"
    picture = store.get(reference)
    assert isinstance(picture, Image)
    assert picture.data() == data
    assert (picture.format, picture.width, picture.height) == (Image.from_bytes(data).format, 40, 30)


def test_a_stored_video_is_returned_as_a_video_with_its_duration(store: PictureStore, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(MP4)
    references = {store.add(source) for source in (tmp_path / "clip.mp4", MP4, Video.from_bytes(MP4))}
    (reference,) = references
    picture = store.get(reference)
    assert isinstance(picture, Video)
    assert (picture.data(), picture.duration) == (MP4, 4.0)
    assert store.path(reference).suffix == ".mp4"


def test_the_same_picture_from_any_source_is_stored_as_one_file(store: PictureStore, tmp_path: Path) -> None:
    data = encoded()
    (tmp_path / "a.png").write_bytes(data)
    picture = Image.from_bytes(data)
    sources: list[Any] = [
        tmp_path / "a.png", str(tmp_path / "a.png"), data, bytearray(data), memoryview(data), picture,
        Image.from_base64(picture.base64()), "data:image/png;base64," + picture.base64().decode(),
        Image.from_path(tmp_path / "a.png", fit=False),
    ]  # fmt: skip
    assert len({store.add(source) for source in sources}) == 1
    assert [path.name for path in files(store)] == [f"{sha256(data).hexdigest()}.png"]


def test_a_pillow_picture_is_stored_as_a_png(store: PictureStore) -> None:
    picture = store.get(store.add(Pillow.new("RGB", (9, 7), "navy")))
    assert isinstance(picture, Image)
    assert (picture.width, picture.height, picture.format) == (9, 7, "png")


def test_adding_the_same_content_again_does_not_rewrite_its_file(store: PictureStore) -> None:
    path = store.path(store.add(encoded()))
    before = path.stat()
    store.add(encoded())
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize(
    "source", [b"no picture at all", b"", PICTURES / "nothing.png", PICTURES, 7, None, "https://example.com/a.png"]
)
def test_content_without_a_picture_is_refused_and_not_written(store: PictureStore, source: Any) -> None:
    with pytest.raises(InvalidRequestError):
        store.add(source)
    assert not store.folder.exists()


def test_adding_a_url_is_refused_with_advice_to_put_the_url_into_the_message(store: PictureStore) -> None:
    with pytest.raises(UnsupportedContent, match=r"put the URL itself into the message\.$"):
        store.add("https://example.com/a.png")


DIGEST = sha256(encoded()).hexdigest()


@pytest.mark.parametrize(
    "reference",
    [
        "", DIGEST, f"glmv-sha256-{DIGEST.upper()}", f"GLMV-SHA256-{DIGEST}", f"glmv-sha512-{DIGEST}",
        f"glmv-sha256-{DIGEST[:-1]}", f"glmv-sha256-{DIGEST}0", f"glmv-sha256-{DIGEST}\n", f" glmv-sha256-{DIGEST}",
        f"glmv-sha256-{DIGEST}.png", f"glmv-sha256-../{DIGEST[3:]}", "glmv-sha256-../../../../etc/passwd",
        "/etc/passwd", f"file-{DIGEST}", f"glmv-sha256-{'*' * 64}", f"glmv-sha256-{DIGEST[:-1]}\u0663",
        f"glmv-sha256-{DIGEST[:-1]}\0", None, 7, b"glmv-sha256-" + DIGEST.encode(),
    ],
)  # fmt: skip
def test_a_value_that_is_not_a_reference_is_refused_with_a_short_error(store: PictureStore, reference: Any) -> None:
    store.add(encoded())
    for use in (store.get, store.path, store.remove):
        with pytest.raises(
            InvalidRequestError, match=r"^[^.]*(\.\.[^.]*)*is not a reference of a PictureStore"
        ) as info:
            use(reference)
        assert len(info.value.message) < 250
    assert len(files(store)) == 1


def test_the_error_of_an_unknown_reference_names_the_folder_of_the_store(store: PictureStore, tmp_path: Path) -> None:
    other = PictureStore(tmp_path / "other")
    reference = other.add(encoded())
    with pytest.raises(InvalidRequestError) as info:
        store.get(reference)
    assert reference in info.value.message
    assert str(store.folder) in info.value.message
    assert not store.folder.exists()


def test_a_removed_picture_can_be_added_again(store: PictureStore) -> None:
    reference, other = store.add(encoded()), store.add(encoded("JPEG"))
    assert store.remove(reference)
    assert not store.remove(reference)
    with pytest.raises(InvalidRequestError, match="it was removed"):
        store.get(reference)
    assert list(store.references()) == [other]
    assert store.add(encoded()) == reference
    assert sorted(store.references()) == sorted([reference, other])


@pytest.mark.parametrize("damage", [b"", encoded()[:50], encoded(color="red"), b"secret", encoded() + b"\0"])
def test_get_refuses_a_changed_file_and_adding_the_picture_again_restores_it(
    store: PictureStore, damage: bytes
) -> None:
    reference = store.add(encoded())
    store.path(reference).write_bytes(damage)
    with pytest.raises(InvalidRequestError, match=r"was changed or damaged: add the original again\.$"):
        store.get(reference)
    assert store.add(encoded()) == reference
    assert store.get(reference).data() == encoded()


def test_get_refuses_a_symbolic_link_in_place_of_the_picture_file(store: PictureStore, tmp_path: Path) -> None:
    reference = store.add(encoded())
    (tmp_path / "private.png").write_bytes(encoded(color="red"))
    store.path(reference).unlink()
    (store.folder / "pictures" / DIGEST[:2] / f"{DIGEST}.png").symlink_to(tmp_path / "private.png")
    with pytest.raises(InvalidRequestError, match="changed"):
        store.get(reference)


@pytest.mark.skipif(os.name == "nt", reason="modes are those of POSIX")
@pytest.mark.parametrize(("mode", "files_mode"), [(None, 0o600), (0o750, 0o640), (0o777, 0o666), (0o700, 0o600)])
def test_picture_files_are_readable_by_users_who_can_read_the_stores_folder(
    tmp_path: Path, mode: int | None, files_mode: int
) -> None:
    store = PictureStore(tmp_path / "shared")
    if mode is not None:
        store.folder.mkdir()
        store.folder.chmod(mode)
    path = store.path(store.add(encoded()))
    assert stat.S_IMODE(path.stat().st_mode) == files_mode
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (store.folder, path.parent, path.parent.parent)} == {
        mode or 0o700
    }


def test_a_failed_write_leaves_no_file_and_reports_the_reason(
    store: PictureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.add(encoded())
    assert files(store) == []
    assert list(store.references()) == []


def test_a_file_is_synced_to_disk_before_it_is_renamed(store: PictureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda handle: (steps.append("sync"), sync(handle))[1])
    monkeypatch.setattr("os.replace", lambda *names: (steps.append("name"), replace(*names))[1])
    store.add(encoded())
    after = steps[steps.index("name") - 1 :]
    assert after[:2] == ["sync", "name"]
    assert "sync" in after[2:]  # the folder


def add_all(folder: str) -> list[str]:
    store = PictureStore(folder)
    return [store.add(encoded(size=(64 + number, 64))) for number in range(12)]


def test_processes_and_threads_that_add_the_same_pictures_store_each_one_once(store: PictureStore) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=context) as processes, ThreadPoolExecutor(4) as threads:
        runs = [pool.submit(add_all, str(store.folder)) for pool in (processes, threads) for _ in range(4)]
        results = [run.result() for run in runs]
    assert all(result == results[0] for result in results)
    assert len(files(store)) == 12
    assert [store.get(reference).data() for reference in results[0]] == [
        encoded(size=(64 + number, 64)) for number in range(12)
    ]


def test_a_process_killed_during_a_write_leaves_no_reference(store: PictureStore) -> None:
    code = (
        "import os, sys, glmv; os.replace = lambda *_: os._exit(9);"
        "glmv.PictureStore(sys.argv[1]).add(sys.stdin.buffer.read())"
    )
    done = subprocess.run([sys.executable, "-c", code, store.folder], input=encoded(), check=False)
    assert done.returncode == 9
    assert list(store.references()) == []
    reference = store.add(encoded())
    assert list(store.references()) == [reference]


def test_a_pickled_store_holds_its_folder_and_no_content(store: PictureStore) -> None:
    reference = store.add(encoded(size=(400, 300)))
    data = pickle.dumps(store)
    assert len(data) < 300
    copies = [pickle.loads(data), copy(store), deepcopy(store), PictureStore(store)]
    assert copies == [store] * 4
    assert len({store, *copies}) == 1
    assert all(each.get(reference) == store.get(reference) for each in copies)
    assert repr(store) == f"PictureStore({str(store.folder)!r})"
    assert store != PictureStore(store.folder / "other")


def test_a_relative_folder_is_resolved_when_the_store_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = PictureStore("pictures")
    monkeypatch.chdir("/")
    reference = store.add(encoded())
    assert store.path(reference).is_relative_to(tmp_path / "pictures")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert PictureStore("~/pictures") == store


@pytest.mark.parametrize("folder", ["", None, 7, b"bytes", ["a"], "a\0b"])
def test_a_path_that_is_not_a_folder_is_refused(folder: Any) -> None:
    with pytest.raises(InvalidRequestError, match="A PictureStore needs the path of a folder"):
        PictureStore(folder)


def test_the_list_of_references_leaves_out_files_that_the_store_did_not_write(store: PictureStore) -> None:
    reference = store.add(encoded())
    (store.folder / "pictures" / "README.txt").write_text("hello")
    (store.folder / "pictures" / DIGEST[:2] / "notes.png").write_text("hello")
    assert list(store.references()) == [reference]


def _set_age(path: Path, seconds: float) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_old_unfinished_files_of_killed_processes_are_deleted_by_a_later_write(store: PictureStore) -> None:
    store.add(encoded(color="red"))
    leftover = _file_of_a_killed_process(store)
    younger = _file_of_a_killed_process(store)
    mine = store.folder / ".notes.part"
    mine.write_text("of somebody else")
    _set_age(leftover, 2 * 3600)
    _set_age(mine, 2 * 3600)
    store.add(encoded(color="red"))  # nothing is written
    assert leftover.exists()
    reference = store.add(encoded(color="blue"))
    assert (leftover.exists(), younger.exists(), mine.exists()) == (False, True, True)
    assert store.get(reference).data() == encoded(color="blue")


def _file_of_a_killed_process(store: PictureStore) -> Path:
    """Kill a process before it renames the file that it writes, and return that file."""
    before = set(files(store))
    program = (
        "import os, signal, sys; from glmv import PictureStore; "
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "
        "PictureStore(sys.argv[1]).add(sys.stdin.buffer.read())"
    )
    data = encoded(size=(50, 40), color="green")
    ended = subprocess.run([sys.executable, "-c", program, store.folder], input=data, check=False, timeout=60)
    assert ended.returncode < 0
    (leftover,) = set(files(store)) - before
    return leftover


def test_adding_content_again_updates_the_time_of_its_file(store: PictureStore) -> None:
    reference = store.add(encoded())
    path = _set_age(store.path(reference), 7 * 86400)
    assert store.add(encoded()) == reference
    assert time.time() - path.stat().st_mtime < 60
