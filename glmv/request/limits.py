"""Handles requests that exceed a limit of the model's row: they are refused, or sent with a note."""

from __future__ import annotations

from glmv.errors import GLMVError
from glmv.media.kept import PICTURE_CACHE_BYTES


class Limits:
    """Collects notes on one request.

    Args:
        notes: the existing notes.
        hold: whether the limits of the model's catalogue row hold at this server, see `Dialect.limits`.
        keep: see `Settings.picture_cache_bytes`.
    """

    def __init__(self, notes: tuple[str, ...] = (), *, hold: bool = True, keep: int = PICTURE_CACHE_BYTES) -> None:
        self.keep = keep
        self.notes = list(notes)
        self.hold = hold

    def add_note(self, note: str) -> None:
        """Record a note for `Completion.notes`."""
        self.notes.append(note)

    def over(self, kind: type[GLMVError], message: str) -> None:
        """Report that a request exceeds a limit, or uses something that the model does not support.

        Raises:
            GLMVError: an error of the class `kind`, if the server has the limits of the row. Else a note is recorded.
        """
        if self.hold:
            raise kind(message)
        self.add_note(
            f"{message} The request was sent nevertheless: this server's limits may differ from the platform's."
        )
