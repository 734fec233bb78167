"""Files on the platform: documents to ask about, input and output of batches.

Source: docs.bigmodel.cn, "文件" (multipart upload, purposes, 100 MB: status 435 "file larger than 100 MB").
"""

from __future__ import annotations

import builtins
import secrets
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import PurePath
from typing import Any

from glmv._blob import MIB, Blob
from glmv._codes import envelope, error_from
from glmv._endpoint import AsyncRun, Desk, Run, quoted, seconds
from glmv._errors import MalformedResponse
from glmv._file import mime_of
from glmv._flow import Step, fetch
from glmv._wire import Body, parse

MAX_FILE_BYTES = 100 * MIB
# An output file answers 50,000 requests; more than half a gigabyte in memory is somebody's mistake.
MAX_CONTENT_BYTES = 512 * MIB
# Rows of one page of a list, as in the reference of the interface that this one follows.
MAX_PAGE = 100
# An error in place of the content is short; content that is longer is not looked through for one.
_ERROR_BYTES = 64 * 1024

Upload = str | PathLike[str] | bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that lies on the platform.

    Attributes:
        id: what `content`, `delete`, `glm.batches.create` and `glmv.File.from_id` take.
        name: its file name (the platform writes `fileName`, its reference `filename`).
        bytes: its size.
        purpose, status: as the platform sent them.
        created_at: seconds since the epoch.
        raw: the body as it came.
    """

    id: str
    name: str | None = None
    bytes: int | None = None
    purpose: str | None = None
    status: str | None = None
    created_at: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


def upload(desk: Desk, file: Upload, purpose: str, name: str | None) -> Generator[Step, Any, StoredFile]:
    """Send a file; returns what lies on the platform now."""
    match file:
        case bytes() | bytearray() | memoryview():
            name = name or "file"
            data = Blob.from_bytes(file, cap=MAX_FILE_BYTES, what=name).data()
        case _:
            data = Blob.from_path(file, cap=MAX_FILE_BYTES, what="file").data()
            name = name or PurePath(file).name
    content_type, body = multipart({"purpose": purpose}, name, data, secrets.token_hex(16))
    return stored((yield from fetch(desk.call("POST", "/files", body, headers={"content-type": content_type}))))


def multipart(fields: Mapping[str, str], name: str, data: bytes, boundary: str) -> tuple[str, Body]:
    """Fields and one file -> (content type, body) of a form.

    Names are escaped as browsers do (html.spec.whatwg.org, "multipart form data"): a name cannot end its header.
    """
    lines = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_escaped(field)}"\r\n\r\n{value}\r\n'
        for field, value in fields.items()
    ]
    lines.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_escaped(name)}"\r\n'
        f"Content-Type: {mime_of(name, data[:5])}\r\n\r\n"
    )
    return f"multipart/form-data; boundary={boundary}", Body(
        ["".join(lines).encode(), data, f"\r\n--{boundary}--\r\n".encode()]
    )


def _escaped(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def listed(desk: Desk, purpose: str | None, limit: int | None) -> Generator[Step, Any, list[StoredFile]]:
    """All pages of the list, or as many as it takes for `limit`."""
    query = {"purpose": purpose}
    return [stored(row) for row in (yield from pages(desk, "/files", query, limit))]


def pages(
    desk: Desk, path: str, query: Mapping[str, Any], limit: int | None
) -> Generator[Step, Any, list[Mapping[str, Any]]]:
    """The rows of a list that comes in pages: `has_more` says that there are more, `after` which were seen."""
    rows: dict[str, Mapping[str, Any]] = {}
    size = None if limit is None else min(limit, MAX_PAGE)
    while True:
        asked = {**query, "limit": size, "after": next(reversed(rows), None)}
        answer = yield from fetch(desk.call("GET", path, query=asked))
        found = answer.get("data")
        if not isinstance(found, list):
            raise MalformedResponse(f"A list of {path[1:]} holds no data; it has {sorted(answer)}.")
        new = {str(row.get("id")): row for row in found if isinstance(row, Mapping)}
        more = answer.get("has_more") is True and new.keys() - rows.keys()  # a server that ignores `after` ends, too
        rows |= new
        if not more or (limit is not None and len(rows) >= limit):
            return list(rows.values())[:limit]


def delete(desk: Desk, file_id: str) -> Generator[Step, Any, None]:
    """Remove a file."""
    yield from fetch(desk.call("DELETE", f"/files/{quoted('file', file_id)}"))


def content(desk: Desk, file_id: str) -> Generator[Step, Any, bytes]:
    """The bytes of a file."""
    call = desk.call("GET", f"/files/{quoted('file', file_id)}/content", limit=MAX_CONTENT_BYTES)
    data: bytes = yield from fetch(call, raw=True)
    if len(data) <= _ERROR_BYTES and data.lstrip()[:1] == b"{":
        try:
            found = parse(data)
        except MalformedResponse:
            return data
        # Errors come with HTTP 200 as well; a line of a batch is none, whatever it reports.
        if "custom_id" not in found and (error := envelope(found)):
            raise error_from(200, error)
    return data


def stored(row: object) -> StoredFile:
    """A file object of the wire -> ours."""
    if not isinstance(row, Mapping) or not row.get("id"):
        raise MalformedResponse(f"A file object holds no id: it is {type(row).__name__}.")
    name = row.get("fileName") or row.get("filename")
    return StoredFile(
        str(row["id"]),
        str(name) if name else None,
        row["bytes"] if isinstance(row.get("bytes"), int) else None,
        str(row["purpose"]) if row.get("purpose") else None,
        str(row["status"]) if row.get("status") else None,
        seconds(row.get("created_at")),
        row,
    )


class Files:
    """Files of one client's account: `glm.files`."""

    def __init__(self, desk: Callable[[], Desk], run: Run) -> None:
        self._desk = desk
        self._run = run

    def upload(self, file: Upload, *, purpose: str = "user_data", name: str | None = None) -> StoredFile:
        """Send a file of up to 100 MB.

        Args:
            file: a path (links are followed, nothing but a regular file is read), or bytes.
            purpose: "user_data" for documents to ask about (`glmv.File.from_id`), "batch" for batches; also
                "file-extract", "retrieval", "fine-tune", "code-interpreter", "agent", "voice-clone-input".
            name: the file name to send; None is the path's own. Its ending tells the platform what it is.

        Raises:
            LimitExceeded: above 100 MB; nothing was sent.
        """
        return self._run(upload(self._desk(), file, purpose, name))

    def list(self, *, purpose: str | None = None, limit: int | None = None) -> builtins.list[StoredFile]:
        """The files that lie there, as many as `limit` says; None is all."""
        return self._run(listed(self._desk(), purpose, limit))

    def delete(self, file_id: str) -> None:
        """Remove a file."""
        self._run(delete(self._desk(), file_id))

    def content(self, file_id: str) -> bytes:
        """The bytes of a file. The platform gives out the output files of batches only."""
        return self._run(content(self._desk(), file_id))


class AsyncFiles:
    """Files of one client's account: `glm.files`, with `await`."""

    def __init__(self, desk: Callable[[], Desk], run: AsyncRun) -> None:
        self._desk = desk
        self._run = run

    async def upload(self, file: Upload, *, purpose: str = "user_data", name: str | None = None) -> StoredFile:
        """As `Files.upload`."""
        return await self._run(upload(self._desk(), file, purpose, name))

    async def list(self, *, purpose: str | None = None, limit: int | None = None) -> builtins.list[StoredFile]:
        """As `Files.list`."""
        return await self._run(listed(self._desk(), purpose, limit))

    async def delete(self, file_id: str) -> None:
        """As `Files.delete`."""
        await self._run(delete(self._desk(), file_id))

    async def content(self, file_id: str) -> bytes:
        """As `Files.content`."""
        return await self._run(content(self._desk(), file_id))
