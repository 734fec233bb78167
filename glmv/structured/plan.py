"""Emulates `tool_choice` and JSON output for servers without a field for them (ADR-0008).

The platform supports only "auto" as `tool_choice`, and `response_format` for "text models only" (docs.bigmodel.cn,
"对话补全"). So the system message gets an instruction, and the answer is checked. If the answer does not fit, GLM is
told the problem and asked once more. Servers that support the fields themselves (`Dialect`) get the fields and no
instruction; their answers are checked only if a pydantic class was given for the JSON.

A plan does no I/O. A client sends `plan.request` until `plan.done`. Without a stream, it passes the answer to `judge`.
With a stream, it passes the deltas to `show`, and then the whole answer, which the flow returns, to `end`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from glmv.errors import InvalidRequestError, MalformedResponse
from glmv.media.text import shown
from glmv.options import ChatRequest
from glmv.structured.expected import (
    CUT_OFF,
    AnyAnswer,
    Expected,
    JSONExpected,
    ToolCallExpected,
    correction,
    name_of,
)
from glmv.structured.schema import need_validator
from glmv.types import Completion, Delta, Message, Text, Usage
from glmv.wire.dialect import Dialect
from glmv.wire.finish_reasons import is_withdrawn

log = logging.getLogger("glmv")

_NOTHING = "(nothing)"
# The facts in each delta of a stream.
_OF_EVERY = ("id", "model", "request_id", "created")
_LATER = "The stream first showed the JSON of a draft; the final JSON replaces it."
# Options that some servers do not have.
_ASKED_IN_WORDS = frozenset({"parallel_tool_calls", "tool_choice", "response_format"})


class Plan:
    """A single request whose answer is not checked."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.done = False

    def judge(self, answer: Completion) -> Completion:
        """The answer for the caller. Afterwards `done` says whether it is final."""
        self.done = True
        return answer

    def show(self, deltas: Sequence[Delta]) -> Iterable[Delta]:
        """Takes the next deltas of the stream (at least one). Returns the deltas for the caller."""
        return deltas

    def end(self, answer: Completion) -> Iterable[Delta]:
        """The last deltas for the caller, from the whole answer of a finished stream. Sets `done` like `judge`."""
        self.done = True
        return ()


