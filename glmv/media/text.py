"""Text and sizes, shortened for error messages and reprs."""

from __future__ import annotations

from collections.abc import Iterable


def shortened(text: str, size: int = 60) -> str:
    """The first `size` characters of a text: an error message never holds a whole file."""
    return text if len(text) <= size else text[: size - 1] + "…"


def shown(source: object, size: int = 240) -> str:
    """A value of the user in an error message: quoted, and with its end where it is long: a path ends in a name.

    Args:
        source: any value.
        size: characters of its `repr` that are shown.
    """
    text = repr(source)
    return text if len(text) <= size else f"{text[: size // 3]}…{text[-(size - size // 3 - 1) :]}"


def human_size(size: int) -> str:
    """A number of bytes for a person, e.g. "31 kB"."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}" if size < 100 * scale and scale > 1000 else f"{size / scale:.0f} {unit}"
    return f"{size} bytes"


def is_array(value: object) -> bool:
    """Whether this is an array of numpy, a tensor of PyTorch, or a relative of theirs."""
    return hasattr(value, "__array__") or (hasattr(value, "shape") and hasattr(value, "dtype"))


def why_no_array(array: object) -> str:
    """What to do with an array, for an error message: its bytes do not say what its numbers mean."""
    tensor = " of tensor.cpu().numpy(), channels last" if hasattr(array, "cpu") else ""
    return (
        f"{type(array).__name__}. Make a picture of an array with PIL.Image.fromarray(array){tensor} and give that "
        "(OpenCV's are BGR: array[..., ::-1])."
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: " Did you mean 'x'?" or ""."""
    import difflib  # for mistakes alone

    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
