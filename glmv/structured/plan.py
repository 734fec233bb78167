"""`tool_choice` and answers in JSON, for servers that have no field for them (ADR-0008).

"tool_choice: only auto is supported" and `response_format` is "text models only" (docs.bigmodel.cn, "对话补全"). So
other choices are written into the system message, the answer is checked, and an answer that does not fit is shown
to the model once, with what is wrong. Servers that obey the fields themselves (`Dialect`) are left alone.

A plan does no I/O. A client sends `plan.request`, and again until `plan.done`: a whole answer goes through `judge`; the
deltas of a stream go through `show`, and the sum of them, which the flow returns, through `end`.
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
# What each delta of a stream tells of its answer.
_OF_EVERY = ("id", "model", "request_id", "created")
_LATER = "JSON that was shown of this answer was a draft: what came later is the answer, and replaces it."
# Options that a server may have no field for.
_ASKED_IN_WORDS = frozenset({"parallel_tool_calls", "tool_choice", "response_format"})


class Plan:
    """One request, and its answer as it is."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.done = False

    def judge(self, answer: Completion) -> Completion:
        """The answer -> what the caller gets; `done` says whether it is final."""
        self.done = True
        return answer

    def show(self, deltas: Sequence[Delta]) -> Iterable[Delta]:
        """Deltas, at least one -> what the caller gets of them."""
        return deltas

    def end(self, answer: Completion) -> Iterable[Delta]:
        """The sum of a stream that has ended -> the deltas that are left for the caller; `done` as in `judge`."""
        self.done = True
        return ()


class RepairPlan(Plan):
    """A request whose answer is checked, and asked for once more when it does not fit.

    What a stream has shown is repaired only where the caller allows a delta to replace it (`may_replace`).

    Args:
        request: the request, with the instruction that asks for what is expected.
        expected: what the answer has to be.
        one_call: whether only the first tool call of an answer is kept.
    """

    def __init__(self, request: ChatRequest, expected: Expected, *, one_call: bool) -> None:
        self._may_replace = bool(request.call.get("may_replace"))
        if not isinstance(expected, AnyAnswer):
            # What turns out to have been a thought is sorted out here, whether or not the caller sees it replaced.
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
        """The answer, its text reduced to the JSON that was asked for.

        The call's `on_misfit` says what becomes of a second answer that does not fit: it is returned with a note and a
        warning in the log where that is "return", or "return_value" and it is JSON, or a call whose arguments are.

        Raises:
            MalformedResponse: when the second answer does not fit either; `partial` is that answer.
        """
        if self._one_call:
            answer = replace(answer, tool_calls=answer.tool_calls[:1])
        text, problem = self._checked(answer)
        if problem is not None:
            if self._ask_again(answer, problem):
                return answer
            if not self._returns(answer):
                raise _unfit(self._expected.what, problem, answer, self._attempts(answer))
            self._misfit = True
            # Without the problem, which may repeat what the model said: that is in the note.
            log.warning(
                "The model was asked for %s. The answer does not fit and is returned with a note (request_id %s).",
                self._expected.what,
                answer.request_id,
            )
            answer = replace(answer, notes=(*answer.notes, _returned(self._expected.what, problem, answer)))
        self.done = True
        return self._summed(replace(answer, text=text))

    def show(self, deltas: Sequence[Delta]) -> Iterable[Delta]:
        """What may be shown: text is held back while a tool call is due, and prose around JSON is left out."""
        for delta in deltas:
            for visible in self._shown_of(delta):
                yield self._marked(visible)

    def end(self, answer: Completion) -> Iterable[Delta]:
        """The last delta of an answer that fits; nothing when there is a second turn. Raises as `judge`."""
        last = self._last
        if self._spoiled:
            problem = "JSON of a draft in its thought was shown, which the server had sent as the answer"
            raise _unfit(self._expected.what, problem, answer, self._attempts(answer))
        told = answer
        answer = self.judge(answer)
        if not self.done:
            self._begin_stream()
            return ()
        assert last is not None, "a flow that returns has handed out its last delta"
        last = replace(last, usage=answer.usage, attempts=answer.attempts, notes=answer.notes)
        seen = "".join(self._told)
        if not self._shown or (self._reduces(answer) and answer.text.startswith(seen)):
            # Also text that was held back, since it is not what was asked for, and is the answer after all.
            rest = answer.text[len(seen) :]
            return [self._marked(delta) for delta in (*((self._like(last, rest),) if rest else ()), last)]
        if not self._reduces(answer):
            return (self._marked(last),)
        if not self._may_replace:
            problem = "a draft was shown, and other JSON follows it"
            raise _unfit(self._expected.what, problem, told, self._attempts(told))
        final = self._like(last, answer.text, answer.reasoning, replaces=True)
        return (final, replace(last, notes=(*last.notes, _LATER)))

    def _reduces(self, answer: Completion) -> bool:
        """Whether the text is the JSON that was asked for, read out of what the server sent."""
        withdrawn = is_withdrawn(answer.finish_reason)
        return self._json is not None and not (self._misfit or answer.tool_calls or withdrawn)

    @staticmethod
    def _like(last: Delta, text: str, reasoning: str = "", *, replaces: bool = False) -> Delta:
        """A delta before the last one, with what every delta of a stream says."""
        return Delta(text, reasoning, replaces=replaces, **{name: getattr(last, name) for name in _OF_EVERY})

    def _begin_stream(self, *, spoiled: bool = False) -> None:
        expected = self._expected
        self._json = expected.stream() if isinstance(expected, JSONExpected) else None
        self._told: list[str] = []  # the text that was shown
        self._call_due = isinstance(expected, ToolCallExpected)
        self._held: list[Delta] = []
        self._last: Delta | None = None
        self._shown = False  # a piece of the answer
        self._thought = False  # a piece of the reasoning, which a second turn may follow in any stream
        self._spoiled = spoiled  # a draft was shown that cannot be replaced

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
        self._told.append(delta.text)
        self._shown = self._shown or bool(delta.text or delta.tool_calls)
        self._thought = self._thought or bool(delta.reasoning)
        held, self._held = (self._held, []) if delta.tool_calls else ([], self._held)
        return (*held, delta)

    def _marked(self, delta: Delta) -> Delta:
        """The delta, with the mark that it replaces what came before where it is the first that does."""
        if not self._replaces:
            return delta
        self._replaces = False
        return replace(delta, replaces=True)

    def _checked(self, answer: Completion) -> tuple[str, str | None]:
        """An answer -> its text as it is handed over, and what is wrong with it or None."""
        if is_withdrawn(answer.finish_reason):
            return answer.text, None  # the app judges withdrawn content itself, and asking again brings no other
        return self._expected.check(answer)

    def _ask_again(self, answer: Completion, problem: str) -> bool:
        """Prepare the second turn; False when there was one already, or it could not replace what was shown."""
        repairable = not self._shown or (self._may_replace and answer.finish_reason not in CUT_OFF)
        if self._first is not None or not repairable:
            return False
        self._first = answer
        self._replaces = self._shown or (self._may_replace and self._thought)
        told = correction(problem, self._expected.instruction)
        self.request = self.request.but(
            messages=(*self.request.messages, *_second_turn(answer, told)),
            notes=(*self.request.notes, f"The model was asked a second time, since of its first answer {problem}."),
        )
        return True

    def _returns(self, answer: Completion) -> bool:
        """Whether the caller gets an answer that does not fit."""
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
        """The answer with the tokens and attempts of both turns: both were paid."""
        first = self._first
        if first is None:
            return answer
        return replace(answer, usage=_sum(first.usage, answer.usage), attempts=first.attempts + answer.attempts)