class RepairPlan(Plan):
    """A request whose answer is checked; if the answer does not fit, the model is asked a second time.

    If a stream has already shown a part of the answer, the model is asked again only if `may_replace` allows it.

    Args:
        request: the request, with the instruction for the expected answer.
        expected: the expected answer.
        one_call: whether only the first tool call of an answer is kept.
    """

    def __init__(self, request: ChatRequest, expected: Expected, *, one_call: bool) -> None:
        self._may_replace = bool(request.call.get("may_replace"))
        if not isinstance(expected, AnyAnswer):
            # This class handles text that was reasoning, whether or not the caller accepts replacing deltas.
            request = request.but(call={**request.call, "may_replace": True})
        super().__init__(request)
        self._on_misfit = request.call.get("on_misfit") or "raise"
        self._expected = expected
        self._one_call = one_call
        self._first: Completion | None = None  # the answer that did not fit, once there is a second turn
        self._replaces = False
        self._misfit = False  # the answer is returned although it does not fit
        self._begin_stream()

    def judge(self, answer: Completion) -> Completion:
        """The answer, with its text reduced to the requested JSON.

        If the second answer does not fit either, `on_misfit` of the request decides. "return" returns this answer, with
        a note and a warning in the log. "return_value" does so only for JSON, or for calls with JSON arguments.

        Raises:
            MalformedResponse: the second answer does not fit either; `partial` is that answer.
        """
        if self._one_call:
            answer = replace(answer, tool_calls=answer.tool_calls[:1])
        text, problem = self._check(answer)
        if problem is not None:
            if self._ask_again(answer, problem):
                return answer
            if not self._returns(answer):
                raise _unfit(self._expected.what, problem, answer, self._attempts(answer))
            self._misfit = True
            # Without the problem, which may quote the answer: the note has it.
            log.warning(
                "The model was asked for %s. The answer does not fit and is returned with a note (request_id %s).",
                self._expected.what,
                answer.request_id,
            )
            answer = replace(answer, notes=(*answer.notes, _returned(self._expected.what, problem, answer)))
        self.done = True
        return self._summed(replace(answer, text=text))

    def show(self, deltas: Sequence[Delta]) -> Iterable[Delta]:
        """The deltas to show: text is held back while a tool call is expected, and prose around JSON is removed."""
        for delta in deltas:
            for visible in self._shown_of(delta):
                yield self._marked(visible)

    def end(self, answer: Completion) -> Iterable[Delta]:
        """The last deltas of an answer that fits; none if the model is asked again. Raises the errors of `judge`."""
        last = self._last
        if self._spoiled:
            problem = "the stream has shown JSON of the reasoning, because the server sent the reasoning as text"
            raise _unfit(self._expected.what, problem, answer, self._attempts(answer))
        stream_answer = answer
        answer = self.judge(answer)
        if not self.done:
            self._begin_stream()
            return ()
        assert last is not None, "a flow that returns has yielded its last delta"
        last = replace(last, usage=answer.usage, attempts=answer.attempts, notes=answer.notes)
        shown_text = "".join(self._texts)
        if not self._shown or (self._reduces(answer) and answer.text.startswith(shown_text)):
            # Also text that was held back because it is not the requested kind, but is the answer.
            rest = answer.text[len(shown_text) :]
            return [self._marked(delta) for delta in (*((self._like(last, rest),) if rest else ()), last)]
        if not self._reduces(answer):
            return (self._marked(last),)
        if not self._may_replace:
            problem = "the stream has shown the JSON of a draft, and other JSON follows"
            raise _unfit(self._expected.what, problem, stream_answer, self._attempts(stream_answer))
        final = self._like(last, answer.text, answer.reasoning, replaces=True)
        return (final, replace(last, notes=(*last.notes, _LATER)))

    def _reduces(self, answer: Completion) -> bool:
        """Whether the text of the answer was reduced to the requested JSON."""
        withdrawn = is_withdrawn(answer.finish_reason)
        return self._json is not None and not (self._misfit or answer.tool_calls or withdrawn)

    @staticmethod
    def _like(last: Delta, text: str, reasoning: str = "", *, replaces: bool = False) -> Delta:
        """A new delta to show before the last one, with the same ids, model and time as all deltas of the stream."""
        return Delta(text, reasoning, replaces=replaces, **{name: getattr(last, name) for name in _OF_EVERY})

    def _begin_stream(self, *, spoiled: bool = False) -> None:
        expected = self._expected
        self._json = expected.stream() if isinstance(expected, JSONExpected) else None
        self._texts: list[str] = []  # the text that was shown
        self._call_due = isinstance(expected, ToolCallExpected)
        self._held: list[Delta] = []
        self._last: Delta | None = None
        self._shown = False  # whether a part of the answer was shown
        self._thought = False  # whether reasoning was shown, after which a second turn is always possible
        self._spoiled = spoiled  # whether a draft was shown that cannot be replaced

    def _shown_of(self, delta: Delta) -> Sequence[Delta]:
        if delta.last:
            self._last = delta
            return ()
        if delta.replaces:
            if self._shown and not self._may_replace:
                self._spoiled = True
            delta = replace(delta, replaces=self._shown)
            self._begin_stream(spoiled=self._spoiled)
        if self._spoiled:
            return ()
        if self._one_call and delta.tool_calls:
            delta = replace(delta, tool_calls=[piece for piece in delta.tool_calls if piece.index == 0])
        if self._json is not None and delta.text:
            delta = replace(delta, text=self._json.feed(delta.text))
        self._call_due = self._call_due and not delta.tool_calls
        if self._call_due and delta.text:
            self._held.append(replace(delta, reasoning=""))
            delta = replace(delta, text="")
        if not (delta.text or delta.reasoning or delta.tool_calls):
            return ()
        self._texts.append(delta.text)
        self._shown = self._shown or bool(delta.text or delta.tool_calls)
        self._thought = self._thought or bool(delta.reasoning)
        held, self._held = (self._held, []) if delta.tool_calls else ([], self._held)
        return (*held, delta)

    def _marked(self, delta: Delta) -> Delta:
        """The delta, with `replaces=True` if it is the first one of the second answer."""
        if not self._replaces:
            return delta
        self._replaces = False
        return replace(delta, replaces=True)

    def _check(self, answer: Completion) -> tuple[str, str | None]:
        """The text for the caller, and the problem: None if the answer fits or was withdrawn."""
        if is_withdrawn(answer.finish_reason):
            return answer.text, None  # the application handles withdrawn content, and asking again does not help
        return self._expected.check(answer)

    def _ask_again(self, answer: Completion, problem: str) -> bool:
        """Prepare the second turn, unless this is the second turn already, or the text shown so far cannot be replaced.

        Returns:
            Whether there will be a second turn.
        """
        repairable = not self._shown or (self._may_replace and answer.finish_reason not in CUT_OFF)
        if self._first is not None or not repairable:
            return False
        self._first = answer
        self._replaces = self._shown or (self._may_replace and self._thought)
        message = correction(problem, self._expected.instruction)
        self.request = self.request.but(
            messages=(*self.request.messages, *_second_turn(answer, message)),
            notes=(
                *self.request.notes,
                f"The model was asked a second time. The problem with its first answer: {problem}.",
            ),
        )
        return True

    def _returns(self, answer: Completion) -> bool:
        """Whether to return an answer that does not fit."""
        match self._on_misfit:
            case "return":
                return True
            case "return_value":
                return self._expected.has_value(answer)
            case _:
                return False

    def _attempts(self, answer: Completion) -> int:
        return answer.attempts + (self._first.attempts if self._first else 0)

    def _summed(self, answer: Completion) -> Completion:
        """The answer with the tokens and attempts of both turns, because both are billed."""
        first = self._first
        if first is None:
            return answer
        return replace(answer, usage=_sum(first.usage, answer.usage), attempts=first.attempts + answer.attempts)


