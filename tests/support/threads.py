"""Records the threads in which pictures are read, checked, fitted and encoded."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from glmv.media import pixels
from glmv.media.blob import Blob
from glmv.request.size import LARGE
from tests.support.fake_server import DONE, WHOLE, Peer, chunk


class Threads:
    """Records the thread of each slow step for a large picture.

    Attributes:
        of: name of the step -> the threads that ran it.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.of: dict[str, set[int]] = {}
        self._patch = patch
        self._watch(pixels, "fit")
        self._watch(pixels, "encode")
        self._watch(Blob, "data")
        self._watch(Blob, "base64")
        self._watch(Blob, "from_path", plain=False)
        self._watch(Blob, "read_file", plain=False)
        self._watch(Blob, "from_base64", plain=False, when=lambda data, **_: len(data) > LARGE)

    def _watch(
        self, owner: Any, name: str, *, plain: bool = True, when: Callable[..., bool] = lambda *_, **__: True
    ) -> None:
        real = getattr(owner, name)

        def noted(*args: Any, **named: Any) -> Any:
            if when(*args, **named):
                self.of.setdefault(name, set()).add(threading.get_ident())
            return real(*args, **named)

        self._patch.setattr(owner, name, noted if plain else staticmethod(noted))

    def hold_off(self, loop: int) -> None:
        """Assert that a picture was fitted and encoded, but not in this thread."""
        assert {"fit", "base64"} <= self.of.keys(), self.of
        assert {name for name, threads in self.of.items() if loop in threads} == set()


def photo(seed: int = 1, size: tuple[int, int] = (500, 400)) -> bytes:
    """A JPEG of noise, about 200 KB, with EXIF rotation, so that it has to be fitted."""
    out = io.BytesIO()
    exif = Image.Exif()
    exif[pixels.ORIENTATION] = 6
    noise = random.Random(seed).randbytes(size[0] * size[1] * 3)
    Image.frombytes("RGB", size, noise).save(out, "JPEG", quality=92, exif=exif)
    assert len(out.getvalue()) > LARGE
    return out.getvalue()


def answers(peer: Peer) -> None:
    """A valid answer for a chat, a stream, a task, a file, a batch and a token count."""
    if peer.streaming:
        peer.stream(chunk("hel"), chunk("lo", "stop"), DONE)
    else:
        peer.say(WHOLE)
