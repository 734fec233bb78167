"""Batches: the requests of a file are answered in the background, and the order of the answers is shuffled."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
import time
from collections.abc import Mapping
from typing import Any

from glmv_emulator.platform import chat, shapes
from glmv_emulator.platform.errors import Refusal
from glmv_emulator.platform.files import BATCH_URLS, OUTPUT, batch_lines, page
from glmv_emulator.platform.state import State

log = logging.getLogger("glmv_emulator")

ENDED = ("completed", "failed", "expired", "cancelled")


class Batch:
    """One batch and its asyncio task. Times are in milliseconds, as the platform sends them."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body: dict[str, Any] = {
            "id": f"emu-batch_{secrets.randbelow(9 * 10**18) + 10**18}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "errors": None,
            "input_file_id": body["input_file_id"],
            "completion_window": body.get("completion_window") or "24h",
            "status": "validating",
            "output_file_id": "",
            "error_file_id": "",
            "created_at": _now(),
            **dict.fromkeys(("in_progress_at", "finalizing_at", "completed_at", "cancelling_at", "cancelled_at")),
            # Recorded: null until the first request is done, not 0.
            "request_counts": {"total": None, "completed": None, "failed": None},
            "metadata": body.get("metadata"),
        }
        self.task: asyncio.Task[None] | None = None

    def become(self, status: str) -> None:
        self.body["status"] = status
        self.body[f"{status}_at"] = _now()

    async def work(self, state: State, requests: list[dict[str, Any]], *, delete_input: bool) -> None:
        """Answer the requests, but stop if the batch is cancelled. Then write the files."""
        self.become("in_progress")
        good: list[dict[str, Any]] = []
        bad: list[dict[str, Any]] = []
        try:
            for request in requests:
                if self.body["status"] == "cancelling":
                    break
                line = await self._answered(state, request)
                (good if line["response"]["status_code"] == 200 else bad).append(line)
                counts = {"total": len(requests), "completed": len(good), "failed": len(bad)}
                self.body["request_counts"] = counts
                await asyncio.sleep(0)
        finally:
            ending = "cancelled" if self.body["status"] == "cancelling" else "completed"
            if ending == "completed":
                self.become("finalizing")
            self.body["output_file_id"] = self._written(state, "output", good)
            self.body["error_file_id"] = self._written(state, "error", bad)
            if delete_input and ending == "completed":
                state.files.delete(self.body["input_file_id"])
            self.become(ending)

    async def _answered(self, state: State, request: dict[str, Any]) -> dict[str, Any]:
        scripted = state.script.take()
        try:
            prepared = await chat.prepare(state, request["body"] | {"stream": False}, "platform")
            body = shapes.whole(await chat.answer(state, prepared, scripted, "batch"), state.settings.era)
            status = 200
        except Refusal as refusal:
            body, status = refusal.envelope(english=False), refusal.status
        except Exception as problem:
            log.exception("the emulator failed while it answered a line of a batch")
            failure = Refusal("500", f"：{problem!r}", f": {problem!r}")
            body, status = failure.envelope(english=False), failure.status
        if status != 200 and scripted is not None:
            state.script.put_back(scripted)
        response = {"status_code": status, "body": body | {"request_id": request["custom_id"]}}
        return {"response": response, "custom_id": request["custom_id"], "id": self.body["id"]}

    def _written(self, state: State, kind: str, lines: list[dict[str, Any]]) -> str:
        if not lines:
            return ""
        random.Random(f"{state.settings.seed}{len(lines)}").shuffle(lines)  # noqa: S311 - an order, no secret
        text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n"
        return state.files.keep(f"{self.body['id']}_{kind}.jsonl", OUTPUT, text.encode()).id


class Batches:
    """All batches of an emulator."""

    def __init__(self) -> None:
        self._batches: dict[str, Batch] = {}

    def create(self, state: State, body: Any) -> dict[str, Any]:
        """Create and start a batch for an uploaded file."""
        if not isinstance(body, dict):
            raise Refusal("1210", "请求体应为 JSON 对象", "the body must be a JSON object")
        for name in ("input_file_id", "endpoint"):
            if not isinstance(body.get(name), str):
                raise Refusal("1213", name)
        if body["endpoint"] not in BATCH_URLS:
            raise Refusal("1214", "endpoint")
        if not isinstance(body.get("metadata") or {}, dict):
            raise Refusal("1214", "metadata")
        stored = state.files.find(body["input_file_id"])
        if stored.purpose != "batch":
            raise Refusal("1214", "input_file_id")
        batch = Batch(body)
        self._batches[batch.body["id"]] = batch
        response = dict(batch.body)
        work = batch.work(state, batch_lines(stored.data), delete_input=body.get("auto_delete_input_file") is True)
        batch.task = asyncio.ensure_future(work)
        return response

    def retrieve(self, identity: str) -> dict[str, Any]:
        return self._find(identity).body

    def cancel(self, identity: str) -> dict[str, Any]:
        batch = self._find(identity)
        if batch.body["status"] in ENDED:
            raise Refusal(
                "1214",
                f"batch 状态为 {batch.body['status']}，",
                f"batch_id (of a batch that is {batch.body['status']})",
            )
        batch.become("cancelling")
        return batch.body

    def list(self, query: Mapping[str, str]) -> dict[str, Any]:
        return page([batch.body for batch in self._batches.values()], query)

    def _find(self, identity: str) -> Batch:
        batch = self._batches.get(identity)
        if batch is None:
            raise Refusal(
                "1214", f"batch {identity[:64]} 不存在，batch_id", f"batch_id (no batch {identity[:64]})", status=404
            )
        return batch


def _now() -> int:
    return int(time.time() * 1000)
