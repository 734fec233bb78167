"""Types for notes on a request: a function that records notes, and a note on why the server may refuse the request."""

from collections.abc import Callable

AddNote = Callable[[str], None]
"""Records a note on a request, for `Completion.notes`."""


class Cause(str):
    """A note on why the server may refuse a request. If it does, the note becomes part of the error message."""

    __slots__ = ()
