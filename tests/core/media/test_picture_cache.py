"""Pictures of a history are checked and fitted once, whichever objects hold them; the cache is bounded in bytes."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import glmv
from glmv.media import headers, pixels
from glmv.media.kept import CHECKED, FITTED, Cache
from tests.support.threads import photo

ROW = glmv.find_model("glm-4.6v")
assert ROW is not None


class CallCounter:
    """Replaces a function: counts its calls and passes them on."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.calls = 0
        self._real = getattr(owner, name)
        patch.setattr(owner, name, self)

    def __call__(self, *args: Any, **named: Any) -> Any:
        self.calls += 1
        return self._real(*args, **named)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> CallCounter:
    return CallCounter(monkeypatch, pixels, "fit")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> CallCounter:
    return CallCounter(monkeypatch, headers, "picture")


def text(seed: int = 1) -> str:
    return base64.b64encode(photo(seed)).decode()


def ask(content: Any, **options: Any) -> Any:
    """The request body and the notes of a call with this content; nothing is sent."""
    from glmv.endpoints.context import Context
    from glmv.exchange.retry import RetryBudget
    from glmv.transport.address import address_of

    settings = glmv.Settings(api_key="a.b", **options)
    context = Context(settings, address_of(settings, {}), RetryBudget())
    call, _ = context.chat(context.request([{"role": "user", "content": content}], None, {}))
    return bytes(call.body("0" * 32)), call.reading.notes


def block(url: str) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": url}}]


@pytest.mark.parametrize("form", ["{}", "data:image/jpeg;base64,{}", "data:;base64,{}"])
def test_a_base64_picture_sent_again_in_a_history_is_checked_and_fitted_once(
    form: str, fits: CallCounter, reads: CallCounter
) -> None:
    url = form.format(text())
    first = ask(block(url))
    before = reads.calls
    again = [ask(block("".join([url[:9], url[9:]]))) for _ in range(5)]  # other objects of the same content
    assert again == [first] * 5
    assert fits.calls == 1
    # The original is not read again. The fitted picture is a new object each time, and its header is read.
    assert reads.calls - before <= 5


def test_a_picture_given_again_as_bytes_or_as_a_file_is_fitted_only_once(fits: CallCounter, tmp_path: Any) -> None:
    (tmp_path / "photo.jpg").write_bytes(photo())
    results = [lambda: glmv.Image.from_bytes(photo()), lambda: glmv.Image.from_path(tmp_path / "photo.jpg")]
    for make in results * 3:
        fitted, note = make().fitted_for(ROW)
        assert (fitted.width, fitted.height, fitted.orientation) == (400, 500, 1)
        assert note is not None
        assert note.startswith("photo.jpg: " if make is results[1] else "picture ")
    assert fits.calls == 1


def test_a_picture_fitted_to_two_different_limits_is_fitted_twice(fits: CallCounter) -> None:
    for side in (300, 300, 200):
        fitted, _ = glmv.Image.from_bytes(photo()).fitted(max_side=side)
        assert fitted.height == side
    assert fits.calls == 2


@pytest.mark.parametrize("most", [0, 1000])
def test_a_cache_that_is_too_small_for_a_picture_stores_nothing(most: int, fits: CallCounter) -> None:
    for _ in range(2):
        ask(block(text()), picture_cache_bytes=most)
    assert fits.calls == 2
    assert FITTED.size == 0


def test_the_cache_stays_within_its_limit_in_bytes(fits: CallCounter) -> None:
    one = len(text()) * 2
    for seed in range(1, 9):
        ask(block(text(seed)), picture_cache_bytes=3 * one)
        assert FITTED.size <= 3 * one
    before = fits.calls
    ask(block(text(8)), picture_cache_bytes=3 * one)
    assert fits.calls == before  # the youngest is there
    ask(block(text(1)), picture_cache_bytes=3 * one)
    assert fits.calls == before + 1  # the oldest is not


def test_an_invalid_picture_is_refused_each_time() -> None:
    junk = base64.b64encode(bytes(range(256)) * 400).decode()
    cut = text()[: len(text()) // 8 * 4]
    for _ in range(2):
        with pytest.raises(glmv.UnsupportedContent, match="not a picture"):
            glmv.Image.from_base64(junk)
        with pytest.raises(glmv.InvalidRequestError, match="not base64"):
            glmv.Image.from_base64(text() + "*")
        with pytest.raises(glmv.UnsupportedContent, match="cut short"):
            ask(block(cut))


def test_base64_with_and_without_line_breaks_gives_the_same_picture_from_the_cache() -> None:
    plain = text()
    lines = "\n".join(plain[at : at + 76] for at in range(0, len(plain), 76))
    for _ in range(2):
        assert glmv.Image.from_base64(lines).base64().decode() == plain
        assert glmv.Image.from_base64(lines.rstrip("=")).data() == photo()
        assert glmv.Image.from_base64(plain).data() == photo()


def test_equal_pictures_from_the_cache_keep_the_name_that_each_caller_gave() -> None:
    images = [glmv.Image.from_base64(text(), name=name) for name in ("a.jpg", "b.jpg", None)]
    assert images[0] == images[1] == images[2] == glmv.Image.from_bytes(photo())
    assert [image.name for image in images] == ["a.jpg", "b.jpg", None]
    assert not glmv.Image.from_base64(text(), fit=False).fit
    assert images[0].fit


def test_eight_threads_with_one_cache_get_equal_results_for_equal_pictures() -> None:
    texts = [text(seed) for seed in range(4)]

    def work(index: int) -> Any:
        return ask(block(texts[index % 4]), picture_cache_bytes=10**6)

    with ThreadPoolExecutor(8) as pool:
        result = list(pool.map(work, range(64)))
    assert all(result[index] == result[index % 4] for index in range(64))
    assert FITTED.size <= 10**6


def test_the_cache_counts_its_bytes_and_drops_entries_beyond_its_limit() -> None:
    table: Cache[str] = Cache()
    table.put("a", "x", 6, 10)
    table.put("a", "y", 4, 10)
    table.put("b", "z", 6, 10)
    assert (table.get("a"), table.get("b"), table.size) == ("y", "z", 10)
    table.put("c", "w", 1, 10)
    assert (table.get("a"), table.get("c"), table.size) == (None, "w", 7)
    table.put("d", "too large", 11, 10)
    assert table.get("d") is None
    table.clear()
    assert (table.get("b"), table.size) == (None, 0)


def test_the_cache_of_checked_base64_holds_no_content() -> None:
    glmv.Image.from_base64(text())
    (checked,) = (entry for entry, _ in CHECKED._entries.values())
    results = [getattr(checked, name) for name in checked.__slots__]
    assert not any(isinstance(value, str | bytes) and len(value) > 100 for value in results)