def plan_for(request: ChatRequest, dialect: Dialect) -> Plan:
    """The plan for a request. In the request, an instruction replaces features that the server does not have.

    Raises:
        InvalidRequestError: `tool_choice` does not name a tool, `response_format` is invalid, or there is a JSON Schema
            and `jsonschema` is not installed.
    """
    if _ASKED_IN_WORDS.isdisjoint(request.options):
        return Plan(request)
    request, expected, one_call = _in_words(request, dialect)
    if expected is None and not one_call:
        return Plan(request)
    expected = expected or AnyAnswer()
    if expected.by_schema:
        need_validator()  # raise before the request, not after a billed answer
    return RepairPlan(request, expected, one_call=one_call)


def first_turn(request: ChatRequest, dialect: Dialect) -> ChatRequest:
    """The first request of a plan, for callers that do not check the answer, and so do not need `jsonschema`."""
    return _in_words(request, dialect)[0]


def _in_words(request: ChatRequest, dialect: Dialect) -> tuple[ChatRequest, Expected | None, bool]:
    """The request for the server, the expected answer (None: no check), and whether to keep only one tool call."""
    options = dict(request.options)
    one_call = options.pop("parallel_tool_calls", None) is False and bool(options.get("tools"))
    validate = request.call.get("validate")
    model = validate if isinstance(validate, type) and "response_format" not in options else None
    call = _expected_call(options, dialect, judged=request.call.get("on_misfit") != "return", model=model)
    json = _expected_json(options, request, dialect, asks=call is None)
    expected = call or json
    if options != request.options:
        request = request.but(options=options)
    if expected and expected.instruction:
        request = _instructed(request, expected.instruction)
    return request, expected, one_call


