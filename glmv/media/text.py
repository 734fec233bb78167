"""Text and sizes, shortened for error messages and reprs."""

from __future__ import annotations


def shortened(text: str, size: int = 60) -> str:
    """The first `size` characters of a text: an error message never holds a whole file."""
    return text if len(text) <= size else text[: size - 1] + "…"


def human_size(size: int) -> str:
    """A number of bytes for a person, e.g. "31 kB"."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}" if size < 100 * scale and scale > 1000 else f"{size / scale:.0f} {unit}"
    return f"{size} bytes"
