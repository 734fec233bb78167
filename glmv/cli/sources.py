"""What the person at the keyboard named -> parts. A path typed here is meant to be read."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import glmv


def parts(sources: Sequence[str]) -> list[glmv.Image | glmv.Video]:
    """Files, URLs, patterns and `-` (a picture on standard input) -> parts, in order.

    Raises:
        GLMVError: naming what is missing or no picture.
    """
    return [part for source in sources for part in _parts(source)]


def _parts(source: str) -> Iterator[glmv.Image | glmv.Video]:
    if source == "-":
        yield glmv.Image.from_bytes(sys.stdin.buffer.read())
    elif source.startswith(("http://", "https://")):
        yield _kind(source.partition("?")[0]).from_url(source)
    elif glob.has_magic(source) and not Path(source).exists():
        found = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - patterns may begin at the root
        if not found:
            raise glmv.InvalidRequestError(f"No file matches {source!r}.")
        yield from (_kind(path).from_path(path) for path in found)
    else:
        yield _kind(source).from_path(source)


def _kind(name: str) -> type[glmv.Image | glmv.Video]:
    return glmv.Video if Path(name).suffix.lower() in glmv.Video.suffixes else glmv.Image
