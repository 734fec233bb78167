"""Files on the platform: upload, list, download and delete."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import glmv
from glmv.endpoints.files import MAX_FILE_BYTES, multipart

STORED = {
    "id": "20240514_ea19d21b",
    "object": "file",
    "bytes": 490,
    "created_at": 1715673494,
    "fileName": "notes.pdf",
    "purpose": "user_data",
}


def form(request: httpx.Request) -> dict[str, tuple[str | None, str, bytes]]:
    """Parts of a form by name: file name, content type and content, read by an independent parser."""
    return form_of(request.headers["content-type"], request.content)


def form_of(content_type: str, body: bytes) -> dict[str, tuple[str | None, str, bytes]]:
    result = email.message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP
    )
    return {
        part.get_param("name", header="content-disposition"): (
            part.get_filename(),
            part.get_content_type(),
            part.get_payload(decode=True),
        )
        for part in result.iter_parts()
    }


def test_a_file_given_by_path_is_uploaded_with_its_purpose_and_name_and_type(wire: Any, tmp_path: Path) -> None:
    path = tmp_path / "notes.pdf"
    path.write_bytes(b"%PDF-1.7 text")
    platform = wire(lambda _: STORED)
    file = platform.client().files.upload(path)
    assert platform.lines == ["POST /files"]
    assert form(platform.requests[0]) == {
        "purpose": (None, "text/plain", b"user_data"),
        "file": ("notes.pdf", "application/pdf", b"%PDF-1.7 text"),
    }
    assert (file.id, file.name, file.bytes) == ("20240514_ea19d21b", "notes.pdf", 490)
    assert (file.purpose, file.created_at) == ("user_data", 1715673494)


def test_bytes_are_uploaded_as_a_file_with_the_given_name(wire: Any) -> None:
    platform = wire(lambda _: STORED)
    platform.client().files.upload(b"{}\n", purpose="batch", name="in.jsonl")
    assert form(platform.requests[0])["file"] == ("in.jsonl", "application/jsonl", b"{}\n")
    assert form(platform.requests[0])["purpose"][2] == b"batch"


@pytest.mark.parametrize("answer", [STORED, {**STORED, "fileName": None, "filename": "notes.pdf"}])
def test_both_response_fields_for_the_file_name_are_read(wire: Any, answer: Any) -> None:
    assert wire(lambda _: answer).client().files.upload(b"x").name == "notes.pdf"


def test_a_file_name_with_line_breaks_adds_no_header_to_the_form() -> None:
    content_type, body = multipart({"purpose": "batch"}, 'a"\r\nX-Evil: 1\r\n\r\nb.txt', b"x", "line")
    parts = form_of(content_type, bytes(body))
    assert set(parts) == {"purpose", "file"}
    assert parts["file"][2] == b"x"
    assert b"\r\nX-Evil" not in bytes(body)


@given(st.binary(max_size=200), st.uuids())
def test_any_bytes_of_a_file_are_unchanged_in_the_uploaded_form(data: bytes, boundary: Any) -> None:
    content_type, body = multipart({"purpose": "batch"}, "name.bin", data, boundary.hex)
    whole = bytes(body)
    assert len(body) == len(whole)
    assert whole.split(b"\r\n\r\n", 2)[2].rpartition(f"\r\n--{boundary.hex}--".encode())[0] == data
    assert boundary.hex in content_type


def test_a_file_of_more_than_100_mb_is_refused_before_sending(wire: Any, tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    platform = wire(lambda _: STORED)
    with pytest.raises(glmv.LimitExceeded, match="105 MB"):
        platform.client().files.upload(path)
    assert platform.requests == []


def test_an_object_that_is_not_a_file_is_refused(wire: Any, tmp_path: Path) -> None:
    platform = wire(lambda _: STORED)
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(glmv.InvalidRequestError):
            platform.client().files.upload(path)
    with pytest.raises(glmv.InvalidRequestError):
        platform.client().files.upload(7)
    assert platform.requests == []


def test_a_list_of_files_is_read_page_by_page(wire: Any) -> None:
    rows = [{**STORED, "id": f"f-{n}"} for n in range(5)]

    def page(request: httpx.Request) -> dict[str, Any]:
        after = request.url.params.get("after")
        start = 0 if after is None else int(after[2:]) + 1
        return {"object": "list", "data": rows[start : start + 2], "has_more": start + 2 < 5}

    platform = wire(page)
    assert [file.id for file in platform.client().files.list(purpose="batch")] == [f"f-{n}" for n in range(5)]
    assert platform.lines == [
        "GET /files?purpose=batch",
        "GET /files?purpose=batch&after=f-1",
        "GET /files?purpose=batch&after=f-3",
    ]
    assert [file.id for file in platform.client().files.list(limit=3)] == ["f-0", "f-1", "f-2"]


def test_listing_files_ends_after_two_requests_if_the_server_repeats_a_page(wire: Any) -> None:
    platform = wire(lambda _: {"data": [STORED], "has_more": True})
    assert len(platform.client().files.list()) == 1
    assert len(platform.requests) == 2


def test_an_empty_list_of_files_is_returned(wire: Any) -> None:
    assert wire(lambda _: {"object": "list", "data": []}).client().files.list() == []


def test_a_file_is_deleted_by_its_id(wire: Any) -> None:
    platform = wire(lambda _: {"id": "a/b", "deleted": True, "object": "file"})
    platform.client().files.delete("a/b")
    assert platform.lines == ["DELETE /files/a%2Fb"]


@pytest.mark.parametrize("file_id", ["", " ", None])
def test_deleting_a_file_with_an_empty_id_is_refused_before_sending(wire: Any, file_id: Any) -> None:
    platform = wire(lambda _: {})
    with pytest.raises(glmv.InvalidRequestError, match="id of a file"):
        platform.client().files.delete(file_id)
    assert platform.requests == []


@pytest.mark.parametrize(
    "data", [b"", b"\x00\xff", b'{"a":1}', b'{"custom_id":"x","error":{"code":"1301"}}', b"{broken", b"[1]"]
)
def test_files_content_returns_the_bytes_of_a_stored_file(wire: Any, data: bytes) -> None:
    platform = wire(lambda _: data)
    assert platform.client().files.content("f-1") == data
    assert platform.lines == ["GET /files/f-1/content"]


def test_an_error_body_with_status_200_raises_and_is_not_returned_as_content(wire: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="downloading"):
        wire(lambda _: {"error": {"code": "1210", "message": "does not support downloading"}}).client().files.content(
            "f"
        )


def test_an_unknown_file_raises_not_found(wire: Any) -> None:
    with pytest.raises(glmv.NotFoundError):
        wire(lambda _: httpx.Response(404, json={"error": {"message": "no such file"}})).client().files.content("f")


@pytest.mark.parametrize("answer", [{}, {"id": ""}, {"data": [1]}])
def test_an_upload_response_without_a_file_id_raises_a_glmv_error(wire: Any, answer: Any) -> None:
    with pytest.raises(glmv.MalformedResponse):
        wire(lambda _: answer).client().files.upload(b"x")


@pytest.mark.parametrize("answer", [{}, {"data": None}, {"data": [{}]}])
def test_a_list_of_files_in_an_unknown_format_raises_a_glmv_error(wire: Any, answer: Any) -> None:
    with pytest.raises(glmv.MalformedResponse):
        wire(lambda _: answer or {"object": "list"}).client().files.list()


async def test_the_async_client_uploads_lists_deletes_and_reads_files(wire: Any) -> None:
    platform = wire(lambda request: {"data": [STORED]} if request.method == "GET" else STORED)
    async with platform.async_client() as glm:
        assert (await glm.files.upload(b"x", name="a.txt")).id == STORED["id"]
        assert [file.id for file in await glm.files.list()] == [STORED["id"]]
        await glm.files.delete("f")
        assert b"data" in await glm.files.content("f")
