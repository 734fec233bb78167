"""Media that the emulator serves itself. It never fetches media from other URLs."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path
from urllib.parse import urlsplit

from glmv_emulator.http.hosts import Hosts

FOLDER = "/hosted/"


class Hosting:
    """The files that the emulator serves, by the path of their URL."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str]] = {}
        self.hosts = Hosts()

    def add(self, origin: str, source: str | Path | bytes) -> str:
        """Serve a file or bytes; returns the URL. Files with equal bytes and an equal suffix have the same URL."""
        data, name = (source, "bytes") if isinstance(source, bytes) else (Path(source).read_bytes(), Path(source).name)
        path = f"{FOLDER}{hashlib.sha256(data).hexdigest()[:16]}{Path(name).suffix.lower()}"
        kind = mimetypes.guess_type(name)[0] or _sniffed(data)
        self._files[path] = (data, kind)
        return origin + path

    def serve(self, path: str) -> tuple[bytes, str] | None:
        """The bytes and media type at a path, or None."""
        return self._files.get(path)

    def own(self, url: str) -> bytes | None:
        """The bytes at a URL of this emulator; None for any other URL, which is not fetched."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        if parts.netloc not in self.hosts:
            return None
        entry = self._files.get(parts.path)
        return None if entry is None else entry[0]


def _sniffed(data: bytes) -> str:
    if data.startswith(b"\xff\xd8"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG"):
        return "image/png"
    return "video/mp4" if data[4:8] == b"ftyp" else "application/octet-stream"
