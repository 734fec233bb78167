"""Notes on possible reasons why the server refuses a request."""


class Cause(str):
    """A note on why the server may refuse a request. If it does, the note becomes part of the error message."""

    __slots__ = ()
