"""Data that the page shows and the journal lacks: the bytes of the answers, their times of sending, and thumbnails.

All of it is bounded. Thumbnails are made when the page is opened, so a request costs only a few appends to lists.
"""

from __future__ import annotations

import io
import secrets
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from PIL import Image, ImageOps

from glmv_emulator.answers import Medium
from glmv_emulator.eyes import SeenImage, SeenVideo
from glmv_emulator.http.journal import MOST_EXCHANGES, Exchange

MB = 1024 * 1024
# Bytes of one answer, and of all answers; a stream of 1000 chunks has about 250 kB.
LONGEST_ANSWER = 256 * 1024
ALL_ANSWERS = 32 * MB
MOST_MOMENTS = 2000
# Bytes of pictures without a thumbnail yet, and the number of thumbnails (about 5 kB each).
ALL_PICTURES = 48 * MB
MOST_THUMBNAILS = 1000
SIDE = 160


@dataclass(slots=True)
class Thumbnail:
    """The thumbnail of a picture, with an unguessable id.

    ``data`` is the picture's file until the thumbnail is made. After that, ``small`` is the thumbnail with its media
    type.
    """

    id: str
    data: bytes | None
    small: tuple[bytes, str] | None = None


@dataclass(frozen=True, slots=True)
class RecordedMedium:
    """A medium of a request: its position, its measurements, and its thumbnail if there is one."""

    kind: Literal["image", "video", "file"]
    message: int
    part: int
    seen: SeenImage | SeenVideo | None
    picture: Thumbnail | None

    @property
    def thumbnail(self) -> str | None:
        """The id of the medium's thumbnail; None if it has no thumbnail and its bytes are not there to make one."""
        picture = self.picture
        return None if picture is None or (picture.data is None and picture.small is None) else picture.id


@dataclass(slots=True, eq=False)
class Record:
    """One exchange as the page shows it. `at` is in seconds since the epoch.

    Each of `moments` is the time in seconds at which a piece of the response was sent, counted from the start of the
    exchange, and the number of bytes of the piece. `attempt` is the number of this attempt and the number of attempts
    of its call.
    """

    exchange: Exchange
    number: int
    at: float
    kind: str = ""
    answer: bytearray = field(default_factory=bytearray)
    whole: bool = True
    moments: list[tuple[float, int]] = field(default_factory=list)
    media: tuple[RecordedMedium, ...] = ()
    attempt: tuple[int, int] = (1, 1)
    revision: int = 0
    state: tuple[object, ...] = ()

    def now(self) -> tuple[object, ...]:
        """The values that change when the page has something new to show."""
        one = self.exchange
        return (
            one.status,
            one.code,
            one.fault,
            one.model,
            one.answered_by,
            one.ended,
            one.ended_by,
            one.chunks,
            len(self.media),
        )


class Records:
    """The records of the journal's exchanges. Only the event loop adds records; other threads may read them."""

    def __init__(self) -> None:
        self.run = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._records: OrderedDict[Exchange, Record] = OrderedDict()
        self._pictures: OrderedDict[str, Thumbnail] = OrderedDict()
        self._opened = self._revision = self._answers = 0

    def open(self, exchange: Exchange) -> Record:
        """Create the record of a new exchange."""
        with self._lock:
            self._opened += 1
            record = self._records[exchange] = Record(exchange, self._opened, time.time())
            while len(self._records) > MOST_EXCHANGES:
                self._answers -= len(self._records.popitem(last=False)[1].answer)
        return record

    def head(self, record: Record, headers: Mapping[bytes, bytes]) -> None:
        """Record the headers of a response."""
        record.kind = headers.get(b"content-type", b"").decode("latin-1")

    def piece(self, record: Record, body: bytes) -> None:
        """Record a piece of a response's body."""
        if not body:
            return
        if len(record.moments) < MOST_MOMENTS:
            record.moments.append((time.monotonic() - record.exchange.started, len(body)))
        fitting = body[: LONGEST_ANSWER - len(record.answer)]
        record.whole = record.whole and len(fitting) == len(body)
        with self._lock:
            record.answer += fitting
            self._answers += len(fitting)
            if self._answers > ALL_ANSWERS:
                self._forget_answers()

    def media(self, exchange: Exchange, media: Sequence[Medium]) -> None:
        """Record the media of a request after they were measured."""
        with self._lock:
            record = self._records.get(exchange)
            if record is not None:
                record.media = tuple(
                    RecordedMedium(one.kind, one.message, one.part, one.seen, self._picture(one)) for one in media
                )

    def thumbnail(self, identity: str) -> tuple[bytes, str] | None:
        """The thumbnail with an id, and its media type. It may be slow, so call it in a worker thread."""
        with self._lock:
            picture = next(
                (picture for picture in self._pictures.values() if secrets.compare_digest(picture.id, identity)), None
            )
            if picture is None or picture.small is not None or picture.data is None:
                return None if picture is None else picture.small
            data = picture.data
        small = _small(data)
        with self._lock:
            picture.small, picture.data = small, None
        return small

    def clear(self) -> None:
        """Remove all records; to be called when the journal is cleared."""
        with self._lock:
            self._records.clear()
            self._pictures.clear()
            self._answers = 0
            self._revision += 1

    def all(self) -> tuple[int, list[Record]]:
        """The number of the journal's revision, and the records, newest first.

        If records have changed since this method was last called, the number increases, and they get the new number.
        """
        with self._lock:
            records = list(reversed(self._records.values()))
            changed = [(record, state) for record in records if (state := record.now()) != record.state]
            if changed:
                self._revision += 1
            for record, state in changed:
                record.state, record.revision = state, self._revision
            return self._revision, records

    def _forget_answers(self) -> None:
        for record in self._records.values():
            if self._answers <= ALL_ANSWERS:
                return
            self._answers -= len(record.answer)
            record.answer, record.whole = bytearray(), False

    def _picture(self, medium: Medium) -> Thumbnail | None:
        if not isinstance(medium.seen, SeenImage) or medium.data is None:
            return None
        name = medium.seen.sha256
        picture = self._pictures.setdefault(name, Thumbnail(secrets.token_urlsafe(16), medium.data))
        self._pictures.move_to_end(name)
        while len(self._pictures) > MOST_THUMBNAILS:
            gone = self._pictures.popitem(last=False)[1]
            gone.data = gone.small = None
        waiting = sum(len(one.data) for one in self._pictures.values() if one.data is not None)
        for one in list(self._pictures.values()):
            if waiting <= ALL_PICTURES:
                break
            if one.data is not None:
                waiting -= len(one.data)
                one.data = None
        for digest in [digest for digest, one in self._pictures.items() if one.data is None and one.small is None]:
            del self._pictures[digest]
        return picture


def _small(data: bytes) -> tuple[bytes, str]:
    """A thumbnail of a measured picture: at most 160 x 160 pixels, without the picture's metadata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as opened:
            opened.draft("RGB", (2 * SIDE, 2 * SIDE))
            clear = "A" in opened.getbands() or "transparency" in opened.info
            picture = ImageOps.exif_transpose(opened).convert("RGBA" if clear else "RGB")
    picture.thumbnail((SIDE, SIDE))
    picture.info.clear()
    file = io.BytesIO()
    picture.save(file, "PNG" if clear else "JPEG")
    return file.getvalue(), "image/png" if clear else "image/jpeg"
