"""Turns the chunks of a stream into the deltas that the caller gets, and adds the deltas up into the whole answer.

The text is cut at stop words. One last delta has the finish reason, the usage, the notes and the like.
"""

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
    "The server sent the reasoning as text: the server needs a reasoning parser (vLLM and SGLang: --reasoning-parser "
    "glm45). With thinking=True a stream separates the reasoning from the text."
)
_CALLS_IN_TEXT = (
    "The server left {count} tool call(s) in the text: the server needs a tool parser (vLLM and SGLang: "
    "--tool-call-parser glm45)."
)
# The most bytes of `[DONE]` in upper or lower case and with spaces around it.
_DONE_BYTES = 32


class Shaper:
    """Makes the deltas of one attempt.

    Args:
        call: the call whose answer is read; its `secrets` are masked in the answer.

    Attributes:
        decoder: reads the chunks.
        total: the answer that this attempt received.
    """

    __slots__ = ("_call", "_cutter", "_lone_message", "_notes", "decoder", "total")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._cutter = StopCutter(call.reading.cut) if call.reading.cut else None
        self._lone_message: Envelope | None = None  # an event with only a message: the error if no answer follows
        self._notes: tuple[str, ...] = ()  # about the server's parsers
        self.decoder = DeltaDecoder(call.reading.thought, call.reading.tools, markup=call.reading.markup)
        self.total = Accumulator()

    def events(self, events: Iterable[Event]) -> tuple[Hand, GLMVError | None]:
        """Returns the deltas of all events before `[DONE]` or the first error, and that error or None."""
        deltas = Hand()
        for kind, data in events:
            if len(data) < _DONE_BYTES and data.strip()[:6].upper() == b"[DONE]":
                self.decoder.ended = True
                break
            try:
                delta = self.event(kind, self._call.secrets.mask(data))
            except GLMVError as error:
                if self.decoder.finished and not isinstance(error, ContentFilterError):
                    continue  # the answer is complete: only its withdrawal matters
                return deltas, error
            if delta is not None:
                deltas.append(delta)
        return deltas, None

    def event(self, kind: str, data: bytes) -> Delta | None:
        """The delta of one event of the stream; None if the event has no content."""
        if not data:
            return None
        try:
            payload = parse(data, "An event of the stream", self._call.secrets)
        except MalformedResponse as problem:
            if kind == "error":
                raise _reported(data) from None
            problem.retryable = True  # probably damaged in transfer
            raise
        if not isinstance(payload, dict):
            if kind == "error":
                raise _reported(payload if isinstance(payload, str) else data)
            if kind != "message":
                return None
            raise MalformedResponse(f"An event of the stream is not a JSON object: {excerpt(data)}", retryable=True)
        # The event itself may have an `error`, or the choice in it.
        if kind == "error" or "choices" not in payload or b'"error"' in data:
            error = envelope(payload, refused=kind == "error")
            if error:
                raise error_from(None, error)
            if kind == "error":
                raise ServerError(f"The stream reports an error: {excerpt(data)}")
            self._lone_message = lone_message(payload) or self._lone_message
        return self._shape(self.decoder.feed(payload))

    @property
    def answers(self) -> bool:
        """Whether any event so far had an item in `choices`."""
        return self.decoder.answered or self.decoder.has_others

    def take(self, payload: dict[str, Any]) -> Delta | None:
        return self._shape(self.decoder.feed(payload))

    def _shape(self, delta: Delta | None) -> Delta | None:
        if delta is None:
            return None
        if delta.replaces:
            return self._thought_ended(delta)
        if self._cutter is not None:
            delta.text = self._cutter.feed(delta.text)
            if not (delta.text or delta.reasoning or delta.tool_calls):
                return None
        self.total.add(delta)
        return delta

    def _thought_ended(self, delta: Delta) -> Delta | None:
        """Moves the text so far into the reasoning, because this delta shows that the text was reasoning.

        If the caller does not accept deltas that replace others, the text stays in the stream, and `</think>` marks its
        end.
        """
        delta.replaces = False
        if self._cutter is not None:
            delta.reasoning = self._cutter.finish() + delta.reasoning  # the text that it held back was reasoning, too
            self._cutter = StopCutter(self._call.reading.cut)
        total = self.total
        text, end = total.text, delta.reasoning
        self._notes = (_THOUGHT_IN_TEXT,)
        if not text:
            return self._shape(delta) if delta.text or delta.reasoning or delta.tool_calls else None
        calls = [ToolCallDelta(at, call.id, call.name, call.arguments) for at, call in enumerate(total.tool_calls)]
        delta.reasoning = total.reasoning + text + end
        delta.tool_calls = [*calls, *delta.tool_calls]
        delta.replaces = True
        if self._cutter is not None:
            delta.text = self._cutter.feed(delta.text)
        total.add(delta)
        if self._call.reading.may_replace:
            return delta
        return replace(delta, text=f"{end}{THOUGHT_END}\n{delta.text}", reasoning="", tool_calls=(), replaces=False)

    def withdraw(self, error: ContentFilterError, tries: Tries) -> list[Delta]:
        """The last deltas of an answer that the platform refused or withdrew."""
        facts = self.decoder.facts
        facts.setdefault("request_id", error.request_id)
        if error.content_filter:
            facts["content_filter"] = error.content_filter
        self.decoder.answered = True
        self.decoder.finish_reason = reason_of(error.code)
        return self.end(tries)

    def end(self, tries: Tries) -> list[Delta]:
        """The text that was held back, and the last delta. Raises the error that the finish reason means, if any.

        `tries` has the number and the request id of this attempt. `tries` is a parameter, not an attribute, because it
        refers to this object.
        """
        call, decoder = self._call, self.decoder
        deltas = [shaped for delta in decoder.other() if (shaped := self._shape(delta)) is not None]
        if not decoder.answered:
            if self._lone_message is not None:
                raise error_from(None, self._lone_message)
            raise MalformedResponse("The stream ended without an answer.")
        if (rest := self._shape(decoder.rest())) is not None:
            deltas.append(rest)
        total = self.total
        nothing = not (total.text or total.reasoning or total.tool_calls or (self._cutter and self._cutter.hit))
        if nothing and decoder.unread and ending_of(decoder.finish_reason) is None:
            raise MalformedResponse(f"The answer has no readable content; its fields are {sorted(decoder.unread)}.")
        last = decoder.finish()
        if self._cutter is not None:
            if tail := self._cutter.finish():
                tail_delta = Delta(tail, raw=last.raw)
                self.total.add(tail_delta)
                deltas.append(tail_delta)
            if self._cutter.hit and ending_of(last.finish_reason) is None:
                last.finish_reason = "stop"
        if decoder.left_in_text:
            self._notes += (_CALLS_IN_TEXT.format(count=decoder.left_in_text),)
        last.attempts = tries.attempt
        last.request_id = last.request_id or tries.request_id
        last.boxes, clipped = read_boxes(total.text, call.reading.sizes, call.reading.boxes_of)
        last.notes = call.reading.notes + self._notes + clipped
        self.total.add(last)
        self._check_ending(last, tries.attempt)
        deltas.append(last)
        return deltas

    def _check_ending(self, last: Delta, attempts: int) -> None:
        """Raises the error that the finish reason means, unless it is a success."""
        reason, total = last.finish_reason, self.total
        nothing = not (total.text or total.reasoning or total.tool_calls)
        match ending_of(reason):
            case Ending.BROKEN:
                raise Failure(
                    "network_error", f"The server stopped in the middle of the answer (finish_reason {reason})."
                )
            case Ending.LOOPED:
                partial = total.completion()
                partial.attempts, partial.usage = attempts, self.decoder.usage
                raise MalformedResponse(
                    f"The server stopped the answer because the text repeats itself (finish_reason {reason}): change "
                    "the prompt, or temperature and top_p.",
                    partial=partial,
                )
            case Ending.WITHDRAWN if self._call.sensitive == "raise":
                raise ContentFilterError(
                    f"The server flagged the content and withdrew it (finish_reason {reason}): "
                    "remove the part of the answer that was shown.",
                    content_filter=last.content_filter,
                )
            case Ending.FULL if nothing:
                raise ContextLengthError(
                    f"The prompt leaves no space for an answer in the model's context window (finish_reason {reason}). "
                    "Shorten the conversation, or send fewer or smaller pictures."
                )
            case None if nothing and reason == "length" and last.usage and last.usage.completion_tokens == 0:
                # LMDeploy, if the prompt and `max_tokens` are longer than its session_len.
                raise ContextLengthError(
                    "The server wrote no token (finish_reason length): the prompt and max_tokens leave no space in the "
                    "model's context window. Shorten the conversation, send fewer or smaller pictures, or lower "
                    "max_tokens."
                )


def _reported(data: str | bytes) -> GLMVError:
    """Returns the error for an `error` event whose data is not a JSON object."""
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    return error_from(None, Envelope(None, text, None, None))
