"""What the platform cannot be told, it is asked for: `tool_choice` and answers in JSON (ADR-0008).

"tool_choice: only auto is supported" and `response_format` is "text models only" (docs.bigmodel.cn, "对话补全"). So
other choices are written into the system message, the answer is checked, and an answer that does not fit is shown
to the model once, with what is wrong. Servers that obey the fields themselves (`Dialect`) are left alone.

A plan is pure: a client sends `plan.request`, and gives back the answer (`judge`) or its deltas (`show`) until
`plan.done`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from glmv.catalog.lookup import find_model
from glmv.errors import InvalidRequestError, MalformedResponse
from glmv.options import ChatRequest
from glmv.structured.schema import JSONStream, json_in, misfit
from glmv.types import Accumulator, Completion, Delta, Message, Text, ToolCall, Usage
from glmv.wire.dialect import Dialect

_ANY_TOOL = "Call one of your tools now: reply with a tool call and with nothing else."
_ONE_TOOL = "Call the tool {name} now: reply with that tool call and with nothing else."
_JSON = "Reply with a single JSON object and nothing else: no prose, no code fence."
_SCHEMA = "Reply with a single JSON value that conforms to the JSON Schema below, and nothing else.\n{schema}"
_UNLESS_TOOL = " This holds for replies in which you call no tool."
_AGAIN = "Your last reply cannot be used: {problem}. {instruction}"
_NOTHING = "(nothing)"


class Plan:
    """One request, and its answer as it is."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.done = False

    def judge(self, answer: Completion) -> Completion:
        """The answer -> what the caller gets; `done` says whether it stands."""
        self.done = True
        return answer

    def show(self, deltas: Sequence[Delta]) -> Iterable[Delta]:
        """Deltas, at least one -> what the caller gets of them."""
        self.done = deltas[-1].last
        return deltas


class Asked(Plan):
    """A request that asks in words, checks the answer and asks once more."""

    def __init__(
        self,
        request: ChatRequest,
        *,
        instruction: str,
        force: str | None,
        wants: Callable[[str], str] | None,
        one_call: bool,
        array: bool = False,
    ) -> None:
        super().__init__(_instructed(request, instruction) if instruction else request)
        self._instruction = instruction
        self._force = force
        self._wants = wants
        self._one_call = one_call
        self._array = array
        self._asked_again = False
        self._before: Completion | None = None
        self._begin()

    def _begin(self) -> None:
        self._whole = Accumulator()
        self._json = JSONStream(array=self._array) if self._wants else None
        self._held: list[Delta] = []
        self._shown = False

    def judge(self, answer: Completion) -> Completion:
        """The answer, its text reduced to the JSON that was asked for.

        Raises:
            MalformedResponse: when the second answer does not fit either; `partial` is that answer.
        """
        if self._one_call:
            answer = replace(answer, tool_calls=answer.tool_calls[:1])
        text, problem = self._checked(answer)
        if problem is None:
            self.done = True
            return self._summed(replace(answer, text=text))
        self._ask_again(answer, problem)
        return answer

    def show(self, deltas: Sequence[Delta]) -> Iterable[Delta]:
        """What may be shown of deltas."""
        for delta in deltas:
            yield from self._seen(delta)

    def _seen(self, delta: Delta) -> Sequence[Delta]:
        """What may be shown of a delta: text is held back while a tool call is due, prose around JSON is left out."""
        if self._one_call and delta.tool_calls:
            delta = replace(delta, tool_calls=[piece for piece in delta.tool_calls if piece.index == 0])
        self._whole.add(delta)
        if delta.last:
            return self._end(delta)
        if self._json is not None and delta.text:
            delta = replace(delta, text=self._json.feed(delta.text))
        if self._force and not self._whole.tool_calls and delta.text:
            self._held.append(replace(delta, reasoning=""))
            delta = replace(delta, text="")
        if not (delta.text or delta.reasoning or delta.tool_calls):
            return ()
        self._shown = self._shown or bool(delta.text or delta.tool_calls)
        held, self._held = (self._held, []) if delta.tool_calls else ([], self._held)
        return (*held, delta)

    def _end(self, last: Delta) -> Sequence[Delta]:
        answer = self._whole.completion()
        _, problem = self._checked(answer)
        if problem is None:
            self.done = True
            total = self._summed(answer)
            return (replace(last, usage=total.usage, notes=total.notes, attempts=total.attempts),)
        if self._shown:
            self._fail(answer, problem)
        self._ask_again(answer, problem)
        self._begin()
        return ()

    def _checked(self, answer: Completion) -> tuple[str, str | None]:
        """(the text to hand over, what is wrong with the answer or None)"""
        if answer.finish_reason == "sensitive":
            return answer.text, None  # the app judges withdrawn content itself, and asking again brings no other
        if self._force:
            return answer.text, _misfit_call(answer.tool_calls, self._force, self.request.options.get("tools") or ())
        if self._wants is None or answer.tool_calls:
            return answer.text, None
        return _json_of(answer.text, self._wants)

    def _ask_again(self, answer: Completion, problem: str) -> None:
        if self._asked_again:
            self._fail(answer, problem)
        self._asked_again = True
        self._before = answer
        told = _AGAIN.format(problem=problem, instruction=self._instruction)
        self.request = self.request.but(
            messages=(*self.request.messages, *_turn(answer, told)),
            notes=(*self.request.notes, f"The model was asked a second time, since of its first answer {problem}."),
        )

    def _fail(self, answer: Completion, problem: str) -> None:
        attempts = answer.attempts + (self._before.attempts if self._before else 0)
        raise _unfit("a tool call" if self._force else "JSON", problem, answer, attempts)

    def _summed(self, answer: Completion) -> Completion:
        """The answer with the tokens and attempts of both turns: both were paid."""
        before = self._before
        if before is None:
            return answer
        return replace(answer, usage=_sum(before.usage, answer.usage), attempts=before.attempts + answer.attempts)


