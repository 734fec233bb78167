"""Chunks -> deltas as the caller gets them: cut at stop words, added up, closed by one terminal delta."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from glmv.errors import ContentFilterError, ContextLengthError, GLMVError, MalformedResponse, ServerError
from glmv.exchange.retry import Tries
from glmv.exchange.steps import Failure, Hand
from glmv.request.prepare import Call
from glmv.types import Accumulator, Delta, ToolCallDelta
from glmv.wire.codes import reason_of
from glmv.wire.decode import DeltaDecoder, excerpt, parse
from glmv.wire.envelopes import Envelope, envelope, error_from, lone_message
from glmv.wire.finish_reasons import Ending, ending_of
from glmv.wire.marks import THOUGHT_END, StopCutter, read_boxes
from glmv.wire.sse import Event

_THOUGHT_IN_TEXT = (
    "The server sent the thought as text: it needs a reasoning parser (vLLM and SGLang: --reasoning-parser glm45). Set "
    "thinking=True, and a stream shows the thought as such."
)
_CALLS_IN_TEXT = (
    "The server left {count} tool call(s) in the text: it needs a tool parser (vLLM and SGLang: --tool-call-parser "
    "glm45)."
)
# `[DONE]` in any case and with spaces around it is shorter than this.
_DONE_BYTES = 32


class Shaper:
    """Makes the deltas of one attempt.

    Args:
        call: its `reading` says how, its `secrets` are masked.
        tries: gets the accumulator and the shaper of this attempt.
    """

    __slots__ = ("_call", "_cutter", "_notes", "_said", "_tries", "decoder")

    def __init__(self, call: Call, tries: Tries) -> None:
        self._call = call
        self._tries = tries
        self._cutter = StopCutter(call.reading.cut) if call.reading.cut else None
        self._said: Envelope | None = None  # an event with a message alone, the reason if no answer comes
        self._notes: tuple[str, ...] = ()  # of what the server left undone
        self.decoder = DeltaDecoder(call.reading.thought, call.reading.tools, markup=call.reading.markup)
        tries.accumulator = Accumulator()
        tries.shaper = self

    def events(self, found: Iterable[Event]) -> tuple[Hand, GLMVError | None]:
        """Events up to `[DONE]` -> their deltas, and the error that came behind them."""
        deltas = Hand()
        for kind, data in found:
            if len(data) < _DONE_BYTES and data.strip()[:6].upper() == b"[DONE]":
                self.decoder.ended = True
                break
            try:
                delta = self.event(kind, self._call.secrets.mask(data))
            except GLMVError as error:
                if self.decoder.finished and not isinstance(error, ContentFilterError):
                    continue  # the answer is complete: only a withdrawal says anything about it
                return deltas, error
            if delta is not None:
                deltas.append(delta)
        return deltas, None

    def event(self, kind: str, data: bytes) -> Delta | None:
        """One event of the stream -> its delta, if it shows anything."""
        if not data:
            return None
        try:
            payload = parse(data, "An event of the stream", self._call.secrets)
        except MalformedResponse as problem:
            if kind == "error":
                raise _reported(data) from None
            problem.retryable = True  # damaged on its way
            raise
        if not isinstance(payload, dict):
            if kind == "error":
                raise _reported(payload if isinstance(payload, str) else data)
            if kind != "message":
                return None
            raise MalformedResponse(f"An event of the stream is not a JSON object: {excerpt(data)}", retryable=True)
        if kind == "error" or "choices" not in payload or "error" in payload:
            found = envelope(payload, refused=kind == "error")
            if found:
                raise error_from(None, found)
            if kind == "error":
                raise ServerError(f"The stream reports an error: {excerpt(data)}")
            self._said = lone_message(payload) or self._said
        return self._kept(self.decoder.feed(payload))

    @property
    def answers(self) -> bool:
        """Whether there is an answer in what came."""
        return self.decoder.answered or self.decoder.has_others

    def take(self, payload: dict[str, Any]) -> Delta | None:
        return self._kept(self.decoder.feed(payload))

    def _kept(self, delta: Delta | None) -> Delta | None:
        if delta is None:
            return None
        if delta.replaces:
            return self._thought_ended(delta)
        if self._cutter is not None:
            delta.text = self._cutter.feed(delta.text)
            if not (delta.text or delta.reasoning or delta.tool_calls):
                return None
        self._tries.accumulator.add(delta)
        return delta

    def _thought_ended(self, delta: Delta) -> Delta | None:
        """What was shown as text was a thought that this delta ends: the sum says so, and the stream where it may.

        Where the caller allows no delta to replace others, what was shown stays, and the mark shows where it ends.
        """
        delta.replaces = False
        total = self._tries.accumulator
        shown, end = total.text, delta.reasoning
        self._notes = (_THOUGHT_IN_TEXT,)
        if self._call.reading.cut:
            self._cutter = StopCutter(self._call.reading.cut)
        if not shown:
            return self._kept(delta) if delta.text or delta.reasoning or delta.tool_calls else None
        calls = [ToolCallDelta(at, call.id, call.name, call.arguments) for at, call in enumerate(total.tool_calls)]
        delta.reasoning = total.reasoning + shown + end
        delta.tool_calls = [*calls, *delta.tool_calls]
        delta.replaces = True
        if self._cutter is not None:
            delta.text = self._cutter.feed(delta.text)
        total.add(delta)
        if self._call.reading.may_replace:
            return delta
        return replace(delta, text=f"{end}{THOUGHT_END}\n{delta.text}", reasoning="", tool_calls=(), replaces=False)

    def withdraw(self, error: ContentFilterError) -> list[Delta]:
        """The end of an answer that the platform refused, or withdrew while it streamed."""
        facts = self.decoder.facts
        if error.request_id:
            facts.setdefault("request_id", error.request_id)
        if error.content_filter:
            facts["content_filter"] = error.content_filter
        self.decoder.answered = True
        self.decoder.finish_reason = reason_of(error.code)
        return self.end()

    def end(self) -> list[Delta]:
        """What was held back, and the terminal delta; or the error that the finish reason stands for."""
        call, decoder = self._call, self.decoder
        deltas = [kept for delta in decoder.other() if (kept := self._kept(delta)) is not None]
        if not decoder.answered:
            if self._said is not None:
                raise error_from(None, self._said)
            raise MalformedResponse("The stream ended without an answer in it.")
        if (rest := self._kept(decoder.rest())) is not None:
            deltas.append(rest)
        total = self._tries.accumulator
        nothing = not (total.text or total.reasoning or total.tool_calls or (self._cutter and self._cutter.hit))
        if nothing and decoder.unread and ending_of(decoder.finish_reason) is None:
            raise MalformedResponse(f"The answer has no content that can be read; it has {sorted(decoder.unread)}.")
        last = decoder.finish()
        if self._cutter is not None:
            if tail := self._cutter.finish():
                held = Delta(tail, raw=last.raw)
                self._tries.accumulator.add(held)
                deltas.append(held)
            if self._cutter.hit and ending_of(last.finish_reason) is None:
                last.finish_reason = "stop"
        if decoder.left_in_text:
            self._notes += (_CALLS_IN_TEXT.format(count=decoder.left_in_text),)
        last.attempts = self._tries.attempt
        last.request_id = last.request_id or self._tries.request_id
        last.boxes, clipped = read_boxes(total.text, call.reading.sizes, call.reading.boxes_of)
        last.notes = call.reading.notes + self._notes + clipped
        self._tries.accumulator.add(last)
        self._check_ending(last)
        deltas.append(last)
        return deltas

    def _check_ending(self, last: Delta) -> None:
        """Raises what the finish reason stands for, where it is no success."""
        reason, got = last.finish_reason, self._tries.accumulator
        match ending_of(reason):
            case Ending.BROKEN:
                raise Failure("network_error", f"The server broke off the answer (finish_reason {reason}).")
            case Ending.LOOPED:
                told = got.completion()
                told.attempts, told.usage = self._tries.attempt, self.decoder.usage
                raise MalformedResponse(
                    f"The server stopped an answer that repeats itself (finish_reason {reason}): change the question, "
                    "or the sampling.",
                    partial=told,
                )
            case Ending.WITHDRAWN if self._call.sensitive == "raise":
                raise ContentFilterError(
                    f"The server found the content unsafe and withdrew it (finish_reason {reason}): "
                    "remove what was shown of it.",
                    content_filter=last.content_filter,
                )
            case Ending.FULL if not (got.text or got.reasoning or got.tool_calls):
                raise ContextLengthError(
                    f"The prompt leaves no space for an answer in the model's context window (finish_reason {reason}). "
                    "Shorten the conversation, or send fewer or smaller pictures."
                )


def _reported(said: str | bytes) -> GLMVError:
    """An `error` event whose data is no JSON object -> the error."""
    text = said if isinstance(said, str) else said.decode("utf-8", "replace")
    return error_from(None, Envelope(None, text, None, None))
