"""What becomes of a request that is over a limit of its model's row: it is refused, or sent with a note."""

from __future__ import annotations

from glmv.errors import GLMVError
from glmv.media.kept import PICTURE_CACHE_BYTES


class Limits:
    """Collects notes on one request.

    Args:
        notes: those that there are already.
        hold: whether the row's limits are those of the server, see `Dialect.limits`.
        keep: see `Settings.picture_cache_bytes`.
    """

    def __init__(self, notes: tuple[str, ...] = (), *, hold: bool = True, keep: int = PICTURE_CACHE_BYTES) -> None:
        self.keep = keep
        self.notes = list(notes)
        self.hold = hold

    def tell(self, note: str) -> None:
        """Take a line for `answer.notes`."""
        self.notes.append(note)

    def over(self, kind: type[GLMVError], message: str) -> None:
        """Something is over a limit, or the row does not have it. Returns where it is sent all the same.

        Raises:
            GLMVError: of this kind, where the limits hold.
        """
        if self.hold:
            raise kind(message)
        self.tell(f"{message} It was sent all the same: this server may have other limits than the platform.")
