"""Streams the upstream server's answer in the platform's shapes while it arrives."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from glmv_emulator.answers.upstream import Piece
from glmv_emulator.platform import shapes
from glmv_emulator.platform.chat import Prepared, outcome_fields, outcome_of, question_of, reader_of
from glmv_emulator.platform.shapes import Outcome
from glmv_emulator.platform.state import State
from glmv_emulator.platform.upstream import Upstream, pieces


async def chunks(upstream: Upstream, state: State, prepared: Prepared) -> AsyncGenerator[dict[str, Any], None]:
    """The chunks of an answer, without the `[DONE]`. A chunk is yielded as soon as the server has sent its content.

    Tool calls come in fragments if the request sets `tool_stream` or came to `/v1`. Otherwise they come together in the
    chunk before the last chunk.

    Raises:
        Refusal: the server does not answer, or its answer breaks off.
    """
    era = state.settings.era
    reader = reader_of(prepared)
    begun = outcome_of(state, prepared)
    head = shapes.chunk_head(begun, era)
    first = True
    async with aclosing(pieces(upstream, question_of(upstream, prepared, stream=True), reader)) as arriving:
        async for piece in arriving:
            for delta in _deltas(piece, begun):
                yield shapes.delta_chunk(head, delta, era, first=first)
                first = False
    whole = replace(begun, **outcome_fields(reader, prepared))
    for chunk in shapes.last_chunks(whole, era, head, first=first):
        yield chunk


def _deltas(piece: Piece, outcome: Outcome) -> Iterator[dict[str, Any]]:
    for name, text in (("reasoning_content", piece.reasoning), ("content", piece.text)):
        if text:
            yield {"role": "assistant", name: text}
    for call in piece.calls if outcome.tool_stream else ():
        fragment: dict[str, Any] = {"index": call.number, "function": {"arguments": call.arguments}}
        if call.name:
            begins = {"id": shapes.call_id(outcome, call.number), "index": call.number, "type": "function"}
            fragment = begins | {"function": {"name": call.name, "arguments": call.arguments}}
        yield {"role": "assistant", "tool_calls": [fragment]}