def plan_for(request: ChatRequest, dialect: Dialect) -> Plan:
    """How a request is met: as it is, or by asking in words what the server has no field for.

    Raises:
        InvalidRequestError: for a `tool_choice` that names no tool, a `response_format` that is none, or a JSON Schema
            where `jsonschema` is not installed.
    """
    if _ASKED_IN_WORDS.isdisjoint(request.options):
        return Plan(request)
    request, expected, one_call = _in_words(request, dialect)
    if expected is None and not one_call:
        return Plan(request)
    expected = expected or AnyAnswer()
    if expected.by_schema:
        need_validator()  # now, and not when the answer is paid for
    return RepairPlan(request, expected, one_call=one_call)


def first_turn(request: ChatRequest, dialect: Dialect) -> ChatRequest:
    """The request alone, where the answer is not checked; arguments and errors as `plan_for`."""
    return _in_words(request, dialect)[0]


def _in_words(request: ChatRequest, dialect: Dialect) -> tuple[ChatRequest, Expected | None, bool]:
    """The request as the server takes it, what its instruction asks for, and whether only one tool call is kept."""
    options = dict(request.options)
    one_call = options.pop("parallel_tool_calls", None) is False and bool(options.get("tools"))
    validate = request.call.get("validate")
    model = validate if isinstance(validate, type) and "response_format" not in options else None
    call = _expected_call(options, dialect, judged=request.call.get("on_misfit") != "return", model=model)
    found = _expected_json(options, request, dialect, asks=call is None)
    expected = call or found
    if options != request.options:
        request = request.but(options=options)
    return _instructed(request, expected.instruction) if expected else request, expected, one_call


