"""The key of an item depends only on the content of its request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

import glmv
from glmv_batch import Item
from glmv_batch._key import Keys
from glmv_batch._ledger import Ledger
from glmv_batch._question import Question

MODEL = "glm-4.6v"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "l", place="here") as ledger:
        yield ledger


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    PIL.Image.new("RGB", (16, 16), "red").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def key(ledger: Ledger, source: Any, prompt: str = "What is it?", model: str = MODEL, **options: Any) -> str:
    question = Question(prompt, model=model, options=options)
    return Keys(question, model, glmv.Options(), ledger).of(Item("any", source)).key


def test_the_ledger_key_is_the_same_for_the_path_the_bytes_and_a_copy_of_a_picture(
    ledger: Ledger, photo: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(photo.read_bytes())
    forms = [photo, str(photo), copy, photo.read_bytes(), glmv.Image.from_path(photo)]
    assert len({key(ledger, form) for form in forms}) == 1


@pytest.mark.parametrize(
    "change",
    [{"prompt": "Where is it?"}, {"model": "glm-4.5v"}, {"temperature": 0.5}, {"extra_body": {"new": 1}}],
    ids=lambda change: next(iter(change)),
)
def test_the_ledger_key_depends_on_the_prompt_and_the_model_and_the_options(
    ledger: Ledger, photo: Path, change: dict[str, Any]
) -> None:
    assert key(ledger, photo) != key(ledger, photo, **change)


def test_the_ledger_key_ignores_user_id_and_the_case_of_the_model_name(ledger: Ledger, photo: Path) -> None:
    assert key(ledger, photo) == key(ledger, photo, model="GLM-4.6V", user_id="somebody")


def test_an_option_gives_the_same_ledger_key_whether_set_on_client_or_job(ledger: Ledger, photo: Path) -> None:
    of_client = Keys(Question("What is it?", model=MODEL), MODEL, glmv.Options(temperature=0.5), ledger)
    assert of_client.of(Item("any", photo)).key == key(ledger, photo, temperature=0.5)


def test_a_picture_file_is_read_again_only_if_the_file_has_changed(
    ledger: Ledger, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = glmv.Image.from_path
    monkeypatch.setattr(glmv.Image, "from_path", lambda *args: reads.append(args) or read(*args))  # type: ignore[func-returns-value]  # it appends and goes on
    first = key(ledger, photo)
    ledger.keep("x", {}).result()  # what was noted before it is on disk, too
    assert key(ledger, photo) == first
    assert len(reads) == 1
    PIL.Image.new("RGB", (16, 17), "blue").save(photo)
    assert key(ledger, photo) != first
    assert len(reads) == 2


def test_the_option_fit_of_a_picture_changes_the_ledger_key(ledger: Ledger, photo: Path) -> None:
    fitted, as_it_is = (glmv.Image.from_path(photo, fit=fit) for fit in (True, False))
    assert key(ledger, fitted) != key(ledger, as_it_is)


def test_the_ledger_key_of_a_picture_url_is_made_from_the_url(ledger: Ledger) -> None:
    one, other = "https://example.com/a.png", "https://example.com/b.png"
    assert key(ledger, one) == key(ledger, one) != key(ledger, other)


def test_the_base_model_of_an_unknown_model_changes_the_ledger_key(ledger: Ledger, photo: Path) -> None:
    def of(model: str, /, **settings: Any) -> str:
        return Keys(Question("?", model=model), model, glmv.Settings(**settings), ledger).of(Item("any", photo)).key

    assert of("ours") == of("ours", model="ours") != of("ours", model="ours", base_model="glm-4.6v")
    assert of("other", model="ours", base_model="glm-4.6v") == of("other")
