"""Asynchronous chat: a request returns a task id at once; later requests with the id return its status or answer."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from glmv_emulator.answers import Scripted
from glmv_emulator.platform import chat, shapes
from glmv_emulator.platform.errors import Refusal
from glmv_emulator.platform.shapes import Outcome
from glmv_emulator.platform.state import State

log = logging.getLogger("glmv_emulator")

# Users observed that a different model than the requested one answers a task, and that the result names this model.
ANSWERS_INSTEAD = {"glm-4.6": "glm-4.7", "glm-4.7": "glm-4.7-ali"}
MOST_TICKETS = 10_000


@dataclass(slots=True)
class Ticket:
    """One task; the next `polls` requests for its result get the status PROCESSING."""

    head: dict[str, Any]
    model: str
    answering: asyncio.Task[Outcome]
    polls: int


class Tickets:
    """All tasks of an emulator."""

    def __init__(self) -> None:
        self._tickets: dict[str, Ticket] = {}

    def open(self, state: State, prepared: chat.Prepared, scripted: Scripted | None) -> dict[str, Any]:
        """Start a task; returns the immediate response."""
        if not prepared.model.asynchronous:
            raise Refusal("1212", "ASYNC")
        if prepared.parameters.stream:
            raise Refusal("1214", "stream")
        identity = shapes.new_id(state.settings.era)
        request_id = prepared.parameters.request_id or identity
        head = {"id": identity, "request_id": request_id, "model": prepared.model.name}
        answering = asyncio.ensure_future(chat.answer(state, prepared, scripted, "task"))
        # Read the exception, so that asyncio does not log it if no request asks for the result.
        answering.add_done_callback(lambda done: done.cancelled() or done.exception())
        model = ANSWERS_INSTEAD.get(prepared.model.name, prepared.model.name)
        if len(self._tickets) >= MOST_TICKETS:
            self._tickets.pop(next(iter(self._tickets)))
        self._tickets[identity] = Ticket(head, model, answering, state.settings.async_polls)
        return head | {"task_status": "PROCESSING"}

    async def result(self, state: State, identity: str) -> dict[str, Any]:
        """The status of a task, with its answer if it is done."""
        ticket = self._tickets.get(identity)
        if ticket is None:
            raise Refusal("1214", f"任务 {identity[:64]} 不存在，id", f"id (no task {identity[:64]})", status=404)
        if ticket.polls > 0:
            ticket.polls -= 1
            return ticket.head | {"task_status": "PROCESSING"}
        try:
            outcome = await asyncio.shield(ticket.answering)
        except Refusal as refusal:
            # The response of a failed task has no reason, so the reason is logged.
            log.warning("the task %s failed: %s", identity, refusal.message(english=True))
            return ticket.head | {"model": ticket.model, "task_status": "FAIL"}
        head = ticket.head | {"model": ticket.model}
        if outcome.finish_reason == "sensitive":
            return head | {"task_status": "FAIL"}
        whole = shapes.whole(outcome, state.settings.era)
        fields = {name: whole[name] for name in ("created", "choices", "usage", "web_search") if name in whole}
        return head | {"task_status": "SUCCESS"} | fields
