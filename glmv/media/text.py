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


def kind_of(value: object) -> str:
    """The class of what was given, for an error message; of an array also what to do, since its numbers may mean much.

    Returns:
        Words behind "got ", with a full stop.
    """
    name = type(value).__name__
    if not is_array(value):
        return f"{name}."
    numbers = "tensor.cpu().numpy()" if hasattr(value, "cpu") else "array"
    return (
        f"{name}. Make a picture of it with PIL.Image.fromarray({numbers}), channels last, and give that (OpenCV's are "
        "BGR: array[..., ::-1]; of encoded bytes, as of cv2.imencode, give array.tobytes())."
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: " Did you mean 'x'?" or ""."""
    import difflib  # for mistakes alone

    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