def _expected_call(
    options: dict[str, Any], dialect: Dialect, *, judged: bool, model: type[BaseModel] | None
) -> ToolCallExpected | None:
    """Writes `tools` and `tool_choice` as the server takes them; returns the call that has to be asked for in words.

    Args:
        judged: whether its arguments are checked.
        model: a pydantic class that checks the arguments of the tool that is chosen by its name, or None.
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
    """Writes `response_format` as the server takes it; returns the JSON that `asks` says to ask for in words."""
    wanted = options.get("response_format")
    # What kinds there are beside JSON (vLLM's "structural_tag") the server knows.
    if wanted is None or (dialect.takes_json and wanted.get("type") != "text"):
        return None
    schema = _schema(wanted)
    row = request.row
    options.pop("response_format")
    if wanted.get("type") == "text":
        return None
    if row is not None and row.response_format:
        options["response_format"] = {"type": "json_object"}
    if not asks:
        return None
    name = str(wanted.get("json_schema", {}).get("name") or "")
    return JSONExpected(schema, request.call.get("validate"), beside_tools=bool(options.get("tools")), name=name)


def reduced(answer: Completion, wanted: Mapping[str, Any]) -> Completion:
    """An answer for which there is no second turn -> the same, its text reduced to the JSON that was asked for.

    Args:
        wanted: the `response_format` of the request.

    Raises:
        MalformedResponse: when it does not fit; `partial` is the answer.
        InvalidRequestError: for a JSON Schema, when `jsonschema` is not installed.
    """
    text, problem = JSONExpected(_schema(wanted)).check_text(answer.text, cut=answer.finish_reason in CUT_OFF)
    if problem is not None:
        raise _unfit("JSON", problem, answer, answer.attempts)
    return replace(answer, text=text)


def second_turn(error: MalformedResponse) -> tuple[Message, Message]:
    """The answer that an error is about, and what is wrong with it, as messages that may bring a better one.

    A client asks a second time by itself as long as it has shown nothing of the first answer, and with
    `may_replace=True` also after that. This is for a caller that asks again in its own way.

    Args:
        error: what a call raised; its `partial` is the answer.

    Raises:
        MalformedResponse: `error` itself, where there was a second turn already, or one would not help: the answer
            was cut off, withdrawn, or is not there.
    """
    answer = error.partial
    if answer is None or answer.attempts < error.attempts:
        raise error
    if answer.finish_reason in CUT_OFF or is_withdrawn(answer.finish_reason):
        raise error
    return _second_turn(answer, f"{error.message} Reply once more.")


def _second_turn(answer: Completion, told: str) -> tuple[Message, Message]:
    said = answer.text or "\n".join(call.arguments for call in answer.tool_calls) or _NOTHING
    return Message("assistant", said), Message("user", told)


def _unfit(what: str, problem: str, answer: Completion, attempts: int) -> MalformedResponse:
    return MalformedResponse(
        f"The model was asked for {what} and gave an answer that does not fit: {problem}.{_cut_off(answer)}",
        request_id=answer.request_id,
        attempts=attempts,
        partial=answer,
    )


def _returned(what: str, problem: str, answer: Completion) -> str:
    """The note of an answer that does not fit and is handed over."""
    return f"The model was asked for {what}; this answer does not fit: {problem}.{_cut_off(answer)}"


def _cut_off(answer: Completion) -> str:
    return " It was cut off by max_tokens: allow more." if answer.finish_reason == "length" else ""


def _choice(choice: object, tools: Sequence[Mapping[str, Any]]) -> str | None:
    """Every way of saying it -> None, "auto", "none", "required" or the name of a tool."""
    match choice:
        case None | False:
            return None
        case True | "any" | "required":
            found = "required"
        case "auto" | "none":
            return str(choice)
        case str(name) | {"function": {"name": str(name)}} | {"name": str(name)}:
            found = name
        case {"type": "auto" | "none" | "any" | "required" as kind}:
            return _choice(kind, tools)
        case _:
            raise InvalidRequestError(
                "tool_choice is 'auto', 'none', 'required', the name of a tool, or "
                f"{{'type': 'function', 'function': {{'name': ...}}}}; got {shown(choice)}."
            )
    names = [name for tool in tools if (name := name_of(tool))]
    if not names:
        raise InvalidRequestError(f"tool_choice={shown(choice)} needs tools to choose from; there are none.")
    if found != "required" and found not in names:
        raise InvalidRequestError(f"tool_choice names {shown(found)}, which is not among the tools {shown(names)}.")
    return found


def _schema(wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
    match wanted:
        case {"type": "json_schema", "json_schema": {"schema": Mapping() as schema}}:
            return schema
        case {"type": "json_object" | "text"}:
            return None
        case _:
            raise InvalidRequestError(
                "response_format is {'type': 'json_object'} or {'type': 'json_schema', 'json_schema': "
                f"{{'name': ..., 'schema': {{...}}}}}}; got type {shown(wanted.get('type'))}."
            )


def _instructed(request: ChatRequest, instruction: str) -> ChatRequest:
    """The instruction at the end of the system message, which the model keeps over all turns."""
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
