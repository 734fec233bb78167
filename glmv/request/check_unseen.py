"""Notes on content that the model will not see: URLs that the server cannot fetch, and file names sent as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glmv.media import File, Image, Video, containers, formats
from glmv.media.blob import is_file
from glmv.media.text import shown
from glmv.media.urls import host_of, is_private
from glmv.request.cause import AddNote
from glmv.types import Message, Text

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_PATH = 300  # characters of a text that may be the name of a file
_KINDS = {
    **dict.fromkeys(formats.SUFFIXES, "Image"),
    **dict.fromkeys(containers.SUFFIXES, "Video"),
}


def note_unseen(
    messages: tuple[Message, ...],
    add_note: AddNote,
    is_far: Callable[[], bool],
    exists: Callable[[str], bool] = is_file,
) -> None:
    """Record notes on content that the model will not see, although the user may expect it.

    Args:
        messages: the messages of the request.
        add_note: records a note.
        is_far: returns whether the server is outside of the user's network, and so cannot fetch from that network.
        exists: returns whether a path is a file on this machine; nothing is opened.
    """
    for index, message in enumerate(messages):
        for part in message.content:
            match part:
                case Text(text=text) if message.role == "user" and (kind := _kind_of(text)) and exists(text.strip()):
                    add_note(
                        f"messages[{index}]: the text {shown(text.strip())} is the name of a file and was sent as text."
                        f" To send the file, use glmv.{kind}.from_path."
                    )
                case Image() | Video() | File() if part.url is not None and is_private(host_of(part.url)) and is_far():
                    add_note(
                        f"messages[{index}]: {part!r} is in a private network, which the server cannot reach: "
                        f"read it yourself and send the content with glmv.{type(part).__name__}.from_bytes."
                    )
                case _:
                    pass


def _kind_of(text: str) -> str | None:
    """The name of the media class for a text that looks like the name of a media file; None for any other text."""
    text = text.strip()
    if len(text) > _LONGEST_PATH:
        return None
    name, _, ending = text.rpartition(".")
    return _KINDS.get(f".{ending.lower()}") if name and name.isprintable() else None
