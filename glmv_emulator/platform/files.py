"""Uploaded files and their checks (docs.bigmodel.cn, file management and batch)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glmv_emulator.http.parsing import parsed_json
from glmv_emulator.platform.errors import Refusal
from glmv_emulator.platform.models import MB, find
from glmv_emulator.platform.settings import Era

PURPOSES = (
    "fine-tune",
    "retrieval",
    "batch",
    "file-extract",
    "code-interpreter",
    "agent",
    "voice-clone-input",
    "user_data",
)
OUTPUT = "batch_output"
LARGEST_FILE = 100 * MB  # larger files get HTTP 435 (docs.z.ai, error codes)
MOST_LINES = 50_000
SHORTEST_CUSTOM_ID = 6
BATCH_URLS = ("/v4/chat/completions", "/v1/chat/completions")
MOST_LISTED = 100


@dataclass(frozen=True, slots=True)
class Stored:
    """An uploaded file, or a file that a batch wrote."""

    id: str
    name: str
    purpose: str
    created: int
    data: bytes

    def api_object(self, era: Era) -> dict[str, Any]:
        """The file as an object of the API."""
        # Recorded in 2024: the name is in fileName, although the SDK's type has filename.
        name = "fileName" if era == "2024" else "filename"
        fields = {"id": self.id, "object": "file", "bytes": len(self.data), "created_at": self.created}
        return fields | {name: self.name, "purpose": self.purpose, "status": "processed"}


class Files:
    """The files of an emulator, newest last."""

    def __init__(self) -> None:
        self._files: dict[str, Stored] = {}

    def upload(self, name: str, purpose: Any, data: bytes | None) -> Stored:
        """Check and store an uploaded file."""
        if data is None:
            raise Refusal("1213", "file")
        if purpose is None:
            raise Refusal("1213", "purpose")
        if purpose not in PURPOSES:
            raise Refusal("1214", "purpose")
        if len(data) > LARGEST_FILE:
            raise Refusal("1210", "文件大小超过限制 100M", "the file is over 100 MB", status=435)
        if purpose == "batch":
            batch_lines(data)
        return self.keep(name, purpose, data)

    def keep(self, name: str, purpose: str, data: bytes) -> Stored:
        now = int(time.time())
        stored = Stored(f"emu-{now}_{secrets.token_hex(16)}", name, purpose, now, data)
        self._files[stored.id] = stored
        return stored

    def find(self, identity: str) -> Stored:
        stored = self._files.get(identity)
        if stored is None:
            raise Refusal(
                "1214", f"文件 {identity[:64]} 不存在，file_id", f"file_id (no file {identity[:64]})", status=404
            )
        return stored

    def of_a_message(self, identity: str) -> bytes | None:
        """The bytes of a file that a message refers to; None if there is no such file with the purpose user_data."""
        stored = self._files.get(identity)
        return stored.data if stored is not None and stored.purpose == "user_data" else None

    def content(self, identity: str) -> Stored:
        """A file for download; only files that a batch wrote can be downloaded."""
        stored = self.find(identity)
        if stored.purpose != OUTPUT:
            raise Refusal("1210", "该文件不支持下载", "this file does not support downloading")
        return stored

    def delete(self, identity: str) -> dict[str, Any]:
        self.find(identity)
        del self._files[identity]
        return {"id": identity, "object": "file", "deleted": True}

    def list(self, query: Mapping[str, str], era: Era) -> dict[str, Any]:
        purpose = query.get("purpose")
        matching = [one for one in self._files.values() if purpose in (None, one.purpose)]
        return page([one.api_object(era) for one in matching], query)


def page(items: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """One page of a listing, newest first unless `order=asc`."""
    limit = query.get("limit", "20")
    if not limit.isdigit() or not 1 <= int(limit) <= MOST_LISTED:
        raise Refusal("1214", f"limit（1 - {MOST_LISTED}）", f"limit (1 - {MOST_LISTED})")
    ordered = items if query.get("order") == "asc" else items[::-1]
    after = query.get("after")
    if after:
        places = [place for place, item in enumerate(ordered) if item["id"] == after]
        ordered = ordered[places[0] + 1 :] if places else []
    items_of_page = ordered[: int(limit)]
    more = len(ordered) > len(items_of_page)
    ends = {"first_id": items_of_page[0]["id"], "last_id": items_of_page[-1]["id"]} if items_of_page else {}
    return {"object": "list", "data": items_of_page, "has_more": more} | ends


def batch_lines(data: bytes) -> list[dict[str, Any]]:
    """The requests in a batch's file; one invalid line makes the whole file invalid, as on the platform."""
    lines = [line for line in data.splitlines() if line.strip()]
    if not lines or len(lines) > MOST_LINES:
        raise Refusal("1210", f"jsonl 行数应为 1 - {MOST_LINES}", f"a jsonl file has 1 - {MOST_LINES} lines")
    requests = [_line(number, line) for number, line in enumerate(lines, 1)]
    names = [request["custom_id"] for request in requests]
    if len(set(names)) != len(names):
        raise Refusal("1214", "custom_id 重复，custom_id", "custom_id (it must be unique)")
    return requests


def _line(number: int, line: bytes) -> dict[str, Any]:
    try:
        request = parsed_json(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict) or not isinstance(request.get("body"), dict):
        raise Refusal("1210", f"第 {number} 行不是合法的请求", f"line {number} is not a request")
    custom_id = request.get("custom_id")
    if not isinstance(custom_id, str) or len(custom_id) < SHORTEST_CUSTOM_ID:
        raise Refusal("1214", f"第 {number} 行 custom_id（≥{SHORTEST_CUSTOM_ID}）", f"line {number}: custom_id")
    if request.get("method") != "POST" or request.get("url") not in BATCH_URLS:
        raise Refusal("1214", f"第 {number} 行 method / url", f"line {number}: method / url")
    model = find(str(request["body"].get("model")))
    if model is None or not model.batch:
        raise Refusal("1210", f"模型名称错误（第 {number} 行）", f"wrong model name in line {number}")
    return request
