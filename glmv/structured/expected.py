"""What an answer has to be where the server has no field to say it: the words that ask for it, and its check."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from glmv.structured.reading import json_in, read_json, shape_of
from glmv.structured.scanner import JSONStream
from glmv.structured.schema import misfit
from glmv.types import Completion, ToolCall

# Without colons: a text of the form `name: value` is data to who fills a schema by names, as the emulator does.
_ANY_TOOL = "Call one of the tools {names} now. Reply with a tool call and with nothing else."
_ONE_TOOL = "Call the tool {name} now. Reply with that tool call and with nothing else."
_JSON = (
    "Reply with a single JSON object and nothing else, without prose and without a code fence. "
    'Any object that conforms to the JSON Schema {"type": "object"} will do.'
)
_SCHEMA = "Reply with a single JSON value that conforms to the JSON Schema below, and nothing else.\n{schema}"
_UNLESS_TOOL = " This holds for replies in which you call no tool."
_AGAIN = "Your last reply cannot be used, since {problem}. {instruction}"
# Finish reasons of an answer that a limit ended, or that did not end.
CUT_OFF = (None, "length", "model_context_window_exceeded")
# Characters of a problem that the model is shown.
_MOST_OF_PROBLEM = 1000


class Expected(Protocol):
    """What an answer has to be.

    Attributes:
        what: its name, for errors.
        instruction: the words that ask for it; "" when none are needed.
        by_schema: whether its check judges by a JSON Schema.
    """

    what: str
    instruction: str
    by_schema: bool

    def check(self, answer: Completion) -> tuple[str, str | None]:
        """An answer -> its text as it is handed over, and what is wrong with it or None."""

    def has_value(self, answer: Completion) -> bool:
        """Whether an answer that does not fit is what was asked for in kind: JSON, or calls whose arguments are."""


class AnyAnswer:
    """Nothing is expected: every answer will do."""

    what = "an answer"
    instruction = ""
    by_schema = False

    def check(self, answer: Completion) -> tuple[str, str | None]:
        return answer.text, None

    def has_value(self, answer: Completion) -> bool:
        return True


class ToolCallExpected:
    """A call of one of the tools, with arguments that fit its JSON Schema.

    Args:
        tools: the tools that may be called, at least one.
        name: the tool that the instruction names, or None for any: it names them all then.
        judged: False leaves the arguments to the caller: any call of one of the tools that no limit has cut is one.
        model: a pydantic class that judges the arguments in place of the schema, or None.
    """

    what = "a tool call"

    def __init__(
        self,
        tools: Sequence[Mapping[str, Any]],
        name: str | None,
        *,
        judged: bool = True,
        model: type[BaseModel] | None = None,
    ) -> None:
        self._judged = judged
        self._read = _reader(model)
        self._schemas = {name_of(tool): tool["function"].get("parameters") for tool in tools if name_of(tool)}
        names = ", ".join(self._schemas)
        self.instruction = _ANY_TOOL.format(names=names) if name is None else _ONE_TOOL.format(name=name)
        self.by_schema = judged and self._read is None and any(self._schemas.values())

    def check(self, answer: Completion) -> tuple[str, str | None]:
        if not answer.tool_calls:
            return answer.text, "it calls no tool"
        if not self._judged:
            if all(call.name not in self._schemas for call in answer.tool_calls):
                return answer.text, self._problem(answer.tool_calls[0])
            cut = answer.finish_reason in CUT_OFF and not self.has_value(answer)
            return answer.text, "its tool call is cut off" if cut else None
        return answer.text, next((problem for call in answer.tool_calls if (problem := self._problem(call))), None)

    def has_value(self, answer: Completion) -> bool:
        return bool(answer.tool_calls) and all(_is_object(call.arguments or "{}") for call in answer.tool_calls)

    def _problem(self, call: ToolCall) -> str | None:
        if call.name not in self._schemas:
            return f"it calls {call.name!r}, which is none of {', '.join(self._schemas)}"
        try:
            arguments = json.loads(call.arguments or "{}")
        except ValueError as error:
            return f"the arguments of {call.name} are not JSON ({error})"
        if not isinstance(arguments, dict):
            return f"the arguments of {call.name} are not a JSON object"
        if self._read is not None:
            return _refusal(self._read, call)
        schema = self._schemas[call.name]
        wrong = misfit(arguments, schema) if schema else None
        return f"in the arguments of {call.name}, {wrong}" if wrong else None


def _reader(judge: object) -> Callable[[str], object] | None:
    """What reads JSON as a pydantic class, of version 1 or 2, does; None for what is no such class."""
    if not isinstance(judge, type):
        return None
    return getattr(judge, "model_validate_json", None) or getattr(judge, "parse_raw", None)


def _refusal(read: Callable[[str], object], call: ToolCall) -> str | None:
    """What a pydantic class has against the arguments of a call."""
    try:
        read(call.arguments or "{}")
    except ValueError as error:
        return f"in the arguments of {call.name}, {str(error)[:_MOST_OF_PROBLEM]}"
    return None


class JSONExpected:
    """JSON that fits a schema and the caller's own check.

    Args:
        schema: the JSON Schema that the instruction shows; None asks for any object, `{"type": "object"}`.
        validate: a pydantic class, which judges in place of the schema; a function that raises ValueError for text
            that will not do, beside the schema; or None.
        beside_tools: whether a tool call is an answer, too.
        name: what the request calls the JSON; an object around it may have that name.
    """

    what = "JSON"

    def __init__(
        self,
        schema: Mapping[str, Any] | None,
        validate: type[BaseModel] | Callable[[str], object] | None = None,
        *,
        beside_tools: bool = False,
        name: str = "",
    ) -> None:
        self.instruction = _SCHEMA.format(schema=json.dumps(schema, ensure_ascii=False)) if schema else _JSON
        self.instruction += _UNLESS_TOOL if beside_tools else ""
        reader = _reader(validate)
        self._schema = None if reader else schema
        self._validate: Callable[[str], object] | None = reader or validate
        names = {*getattr(validate, "model_fields", ())} if reader else set()
        self.by_schema = bool(self._schema)
        self._shape = shape_of(schema, names, name)

    def stream(self) -> JSONStream:
        """What of a streamed answer may be shown as it comes."""
        return JSONStream(array=self._shape.array is True, names=self._shape.names)

    def check(self, answer: Completion) -> tuple[str, str | None]:
        if answer.tool_calls:
            return answer.text, None
        return self.check_text(answer.text, cut=answer.finish_reason in CUT_OFF)

    def has_value(self, answer: Completion) -> bool:
        return bool(answer.tool_calls) or json_in(answer.text) is not None

    def check_text(self, text: str, *, cut: bool = False) -> tuple[str, str | None]:
        """An answer's text -> the JSON in it, and what is wrong with it or None.

        Args:
            text: the text.
            cut: whether a limit ended it; then it must not end inside a value.

        Returns:
            The text as it is where there is no JSON, or the text ends inside it.
        """
        found = read_json(text, self._problem, self._shape)
        if cut and found.unfinished:
            return text, "it ends in the middle of its JSON"
        return found.text or found.misfit or text, found.problem

    def _problem(self, found: str) -> str | None:
        if self._schema and (wrong := misfit(json.loads(found), self._schema)):
            return wrong[:_MOST_OF_PROBLEM]
        try:
            if self._validate is not None:
                self._validate(found)
        except ValueError as error:
            return str(error)[:_MOST_OF_PROBLEM]
        return None


def correction(problem: str, instruction: str) -> str:
    """What the model is told of an answer that does not fit."""
    return _AGAIN.format(problem=problem, instruction=instruction)


def name_of(tool: Mapping[str, Any]) -> str:
    """The name of a function among the tools; "" for a tool of another kind."""
    function = tool.get("function")
    return str(function.get("name") or "") if isinstance(function, Mapping) else ""


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except ValueError:
        return False
