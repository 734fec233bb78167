"""Decodes streams, in linear time and with a size limit: server-sent events by the WHATWG rules, and lines of JSON.

Source: HTML Standard, 9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event stream". Two
things differ: the size of an event is limited, and `flush` returns an unfinished event at the end of the stream,
because some API gateways omit the last blank line.
"""

from __future__ import annotations

from pydantic_core import from_json

from glmv.errors import MalformedResponse

# A whole answer with a 128K-token tool argument is below 1 MiB; a larger event is not an answer.
MAX_EVENT_BYTES = 8 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_CR = 13  # searching for a number is ten times as fast as for bytes

# Content types of JSON in lines; `application/x-ndjson` is Ollama's (github.com/ollama/ollama, docs/api.md).
_JSON_LINES = {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
_FIELDS = (b"data", b"event", b"id", b"retry")


def is_event_stream(head: bytes) -> bool | None:
    """Whether a body is an event stream, by its first bytes; None if more bytes are needed.

    Servers send streams under any content type: none, text/plain, application/x-ndjson, application/json.
    """
    head = head.removeprefix(_BOM).lstrip()
    name, colon, _ = head.partition(b":")
    if colon:
        return not name or name in _FIELDS
    return None if _BOM.startswith(head) or any(field.startswith(name) for field in _FIELDS) else False


def is_json_lines(head: bytes, kind: str) -> bool | None:
    """Whether a body is a stream of JSON objects, one in each line, by its first bytes; None if more bytes are needed.

    A single line of JSON may be a whole answer that is not streamed. So a second line is needed, unless `kind`, the
    content type, says that the body is a stream of JSON lines.
    """
    head = head.removeprefix(_BOM).lstrip()
    if head[:1] != b"{":
        return False
    line, end, rest = head.partition(b"\n")
    declared, rest = kind in _JSON_LINES, rest.lstrip()
    if not end or not (declared or rest):
        return None
    try:
        return isinstance(from_json(line), dict) and (declared or rest[:1] == b"{")
    except ValueError:
        return False  # one object on several lines


# An event: its type, "message" by default, and its data as received in UTF-8. A plain tuple for speed, because one is
# made for each chunk.
Event = tuple[str, bytes]


class SSEDecoder:
    """Takes the body in pieces of any size; `feed` returns the events that a piece completes.

    Lines end only at CRLF, LF or CR: `str.splitlines` also splits at U+2028 and U+0085, which are ordinary characters
    in an answer.

    Raises:
        MalformedResponse: a line or an event is longer than `max_event_bytes`.
    """

    __slots__ = (
        "_between", "_data", "_id", "_limit", "_line", "_line_size", "_size", "_skip_lf", "_start", "_type",
        "last_event_id", "retry",
    )  # fmt: skip

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit = max_event_bytes
        self._line: list[bytes] = []  # pieces of an incomplete line
        self._line_size = 0
        self._data: list[bytes] = []  # values of the data fields of the current event
        self._size = 0
        self._type = ""
        self._id = ""
        self._skip_lf = False  # the last feed ended in CR: an LF after it belongs to it
        self._between = False  # the next byte begins an event, and no state is pending
        self._start = True  # "one leading U+FEFF BYTE ORDER MARK character must be ignored if any are present"
        self.last_event_id = ""
        self.retry: int | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Takes a piece of the body; returns the events that it completes, in order."""
        if self._between:
            line, _, rest = data.partition(b"\n")
            # Fast path: one event of one line, as the platform sends them.
            if rest == b"\n" and line.startswith(b"data: ") and _CR not in line and len(line) <= self._limit:
                return [("message", line[6:])]
        events = self._read(data)
        under_way = self._start or self._skip_lf or self._line or self._data or self._type
        self._between = not under_way and self._id == self.last_event_id
        return events

    def _read(self, data: bytes) -> list[Event]:
        if self._start:
            data = b"".join(self._line) + data
            self._line.clear()
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._line = [data] if data else []
                return []
            self._start = False
            data = data.removeprefix(_BOM)
        if self._skip_lf and data:
            self._skip_lf = False
            if data[:1] == b"\n":
                data = data[1:]
        if not data:
            return []
        if _CR in data:
            self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        head, newline, rest = data.partition(b"\n")
        if not newline:
            self._keep(data)
            return []
        if self._line:
            self._line.append(head)
            head = b"".join(self._line)
            self._line.clear()
            self._line_size = 0
        events: list[Event] = []
        self._take(head, events)
        *lines, tail = rest.split(b"\n")
        for line in lines:
            self._take(line, events)
        if tail:
            self._keep(tail)
        return events

    def flush(self) -> list[Event]:
        """The unfinished event at the end of the stream, if it has data.

        The standard discards it, but the last event of a GLM stream may lack its blank line.
        """
        events: list[Event] = []
        self._take(b"".join(self._line), events)
        self._line.clear()
        self._take(b"", events)
        return events

    def _keep(self, piece: bytes) -> None:
        if (self._line[0] if self._line else piece)[:1] == b":":
            self._line = [b":"]  # a comment of any length is dropped unread
            return
        self._line_size += len(piece)
        self._bound(self._size + self._line_size)
        self._line.append(piece)

    def _bound(self, size: int) -> None:
        if size > self._limit:
            raise MalformedResponse(
                f"An event of the stream is larger than the limit of {self._limit} bytes. The stream was dropped."
            )

    def _take(self, line: bytes, events: list[Event]) -> None:
        if not line:
            self.last_event_id = self._id
            if self._data:
                events.append((self._type or "message", b"\n".join(self._data)))
                self._data = []
                self._size = 0
            self._type = ""
            return
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._size += len(value) + 1
            self._bound(self._size)
            self._data.append(value)
        elif name == b"event":
            self._bound(len(value))
            self._type = value.decode("utf-8", "replace")
        elif name == b"id":
            self._bound(len(value))
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) < 18:
            self.retry = int(value)


class JSONLinesDecoder(SSEDecoder):
    """Decodes a stream with a JSON object in each line: every line that is not empty is an event."""

    __slots__ = ()

    def _take(self, line: bytes, events: list[Event]) -> None:
        self._bound(len(line))
        if line := line.strip():
            events.append(("message", line))
