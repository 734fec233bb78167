"""Asynchronous chat: a ticket at once, the answer for whoever comes back with it."""

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

# Users measured that another model than the one asked for answers here, and that the answer says which.
ANSWERS_INSTEAD = {"glm-4.6": "glm-4.7", "glm-4.7": "glm-4.7-ali"}
MOST_TICKETS = 10_000


@dataclass(slots=True)
class Ticket:
    """One task: `polls` is how often it is still said to be processing."""

    head: dict[str, Any]
    model: str
    answering: asyncio.Task[Outcome]
    polls: int


class Tickets:
    """All tasks of an emulator."""

    def __init__(self) -> None:
        self._kept: dict[str, Ticket] = {}

    def open(self, state: State, prepared: chat.Prepared, scripted: Scripted | None) -> dict[str, Any]:
        """Begin a task; returns what is said at once."""
        if not prepared.model.asynchronous:
            raise Refusal("1212", "ASYNC")
        if prepared.parameters.stream:
            raise Refusal("1214", "stream")
        identity = shapes.new_id(state.settings.era)
        request_id = prepared.parameters.request_id or identity
        head = {"id": identity, "request_id": request_id, "model": prepared.model.name}
        answering = asyncio.ensure_future(chat.answer(state, prepared, scripted, "task"))
        # A failure that nobody comes back for is nobody's.
        answering.add_done_callback(lambda done: done.cancelled() or done.exception())
        model = ANSWERS_INSTEAD.get(prepared.model.name, prepared.model.name)
        if len(self._kept) >= MOST_TICKETS:
            self._kept.pop(next(iter(self._kept)))
        self._kept[identity] = Ticket(head, model, answering, state.settings.async_polls)
        return head | {"task_status": "PROCESSING"}

    async def result(self, state: State, identity: str) -> dict[str, Any]:
        """What is said of a task now."""
        ticket = self._kept.get(identity)
        if ticket is None:
            raise Refusal("1214", f"任务 {identity[:64]} 不存在，id", f"no task {identity[:64]}: id", status=404)
        if ticket.polls > 0:
            ticket.polls -= 1
            return ticket.head | {"task_status": "PROCESSING"}
        try:
            outcome = await asyncio.shield(ticket.answering)
        except Refusal as refusal:
            # A task that fails does not say why; the log does.
            log.warning("the task %s failed: %s", identity, refusal.message(english=True))
            return ticket.head | {"model": ticket.model, "task_status": "FAIL"}
        head = ticket.head | {"model": ticket.model}
        if outcome.finish_reason == "sensitive":
            return head | {"task_status": "FAIL"}
        whole = shapes.whole(outcome, state.settings.era)
        kept = {name: whole[name] for name in ("created", "choices", "usage", "web_search") if name in whole}
        return head | {"task_status": "SUCCESS"} | kept
