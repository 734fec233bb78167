"""Shows small pictures in terminals that document a protocol for it; in other terminals it shows nothing.

Sources: sw.kovidgoyal.net/kitty/graphics-protocol, iterm2.com/documentation-images.html.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping

import glmv

ROWS = 8
# Pixels of the longer side: eight lines of a dense screen.
LONGEST = 480
# The kitty protocol takes base64 in pieces of this size.
PIECE = 4096


def protocol(environ: Mapping[str, str]) -> str | None:
    """The terminal's protocol for pictures, by its environment variables: "kitty", "iterm" or None."""
    if environ.get("KITTY_WINDOW_ID") or environ.get("TERM") in {"xterm-kitty", "xterm-ghostty"}:
        return "kitty"
    if environ.get("TERM_PROGRAM") in {"iTerm.app", "WezTerm"}:
        return "iterm"
    return None


def preview(pictures: list[glmv.Image]) -> None:
    """Show the pictures above the answer, if standard error is a terminal that can show them."""
    kind = protocol(os.environ)
    if kind is None or not sys.stderr.isatty():
        return
    for picture in pictures:
        if picture.url is None:
            sys.stderr.write(drawn(picture, kind))
    sys.stderr.write("\n")
    sys.stderr.flush()


def small(picture: glmv.Image) -> glmv.Image:
    """The picture as a small PNG, or unchanged if Pillow is missing or cannot read the picture."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        return picture
    png = io.BytesIO()
    try:
        with Image.open(io.BytesIO(picture.data())) as opened:
            opened.thumbnail((LONGEST, LONGEST))
            opened.convert("RGBA").save(png, "PNG")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return picture  # the question is answered without a preview
    return glmv.Image.from_bytes(png.getvalue())


def drawn(picture: glmv.Image, kind: str) -> str:
    """The escape sequence that shows a picture; "" if the terminal does not accept its format."""
    picture = small(picture)
    data = picture.base64().decode("ascii")
    match kind:
        case "iterm":
            return f"\x1b]1337;File=inline=1;height={ROWS};preserveAspectRatio=1:{data}\a\n"
        case "kitty" if picture.format == "png":
            pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
            first = f"a=T,f=100,r={ROWS},"
            return "".join(
                f"\x1b_G{first if at == 0 else ''}m={int(at < len(pieces) - 1)};{piece}\x1b\\"
                for at, piece in enumerate(pieces)
            )
        case "kitty":
            return ""
        case _:
            raise ValueError(f"no such protocol: {kind}")
