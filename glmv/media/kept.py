"""Caches of this process, so that the pictures of a history are checked and fitted once.

One cache has the results of checking base64 texts, without the texts; the other has fitted pictures. The keys
contain digests of the content.
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
"""The most bytes of cached fitted pictures, as base64: ten photographs of 4.8 MB."""

_MOST_CHECKED = 4096
# From this length of base64, computing its SHA-256 is faster than checking its characters. Shorter text is not cached.
_WORTH_IT = 16 * 1024


class Checked:
    """What an earlier check found out about a base64 text.

    Attributes:
        key: the SHA-256 of the original text.
        start: number of characters before the base64, such as `data:image/png;base64,`.
        size: number of decoded bytes.
        picture: what the header of the picture says.
        digest: see `Blob.digest`; None until it is computed.
        cut: a tuple with the value of `Image.cut_short`; None until it is checked.
    """

    __slots__ = ("cut", "digest", "key", "picture", "size", "start")

    def __init__(self, key: bytes, start: int, size: int, picture: Picture) -> None:
        self.key, self.start, self.size, self.picture = key, start, size, picture
        self.digest: str | None = None
        self.cut: tuple[str | None] | None = None


class Cache(Generic[V]):
    """A cache that drops its oldest entries when it is full. Safe to share between threads.

    Attributes:
        size: the sum of the sizes of all entries.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self.size = 0

    def get(self, key: Hashable) -> V | None:
        """Returns an entry and marks it as the newest; None if it does not exist."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: Hashable, value: V, size: int, most: int) -> None:
        """Adds an entry, unless its size is above `most`. Drops the oldest entries while the total is above `most`."""
        if size > most:
            return
        with self._lock:
            self.size += size - self._entries.pop(key, (None, 0))[1]
            self._entries[key] = value, size
            while self.size > most:
                self.size -= self._entries.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Drops all entries."""
        with self._lock:
            self._entries.clear()
            self.size = 0


CHECKED: Cache[Checked] = Cache()
FITTED: Cache[tuple[Blob, tuple[str, ...]]] = Cache()
"""Fitted picture files by content and limits, each with its remarks (see `glmv.media.pixels.Fitted`)."""


def key_of(text: Any) -> tuple[bytes, bytes] | None:
    """Returns a base64 text as bytes, and its key in the cache; None if the text is short or not ASCII."""
    if not isinstance(text, str | bytes) or len(text) < _WORTH_IT:
        return None
    try:
        data = text.encode("ascii") if isinstance(text, str) else text
    except UnicodeEncodeError:
        return None
    return data, hashlib.sha256(data).digest()


def remember(checked: Checked) -> None:
    """Cache the result of checking a base64 text."""
    CHECKED.put(checked.key, checked, 1, _MOST_CHECKED)