def _expected_call(
    options: dict[str, Any], dialect: Dialect, *, judged: bool, model: type[BaseModel] | None
) -> ToolCallExpected | None:
    """Sets `tools` and `tool_choice` for the server; returns the tool call for which the prompt must ask, or None.

    Args:
        judged: whether its arguments are checked.
        model: a pydantic class that checks the arguments if `tool_choice` is the name of a tool, or None.
    """
    tools = options.get("tools") or []
    match _choice(options.pop("tool_choice", None), tools):
        case None:
            return None
        case "none":
            options.pop("tools", None)
            return None
        case "auto":
            options["tool_choice"] = "auto"
            return None
        case "required" if dialect.chooses_tools != "no":
            options["tool_choice"] = "required"
            return None
        case name if dialect.chooses_tools == "name":
            options["tool_choice"] = {"type": "function", "function": {"name": name}}
            return None
        case name if dialect.chooses_tools == "required":
            options["tools"] = [tool for tool in tools if name_of(tool) == name]
            options["tool_choice"] = "required"
            return None
        case "required":
            return ToolCallExpected(tools, None, judged=judged)
        case name:
            options["tools"] = [tool for tool in tools if name_of(tool) == name]
            return ToolCallExpected(options["tools"], name, judged=judged, model=model)


def _expected_json(
    options: dict[str, Any], request: ChatRequest, dialect: Dialect, *, asks: bool
) -> JSONExpected | None:
    """Sets `response_format` for the server; returns the JSON to expect, or None.

    With `asks=False` it returns None.
    """
    wanted = options.get("response_format")
    validate = request.call.get("validate")
    # Other types than JSON (vLLM's "structural_tag") are passed to servers that support `response_format`.
    if wanted is None or (dialect.takes_json and wanted.get("type") != "text"):
        # Not every model and provider behind such a server keeps to the field, so a class checks the answer.
        if not (
            asks and isinstance(validate, type) and wanted and wanted.get("type") in ("json_schema", "json_object")
        ):
            return None
        return JSONExpected(_schema(wanted), validate, name=_name(wanted), asked=False)
    schema = _schema(wanted)
    row = request.row
    options.pop("response_format")
    if wanted.get("type") == "text":
        return None
    if row is not None and row.response_format:
        options["response_format"] = {"type": "json_object"}
    if not asks:
        return None
    return JSONExpected(schema, validate, beside_tools=bool(options.get("tools")), name=_name(wanted))


def _name(wanted: Mapping[str, Any]) -> str:
    """The name of the JSON in a `response_format`, or ""."""
    return str((wanted.get("json_schema") or {}).get("name") or "")


def reduced(answer: Completion, wanted: Mapping[str, Any]) -> Completion:
    """An answer -> the answer with its text reduced to the requested JSON, without a second turn.

    Args:
        answer: the answer.
        wanted: the `response_format` of the request.

    Raises:
        MalformedResponse: the answer does not fit; it is in `partial`.
        InvalidRequestError: there is a JSON Schema and `jsonschema` is not installed.
    """
    text, problem = JSONExpected(_schema(wanted)).check_text(answer.text, cut=answer.finish_reason in CUT_OFF)
    if problem is not None:
        raise _unfit("JSON", problem, answer, answer.attempts)
    return replace(answer, text=text)


