"""Text and sizes, shortened for error messages and reprs."""

from __future__ import annotations

import re
from collections.abc import Iterable


def shortened(text: str, size: int = 60) -> str:
    """The first `size` characters of a text, so that an error message never contains a whole file."""
    return text if len(text) <= size else text[: size - 1] + "…"


def shown(source: object, size: int = 240) -> str:
    """The repr of a user's value for an error message. A long repr keeps its end, where a path has the file's name.

    Args:
        source: any value.
        size: the most characters of its repr.
    """
    text = repr(source)
    return text if len(text) <= size else f"{text[: size // 3]}…{text[-(size - size // 3 - 1) :]}"


def human_size(size: int) -> str:
    """A number of bytes in a form for people, e.g. "31 kB"."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}" if size < 100 * scale and scale > 1000 else f"{size / scale:.0f} {unit}"
    return f"{size} bytes"


def is_array(value: object) -> bool:
    """Whether this is a numpy array, a PyTorch tensor or a similar object."""
    return hasattr(value, "__array__") or (hasattr(value, "shape") and hasattr(value, "dtype"))


def kind_of(value: object) -> str:
    """The class of a value, for an error message. For an array, with advice on how to convert it to a picture.

    Returns:
        The words after "got ", with a full stop.
    """
    name = type(value).__name__
    if not is_array(value):
        return f"{name}."
    numbers = "tensor.cpu().numpy()" if hasattr(value, "cpu") else "array"
    return (
        f"{name}. Colour channels must be the last axis. Convert it with PIL.Image.fromarray({numbers}), and pass the "
        "picture (OpenCV's arrays are BGR: array[..., ::-1]; for encoded bytes, as from cv2.imencode, pass "
        "array.tobytes())."
    )


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint for a misspelt name: " Did you mean 'x'?" or ""."""
    import difflib  # imported only for an error

    close = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


_MEDIA = re.compile("(image|picture|video|file|document)(s|_.*)?$")
# How pydantic names one type of several: "dict[str,str]", "literal['auto']".
_TAG = re.compile(r"(dict|literal|is-instance)\[")


def hint_for_media(name: str) -> str:
    """A hint for an option that other clients have for pictures, videos or files; "" for any other name."""
    return " Pictures, videos and files are parts of a message." if _MEDIA.match(name) else ""


def place_of(steps: Iterable[str | int]) -> str:
    """The place of a pydantic error, such as "stop.0", without pydantic's names of types."""
    return ".".join(str(step) for step in steps if not _TAG.match(str(step)))
