"""What this process remembers of pictures, so that those of a history are checked and fitted once.

Two tables by content: facts of checked base64, without the content; and fitted pictures, bounded in bytes.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from glmv.media.blob import Blob
    from glmv.media.headers import Picture

V = TypeVar("V")

PICTURE_CACHE_BYTES = 64 * 10**6
"""Bytes of fitted pictures that are kept at most, as base64: ten photographs of 4.8 MB."""

_MOST_CHECKED = 4096
# Base64 from which on its SHA-256 is sooner made than its characters are checked; less is checked each time.
_WORTH_IT = 16 * 1024


class Checked:
    """What is known of base64 that was checked before.

    Attributes:
        key: the SHA-256 of the text as it was given.
        start: characters of it before the base64, such as `data:image/png;base64,`.
        size: bytes that it decodes to.
        picture: what the header says.
        digest: see `Blob.digest`; None as long as nobody asked for it.
        cut: see `Image.cut_short`, in a tuple; None as long as nobody looked.
    """

    __slots__ = ("cut", "digest", "key", "picture", "size", "start")

    def __init__(self, key: bytes, start: int, size: int, picture: Picture) -> None:
        self.key, self.start, self.size, self.picture = key, start, size, picture
        self.digest: str | None = None
        self.cut: tuple[str | None] | None = None


class Kept(Generic[V]):
    """A table whose oldest entries go when it is full. Safe to share between threads.

    Attributes:
        size: of all entries together.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self.size = 0

    def get(self, key: Hashable) -> V | None:
        """An entry, which is the youngest from now on; None where there is none."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: Hashable, value: V, size: int, most: int) -> None:
        """Keep an entry, and of the others the youngest: all together have no more than `most`."""
        if size > most:
            return
        with self._lock:
            self.size += size - self._entries.pop(key, (None, 0))[1]
            self._entries[key] = value, size
            while self.size > most:
                self.size -= self._entries.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self.size = 0


CHECKED: Kept[Checked] = Kept()
FITTED: Kept[tuple[Blob, tuple[str, ...]]] = Kept()
"""By content and limits: the picture file, and the remarks on it (see `glmv.media.pixels.Fitted`)."""


def key_of(text: Any) -> tuple[bytes, bytes] | None:
    """Base64 as it was given -> the same as bytes, and its key; None where it is short, or no ASCII text."""
    if not isinstance(text, str | bytes) or len(text) < _WORTH_IT:
        return None
    try:
        data = text.encode("ascii") if isinstance(text, str) else text
    except UnicodeEncodeError:
        return None
    return data, hashlib.sha256(data).digest()


def remember(checked: Checked) -> None:
    """Keep the facts of checked base64."""
    CHECKED.put(checked.key, checked, 1, _MOST_CHECKED)
