"""Turns the bytes of a stream, which may be cut anywhere, into the data of its events."""

from __future__ import annotations

from collections.abc import Iterator

DONE = "[DONE]"


class Events:
    """Decodes server-sent events (html.spec.whatwg.org, 9.2.5); only their data is used."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[str]:
        """The data of each event that these bytes complete."""
        self._rest += data
        # A CR at the end may be the first half of a CRLF.
        held = b"\r" if self._rest.endswith(b"\r") else b""
        whole = self._rest.removesuffix(held) if held else self._rest
        *lines, rest = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = rest + held
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                event, self._data = b"\n".join(self._data), []
                yield event.decode("utf-8", "replace")

    def end(self) -> Iterator[str]:
        """The data of the last event, if the blank line after it is missing: some servers end the body without it."""
        yield from self.feed(b"\n\n")