def plan_for(request: ChatRequest, dialect: Dialect) -> Plan:
    """How a request is met: as it is, or by asking in words what the server has no field for.

    Raises:
        InvalidRequestError: for a `tool_choice` that names no tool, or a `response_format` that is none.
    """
    options = dict(request.options)
    row = find_model(request.model)
    tools = options.get("tools") or []
    choice = _choice(options.pop("tool_choice", None), tools)
    one_call = options.pop("parallel_tool_calls", None) is False and bool(tools)
    wanted = options.get("response_format")
    validate = request.call.get("validate")
    if choice == "none":
        options.pop("tools", None)
        tools, choice = [], None
    force: str | None = None
    if choice == "auto":
        options["tool_choice"] = "auto"
    elif choice is not None and dialect.chooses_tools:
        named = choice != "required"
        options["tool_choice"] = {"type": "function", "function": {"name": choice}} if named else choice
    elif choice is not None:
        force = choice
        if choice != "required":
            options["tools"] = tools = [tool for tool in tools if _name(tool) == choice]
    wants: Callable[[str], str] | None = None
    instruction, array = "", False
    if force:
        instruction = _ANY_TOOL if force == "required" else _ONE_TOOL.format(name=force)
    if wanted is not None and not (wanted.get("type") == "json_schema" and dialect.takes_schema):
        schema = _schema(wanted)
        takes_json = row is not None and row.response_format
        options.pop("response_format")
        if takes_json and wanted.get("type") != "text":
            options["response_format"] = {"type": "json_object"}
        if wanted.get("type") != "text":
            wants = _fits(schema, validate)
            array = isinstance(schema, Mapping) and schema.get("type") == "array"
            if not force:
                instruction = _SCHEMA.format(schema=json.dumps(schema, ensure_ascii=False)) if schema else _JSON
                instruction += _UNLESS_TOOL if tools else ""
    if options != request.options:
        request = request.but(options=options)
    if not (instruction or wants or one_call):
        return Plan(request)
    return Asked(
        request, instruction=instruction, force=force, wants=None if force else wants, one_call=one_call, array=array
    )


def reduced(answer: Completion, wanted: Mapping[str, Any]) -> Completion:
    """An answer for which there is no second turn -> the same, its text reduced to the JSON that was asked for.

    Args:
        wanted: the `response_format` of the request.

    Raises:
        MalformedResponse: when it does not fit; `partial` is the answer.
    """
    text, problem = _json_of(answer.text, _fits(_schema(wanted), None))
    if problem is not None:
        raise _unfit("JSON", problem, answer, answer.attempts)
    return replace(answer, text=text)


