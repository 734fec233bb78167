"""Draws docs/images/terminal.svg from a real run: `python docs/terminal.py`.

The commands run in a pseudo-terminal, where `glmv` writes as it does for a person; what stood on the screen at the end
is drawn by Rich. The emulator answers, so anybody gets the same picture but for the seconds; those are a reader's own
where only the extras `cli` and `emulator` are installed, for the extra `eyes` looks for words in each photograph.
"""

from __future__ import annotations

import fcntl
import html
import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "terminal.svg"
PHOTOS = ROOT / "examples" / "pictures"
COLUMNS = 100
COMMANDS = (
    'glmv ask --emulator coffee.jpg "What is in this picture?"',
    'glmv ask --emulator "*.jpg" "Describe each picture."',
    "glmv models",
)
# ECMA-48: cursor up, erase in line; all other sequences but colours (SGR, "m") leave no trace on what is drawn.
SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")
SECONDS = re.compile(r"\d+\.\d s\b")
# Rich names a font of a content network; a picture in a README fetches nothing.
FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def on_screen(written: str) -> list[str]:
    """What a program wrote to a terminal -> the lines that stand there at the end, with their colours."""
    lines, row = [""], 0
    for found in re.finditer(rf"{SEQUENCE.pattern}|\n|[^\x1b\r\n]+", written):
        kind, count = found[2], found[1] or ""
        if found[0] == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif kind == "A":
            row = max(0, row - int(count or 1))
        elif kind == "K":
            lines[row] = ""
        elif kind in (None, "m"):
            lines[row] += found[0]
    return lines


def run(command: str) -> list[str]:
    """Run a command where the example pictures are -> its lines on the screen."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    settings = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "VIRTUAL_ENV"}}
    glmv = [sys.executable, "-c", "from glmv.cli import main; main()"]
    with (
        subprocess.Popen(  # noqa: S603 - the commands above
            glmv + shlex.split(command)[1:],
            cwd=PHOTOS,
            env=settings | {"TERM": "xterm-256color", "COLORTERM": "truecolor"},
            stdin=follower,
            stdout=follower,
            stderr=follower,
        ) as process
    ):
        os.close(follower)
        written = b""
        try:
            while piece := os.read(leader, 65536):
                written += piece
        except OSError:
            pass  # Linux tells the end of a terminal by EIO
        os.close(leader)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}:\n{written.decode()}")
    return [line for line in on_screen(written.decode()) if line.strip()]


def session() -> Text:
    """All commands, each behind a prompt, and what they wrote."""
    text = Text()
    for command in COMMANDS:
        text.append("$ ", "bold green").append(f"{command}\n", "bold")
        text.append(Text.from_ansi("\n".join(run(command)))).append("\n\n")
    text.rstrip()
    return text.append("\n")


def drawn(text: Text) -> str:
    """A terminal with this text -> SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(text, soft_wrap=False)
    return FONTS.sub("", console.export_svg(title="glmv", unique_id="glmv"))


def words(svg: str) -> str:
    """An SVG -> the words in it, in order, without seconds: those differ from run to run."""
    parts = re.findall(r"<text[^>]*>(.*?)</text>", svg)
    return SECONDS.sub("", " ".join(html.unescape(" ".join(parts)).split()))


if __name__ == "__main__":
    PICTURE.write_text(drawn(session()), "utf-8")
