"""Reads the headers of video containers: MP4 and MOV (ISO 14496-12), Matroska and WebM, AVI (RIFF)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from glmv_emulator.eyes.picture import Unreadable


@dataclass(slots=True)
class Container:
    """The fields of a header; a missing field is 0 or "".

    ``width`` and ``height`` are those of the stored frames; ``turned`` means that players rotate them by 90 degrees.
    """

    name: str
    duration: float = 0.0
    width: int = 0
    height: int = 0
    codec: str = ""
    turned: bool = False


def read_container(data: bytes) -> Container:
    """The container of a video file. Raises `Unreadable` for other files and for incomplete ones."""
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return _iso(data)
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return _matroska(data)
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return _avi(data)
    raise Unreadable("its first bytes are not those of a supported video container")


def _u(data: bytes, start: int, size: int) -> int:
    return int.from_bytes(data[start : start + size], "big")


def _atoms(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while start + 8 <= end:
        size, kind, body = _u(data, start, 4), data[start + 4 : start + 8], start + 8
        if size == 1:
            size, body = _u(data, start + 8, 8), start + 16
        elif size == 0:
            size = end - start
        if size < body - start:
            raise Unreadable("an atom of the video claims an impossible size")
        if start + size > end:
            raise Unreadable(f"the video breaks off inside its {kind.decode('latin-1')!r} atom")
        yield kind, body, start + size
        start += size


_BRANCHES = (b"trak", b"mdia", b"minf", b"stbl")


def _iso(data: bytes) -> Container:
    name = "mov" if data[4:8] != b"ftyp" or data[8:12] == b"qt  " else "mp4"
    container = Container(name)
    moov = next(((body, end) for kind, body, end in _atoms(data, 0, len(data)) if kind == b"moov"), None)
    if moov is None:
        raise Unreadable("the video has no index (no 'moov' atom); was its end cut off?")
    for kind, body, end in _atoms(data, *moov):
        if kind == b"mvhd":
            long = data[body] == 1
            scale = _u(data, body + (20 if long else 12), 4)
            container.duration = _u(data, body + (24 if long else 16), 8 if long else 4) / (scale or 1)
        elif kind == b"trak":
            _track(data, body, end, container)
    return container


def _track(data: bytes, start: int, end: int, container: Container) -> None:
    width = height = 0
    turned = False
    handler, codec = b"", ""
    waiting = [(start, end)]
    while waiting:
        for kind, body, stop in _atoms(data, *waiting.pop()):
            if kind in _BRANCHES:
                waiting.append((body, stop))
            elif kind == b"tkhd":
                width, height = _u(data, stop - 8, 4) >> 16, _u(data, stop - 4, 4) >> 16
                turned = _quarter_turn(data, stop - 44)
            elif kind == b"hdlr" and not handler:
                handler = data[body + 8 : body + 12]
            elif kind == b"stsd":
                codec = data[body + 12 : body + 16].decode("latin-1").strip()
    if handler == b"vide" and not container.width:
        container.width, container.height, container.codec, container.turned = width, height, codec, turned


def _quarter_turn(data: bytes, matrix: int) -> bool:
    """Whether a matrix (nine numbers: a b u, c d v, x y w; ISO 14496-12, 8.3.2) swaps rows and columns."""
    a, b, c, d = (_u(data, matrix + offset, 4) for offset in (0, 4, 12, 16))
    return not a and not d and bool(b) and bool(c)


# Element ids of RFC 9559 (Matroska) and RFC 8794 (EBML).
_EBML_DOCTYPE, _SEGMENT, _INFO, _TRACKS = 0x4282, 0x18538067, 0x1549A966, 0x1654AE6B
_ENTRY, _VIDEO, _WIDTH, _HEIGHT, _CODEC = 0xAE, 0xE0, 0xB0, 0xBA, 0x86
_SCALE, _DURATION, _CLUSTER = 0x2AD7B1, 0x4489, 0x1F43B675
_MASTERS = (0x1A45DFA3, _SEGMENT, _INFO, _TRACKS, _ENTRY, _VIDEO)


def _vint(data: bytes, start: int, *, keep_marker: bool) -> tuple[int, int]:
    if start >= len(data) or data[start] == 0:
        raise Unreadable("the video breaks off inside its header")
    length = 9 - data[start].bit_length()
    value = _u(data, start, length)
    return (value if keep_marker else value & ((1 << (7 * length)) - 1)), start + length


def _matroska(data: bytes) -> Container:
    container, scale, ticks = Container("mkv"), 1_000_000, 0.0
    position = 0
    while position < len(data):
        ident, after = _vint(data, position, keep_marker=True)
        size, body = _vint(data, after, keep_marker=False)
        if ident == _CLUSTER:
            break
        unknown = size == (1 << (7 * (body - after))) - 1
        if ident == _SEGMENT and not unknown and body + size > len(data):
            raise Unreadable("the video breaks off before its end")
        if ident in _MASTERS:
            position = body
            continue
        if body + size > len(data):
            raise Unreadable("the video breaks off inside its header")
        content = data[body : body + size]
        if ident == _EBML_DOCTYPE and content == b"webm":
            container.name = "webm"
        elif ident == _SCALE:
            scale = int.from_bytes(content, "big")
        elif ident == _DURATION and size in (4, 8):
            (ticks,) = struct.unpack(">f" if size == 4 else ">d", content)
        elif ident == _CODEC and content.startswith(b"V_"):
            container.codec = content.decode("latin-1")
        elif ident == _WIDTH:
            container.width = int.from_bytes(content, "big")
        elif ident == _HEIGHT:
            container.height = int.from_bytes(content, "big")
        position = body + size
    container.duration = ticks * scale / 1e9
    return container


def _avi(data: bytes) -> Container:
    def little(start: int) -> int:
        return int.from_bytes(data[start : start + 4], "little")

    if little(4) + 8 > len(data):
        raise Unreadable("the video breaks off before its end")
    main = data.find(b"avih", 0, 4096)
    if main < 0:
        raise Unreadable("the video has no main header")
    body = main + 8
    codec_at = data.find(b"strh", 0, 65536)
    codec = data[codec_at + 12 : codec_at + 16].decode("latin-1") if codec_at >= 0 else ""
    seconds = little(body) * little(body + 16) / 1e6
    return Container("avi", seconds, little(body + 32), little(body + 36), codec)
