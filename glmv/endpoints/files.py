"""Files on the platform: documents to ask about, input and output of batches.

Source: docs.bigmodel.cn, "文件" (multipart upload, purposes, 100 MB: status 435 "file larger than 100 MB").
"""

from __future__ import annotations

import secrets
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import PurePath
from typing import Any

from glmv._public import public_class
from glmv.catalog.row import MIB
from glmv.endpoints.context import AsyncEndpoint, Context, Endpoint, awaiting, blocking, quoted, seconds
from glmv.errors import MalformedResponse
from glmv.exchange.flow import worked
from glmv.exchange.steps import Step
from glmv.media.blob import Blob
from glmv.media.file import mime_of
from glmv.wire.decode import parse
from glmv.wire.encode import Body
from glmv.wire.envelopes import envelope, error_from

MAX_FILE_BYTES = 100 * MIB
# An output file has up to 50,000 answers; a larger file than this is not read into memory.
MAX_CONTENT_BYTES = 512 * MIB
# Rows of one page of a list, as in the reference of OpenAI's interface, which this one follows.
MAX_PAGE = 100
# An error that comes instead of the content is short; longer content is not searched for one.
_ERROR_BYTES = 64 * 1024

Upload = str | PathLike[str] | bytes | bytearray | memoryview


@public_class
@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file on the platform.

    Attributes:
        id: the id for `content`, `delete`, `glm.batches.create` and `glmv.File.from_id`.
        name: its file name (`fileName` in responses, `filename` in the reference).
        bytes: its size.
        purpose, status: as the platform sent them.
        created_at: seconds since the epoch.
        raw: the JSON object as received.
    """

    id: str
    name: str | None = None
    bytes: int | None = None
    purpose: str | None = None
    status: str | None = None
    created_at: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


def upload(
    context: Context, /, file: Upload, *, purpose: str = "user_data", name: str | None = None
) -> Generator[Step, Any, StoredFile]:
    """Send a file of up to 100 MB.

    Args:
        file: the path of a regular file (links are followed), or bytes.
        purpose: "user_data" for documents to ask about (`glmv.File.from_id`), "batch" for batches; also
            "file-extract", "retrieval", "fine-tune", "code-interpreter", "agent", "voice-clone-input".
        name: the file name to send. None means the last part of the path, or "file" for bytes. The platform recognizes
            the format by the ending of the name.

    Raises:
        LimitExceeded: the file is larger than 100 MB; nothing was sent.
    """
    policy = context.policy()
    content_type, body = yield from worked(partial(_form, file, purpose, name), policy)
    headers = {"content-type": content_type}
    return stored((yield from context.fetch("POST", "/files", body, headers=headers, spent=policy.spent)))


def _form(file: Upload, purpose: str, name: str | None) -> tuple[str, Body]:
    match file:
        case bytes() | bytearray() | memoryview():
            name = name or "file"
            data = Blob.from_bytes(file, cap=MAX_FILE_BYTES, what=name).data()
        case _:
            data = Blob.from_path(file, cap=MAX_FILE_BYTES, what="file").data()
            name = name or PurePath(file).name
    return multipart({"purpose": purpose}, name, data, secrets.token_hex(16))


def multipart(fields: Mapping[str, str], name: str, data: bytes, boundary: str) -> tuple[str, Body]:
    """The content type and the body of a multipart form with these fields and one file.

    Names are escaped as browsers escape them (html.spec.whatwg.org, "multipart form data"), so that a file name cannot
    end the header that contains it.
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


def listed(
    context: Context, /, *, purpose: str | None = None, limit: int | None = None
) -> Generator[Step, Any, list[StoredFile]]:
    """The files of the account: at most `limit` of them, or all if it is None."""
    query = {"purpose": purpose}
    return [stored(row) for row in (yield from pages(context, "/files", query, limit))]


def pages(
    context: Context, path: str, query: Mapping[str, Any], limit: int | None
) -> Generator[Step, Any, list[Mapping[str, Any]]]:
    """The rows of a paged list: at most `limit` of them, or all if it is None.

    In a response `has_more` says that more rows follow; in the next request `after` is the last id received.
    """
    rows: dict[str, Mapping[str, Any]] = {}
    size = None if limit is None else min(limit, MAX_PAGE)
    while True:
        parameters = {**query, "limit": size, "after": next(reversed(rows), None)}
        answer = yield from context.fetch("GET", path, query=parameters)
        items = answer.get("data")
        if not isinstance(items, list):
            raise MalformedResponse(f"The list of {path[1:]} has no data; its fields are {sorted(answer)}.")
        new = {str(row.get("id")): row for row in items if isinstance(row, Mapping)}
        # New rows are required, so that a server that ignores `after` does not cause an endless loop.
        more = answer.get("has_more") is True and new.keys() - rows.keys()
        rows |= new
        if not more or (limit is not None and len(rows) >= limit):
            return list(rows.values())[:limit]


def delete(context: Context, /, file_id: str) -> Generator[Step, Any, None]:
    """Delete a file."""
    yield from context.fetch("DELETE", f"/files/{quoted('file', file_id)}")


def content(context: Context, /, file_id: str) -> Generator[Step, Any, bytes]:
    """The bytes of a file. The platform returns only files that are the output of a batch."""
    path = f"/files/{quoted('file', file_id)}/content"
    data: bytes = yield from context.fetch("GET", path, raw=True, limit=MAX_CONTENT_BYTES)
    if len(data) <= _ERROR_BYTES and data.lstrip()[:1] == b"{":
        try:
            payload = parse(data)
        except MalformedResponse:
            return data
        # Errors come with HTTP 200 as well. A line of a batch's output is not one, even if it reports an error.
        if "custom_id" not in payload and (error := envelope(payload)):
            raise error_from(200, error)
    return data


def stored(row: object) -> StoredFile:
    """The `StoredFile` for a file object of a response."""
    if not isinstance(row, Mapping) or not row.get("id"):
        raise MalformedResponse(
            f"The response has a file object without an id; the object is of type {type(row).__name__}."
        )
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


class Files(Endpoint):
    """Files of one client's account: `glm.files`."""

    upload = blocking(upload)
    list = blocking(listed)
    delete = blocking(delete)
    content = blocking(content)


class AsyncFiles(AsyncEndpoint):
    """`glm.files` of an asynchronous client: the methods of `Files`, with `await`."""

    upload = awaiting(upload)
    list = awaiting(listed)
    delete = awaiting(delete)
    content = awaiting(content)