def second_turn(error: MalformedResponse) -> tuple[Message, Message]:
    """The messages for a second turn: the answer that an error is about, and the problem with it.

    A client asks a second time by itself if it has not shown any part of the first answer, or if `may_replace=True`
    lets it replace that part. This function is for callers that ask again themselves.

    Args:
        error: the error of a call; its `partial` is the answer.

    Raises:
        MalformedResponse: `error` itself, if there was a second turn already, or if another turn cannot help
            because the answer was cut off, was withdrawn or is missing.
    """
    answer = error.partial
    if answer is None or answer.attempts < error.attempts:
        raise error
    if answer.finish_reason in CUT_OFF or is_withdrawn(answer.finish_reason):
        raise error
    return _second_turn(answer, f"{error.message} Reply once more.")


def _second_turn(answer: Completion, correction_text: str) -> tuple[Message, Message]:
    answer_text = answer.text or "\n".join(call.arguments for call in answer.tool_calls) or _NOTHING
    return Message("assistant", answer_text), Message("user", correction_text)


def _unfit(what: str, problem: str, answer: Completion, attempts: int) -> MalformedResponse:
    return MalformedResponse(
        f"The model was asked for {what}, but its answer does not fit: {problem}.{_cut_off(answer)}",
        request_id=answer.request_id,
        attempts=attempts,
        partial=answer,
    )


def _returned(what: str, problem: str, answer: Completion) -> str:
    """The note on an answer that is returned although it does not fit."""
    return f"The model was asked for {what}; this answer does not fit: {problem}.{_cut_off(answer)}"


def _cut_off(answer: Completion) -> str:
    return " The answer was cut off by max_tokens: raise that limit." if answer.finish_reason == "length" else ""


def _choice(choice: object, tools: Sequence[Mapping[str, Any]]) -> str | None:
    """Any form of `tool_choice` -> None, "auto", "none", "required" or the name of a tool."""
    match choice:
        case None | False:
            return None
        case True | "any" | "required":
            chosen = "required"
        case "auto" | "none":
            return str(choice)
        case str(name) | {"function": {"name": str(name)}} | {"name": str(name)}:
            chosen = name
        case {"type": "auto" | "none" | "any" | "required" as kind}:
            return _choice(kind, tools)
        case _:
            raise InvalidRequestError(
                "tool_choice takes 'auto', 'none', 'required', the name of a tool, or "
                f"{{'type': 'function', 'function': {{'name': ...}}}}; got {shown(choice)}."
            )
    names = [name for tool in tools if (name := name_of(tool))]
    if not names:
        raise InvalidRequestError(f"tool_choice={shown(choice)} needs tools; the request has none.")
    if chosen != "required" and chosen not in names:
        raise InvalidRequestError(f"tool_choice names {shown(chosen)}, which is not among the tools {shown(names)}.")
    return chosen


def _schema(wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
    match wanted:
        case {"type": "json_schema", "json_schema": {"schema": Mapping() as schema}}:
            return schema
        case {"type": "json_object" | "text"}:
            return None
        case _:
            raise InvalidRequestError(
                "response_format takes {'type': 'json_object'} or {'type': 'json_schema', 'json_schema': "
                f"{{'name': ..., 'schema': {{...}}}}}}; got type {shown(wanted.get('type'))}."
            )


def _instructed(request: ChatRequest, instruction: str) -> ChatRequest:
    """The request with the instruction at the end of the system message, because this message applies to all turns."""
    messages = list(request.messages)
    for index, message in enumerate(messages):
        if message.role == "system":
            messages[index] = replace(message, content=(*message.content, Text(f"\n\n{instruction}")))
            break
    else:
        messages.insert(0, Message("system", instruction))
    return request.but(messages=tuple(messages))


def _sum(first: Usage | None, second: Usage | None) -> Usage | None:
    if first is None or second is None:
        return first or second

    def both(name: str) -> int | None:
        counts = [getattr(usage, name) for usage in (first, second) if getattr(usage, name) is not None]
        return sum(counts) if counts else None

    return Usage(
        first.prompt_tokens + second.prompt_tokens,
        first.completion_tokens + second.completion_tokens,
        first.total_tokens + second.total_tokens,
        both("cached_tokens"),
        both("reasoning_tokens"),
    )
