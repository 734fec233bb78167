"""Recognizes the container of a video by its first bytes, and reads the duration of MP4 and QuickTime.

The frames (`mdat`) are skipped, not read. Everything else is read with PyAV, in `glmv.media.frames`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from glmv.media.formats import STILL_BRANDS
from glmv.media.structure import boxes, cut_short

if TYPE_CHECKING:
    from glmv.media.blob import Read

HEAD = 600
"""The container is recognized by this many first bytes: a transport stream has no magic number, but repeats a byte."""


class Container(NamedTuple):
    """The format of a container, and its duration in seconds if it is MP4 or QuickTime and its header has one.

    `misfit` is the reason why the video cannot be sent or played, or "".
    """

    format: str
    duration: float | None
    misfit: str = ""


class Kind(NamedTuple):
    """A container of videos.

    Attributes:
        mime: its media type.
        suffixes: endings of the names of such files, in lower case.
        begins: returns whether the first `HEAD` bytes are those of such a file.
        demuxer: FFmpeg's name of its demuxer.
    """

    mime: str
    suffixes: tuple[str, ...]
    begins: Callable[[bytes], bool]
    demuxer: str


def _boxed(head: bytes) -> bool:
    """Recognizes MP4 and related formats, except those of pictures and audio."""
    return head[4:8] == b"ftyp" and head[8:12] not in STILL_BRANDS and head[8:11] not in {b"M4A", b"M4B"}


def _quicktime(head: bytes) -> bool:
    """Recognizes QuickTime by its brand in `ftyp`, and old files without `ftyp` by their first box."""
    return (_boxed(head) and head[8:12] == b"qt  ") or head[4:8] in {b"moov", b"wide", b"mdat", b"skip"}


def _transport(head: bytes) -> bool:
    """Recognizes packets of 188 bytes (ISO/IEC 13818-1, 2.4.3.2), or 192 bytes on Blu-ray, by 0x47 in each packet."""
    return any(
        len(head) > start + size and all(byte == 0x47 for byte in head[start::size][:3])
        for start, size in ((0, 188), (4, 192))
    )


_EBML = b"\x1a\x45\xdf\xa3"

# In the order in which they are checked. The demuxers are named, so that FFmpeg does not guess another one, such as one
# for playlists, which open other files.
KINDS = {
    "mov": Kind("video/quicktime", (".mov", ".qt"), _quicktime, "mov"),
    "mp4": Kind("video/mp4", (".mp4", ".m4v", ".3gp"), _boxed, "mp4"),
    "webm": Kind("video/webm", (".webm",), lambda head: head[:4] == _EBML and b"webm" in head[:64], "matroska"),
    "mkv": Kind("video/x-matroska", (".mkv",), lambda head: head[:4] == _EBML, "matroska"),
    "avi": Kind(
        "video/x-msvideo",
        (".avi",),
        lambda head: head[:4] == b"RIFF" and head[8:12] + head[20:28] == b"AVI hdrlavih",
        "avi",
    ),
    "flv": Kind("video/x-flv", (".flv",), lambda head: head[:4] == b"FLV\x01", "flv"),
    "wmv": Kind(
        "video/x-ms-wmv",
        (".wmv", ".asf"),
        lambda head: head[:8] == b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
        "asf",
    ),
    "mpg": Kind("video/mpeg", (".mpg", ".mpeg", ".vob"), lambda head: head[:4] == b"\0\0\1\xba", "mpeg"),
    "ts": Kind("video/mp2t", (".ts", ".m2ts", ".mts"), _transport, "mpegts"),
}


SUFFIXES = tuple(suffix for row in KINDS.values() for suffix in row.suffixes)
"""Endings of the names of video files."""


def container_of(head: bytes) -> str | None:
    """The container that the first `HEAD` bytes show ("mp4", "mov", "mkv", ...), or None."""
    return next((name for name, row in KINDS.items() if row.begins(head)), None)


def measure(read: Read, size: int) -> Container | None:
    """Recognize a video.

    Args:
        read: reads up to n bytes at an offset.
        size: bytes of the file.

    Returns:
        Its container; `misfit` is set for an MP4 or QuickTime file that is cut short, has no readable table of contents
        (`moov`) or has only sound. None if the first bytes are not those of a known container.
    """
    kind = container_of(read(0, HEAD))
    if kind not in {"mp4", "mov"}:
        return None if kind is None else Container(kind, None)
    if missing := cut_short(read, size, kind):
        return Container(kind, None, f"this video is cut short: {missing}.")
    for name, start, end in boxes(read, 0, size):
        if name == b"moov":
            try:
                duration = _duration(read, start, end)
            except struct.error:  # it is cut short
                break
            if _has_only_sound(read, start, end):
                return Container(kind, duration, "it has sound but no picture.")
            return Container(kind, duration)
    reason = f"this video of {size:,} bytes has no table of contents (moov)"
    return Container(kind, None, f"{reason}: the recording or the download was cut short.")


def _duration(read: Read, start: int, end: int) -> float | None:
    """Seconds in the `mvhd` of a `moov`; None when unknown, as in fragmented recordings (ISO/IEC 14496-12, 8.2.2)."""
    for name, low, _ in boxes(read, start, end):
        if name == b"mvhd":
            # Version 1 has a duration of 64 bits. All bits set, or 0, mean unknown.
            if read(low, 1) == b"\x01":
                scale, ticks = struct.unpack(">IQ", read(low + 20, 12))
                unknown = 2**64 - 1
            else:
                scale, ticks = struct.unpack(">II", read(low + 12, 8))
                unknown = 2**32 - 1
            return ticks / scale if scale and ticks not in {0, unknown} else None
    return None


def _has_only_sound(read: Read, start: int, end: int) -> bool:
    """Whether a `moov` has only sound, by the `hdlr` in the `mdia` of its tracks (14496-12, 8.4.3)."""
    kinds = {
        read(low + 8, 4)
        for name, track, track_end in boxes(read, start, end)
        if name == b"trak"
        for inner, media, media_end in boxes(read, track, track_end)
        if inner == b"mdia"
        for handler, low, _ in boxes(read, media, media_end)
        if handler == b"hdlr"
    }
    return kinds == {b"soun"}