def second_turn(error: MalformedResponse) -> tuple[Message, Message]:
    """The answer that an error is about, and what is wrong with it, as messages that may bring a better one.

    A client asks a second time by itself as long as it has shown nothing of the first answer. What a stream has shown
    it does not take back; a caller who can, as one that shows an object while it grows, adds these and asks again.

    Raises:
        MalformedResponse: `error` itself, where there was a second turn already, or one would not help: the answer
            was cut off, withdrawn, or is not there.
    """
    answer = error.partial
    if answer is None or answer.attempts < error.attempts or answer.finish_reason in {None, "length", "sensitive"}:
        raise error
    return _turn(answer, f"{error.message} Reply once more.")


def _turn(answer: Completion, told: str) -> tuple[Message, Message]:
    said = answer.text or "\n".join(call.arguments for call in answer.tool_calls) or _NOTHING
    return Message("assistant", said), Message("user", told)


def _json_of(text: str, wants: Callable[[str], str]) -> tuple[str, str | None]:
    """(the JSON in an answer, what is wrong with it or None)"""
    found = json_in(text)
    if found is None:
        return text, "it holds no JSON" if text.strip() else "it is empty"
    try:
        return wants(found), None
    except ValueError as error:
        return found, str(error)[:1000]


def _unfit(asked: str, problem: str, answer: Completion, attempts: int) -> MalformedResponse:
    cut = " It was cut off by max_tokens: allow more." if answer.finish_reason == "length" else ""
    return MalformedResponse(
        f"The model was asked for {asked} and gave an answer that does not fit: {problem}.{cut}",
        request_id=answer.request_id,
        attempts=attempts,
        partial=answer,
    )


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
                f"{{'type': 'function', 'function': {{'name': ...}}}}; got {choice!r}."
            )
    names = [name for tool in tools if (name := _name(tool))]
    if not names:
        raise InvalidRequestError(f"tool_choice={choice!r} needs tools to choose from; there are none.")
    if found != "required" and found not in names:
        raise InvalidRequestError(f"tool_choice names {found!r}, which is not among the tools {names}.")
    return found


def _name(tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    return str(function.get("name") or "") if isinstance(function, Mapping) else ""


def _schema(wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
    match wanted:
        case {"type": "json_schema", "json_schema": {"schema": Mapping() as schema}}:
            return schema
        case {"type": "json_object" | "text"}:
            return None
        case _:
            raise InvalidRequestError(
                "response_format is {'type': 'json_object'} or {'type': 'json_schema', 'json_schema': "
                f"{{'name': ..., 'schema': {{...}}}}}}; got type {wanted.get('type')!r}."
            )


def _fits(schema: Mapping[str, Any] | None, validate: Callable[[str], Any] | None) -> Callable[[str], str]:
    """A check: the JSON text as it is to be handed over, or ValueError with what is wrong."""

    def check(text: str) -> str:
        if schema is not None and (wrong := misfit(json.loads(text), schema)):
            raise ValueError(wrong)
        if validate is not None:
            validate(text)
        return text

    return check


def _misfit_call(calls: Sequence[ToolCall], force: str, tools: Sequence[Mapping[str, Any]]) -> str | None:
    allowed = {_name(tool): tool for tool in tools}
    if not calls:
        return "it calls no tool"
    for call in calls:
        if call.name not in allowed or (force != "required" and call.name != force):
            return f"it calls {call.name!r}, which is not the tool asked for"
        try:
            arguments = json.loads(call.arguments or "{}")
        except ValueError as error:
            return f"the arguments of {call.name} are not JSON ({error})"
        if not isinstance(arguments, dict):
            return f"the arguments of {call.name} are not a JSON object"
        if wrong := misfit(arguments, allowed[call.name]["function"].get("parameters")):
            return f"in the arguments of {call.name}, {wrong}"
    return None


def _instructed(request: ChatRequest, instruction: str) -> ChatRequest:
    """The instruction at the end of the system message, which the model keeps over all turns."""
    messages = list(request.messages)
    for index, message in enumerate(messages):
        if message.role == "system":
            messages[index] = replace_content(message, (*message.content, Text(f"\n\n{instruction}")))
            break
    else:
        messages.insert(0, Message("system", instruction))
    return request.but(messages=tuple(messages))


def replace_content(message: Message, content: Sequence[Any]) -> Message:
    """A message with other content."""
    return Message(
        message.role,
        content,
        tool_calls=message.tool_calls,
        tool_call_id=message.tool_call_id,
        reasoning=message.reasoning,
    )


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
