"""A kind of note: why a server may refuse a request."""


class Cause(str):
    """A note that says why a server may refuse a request, and often what to do: it joins the message of the error."""

    __slots__ = ()
