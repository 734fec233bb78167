"""The instruction that asks the model for JSON or a tool call, and the check of the answer.

The instruction is for servers without a request field for this.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from glmv.errors import InvalidRequestError
from glmv.structured.reading import json_in, read_json, shape_of
from glmv.structured.scanner import JSONStream
from glmv.structured.schema import misfit
from glmv.types import Completion, ToolCall

# Without colons: the emulator reads a text of the form `name: value` as data for a schema.
_ANY_TOOL = "Call one of the tools {names} now. Reply with a tool call and with nothing else."
_ONE_TOOL = "Call the tool {name} now. Reply with that tool call and with nothing else."
_JSON = (
    "Reply with a single JSON object and nothing else, without prose and without a code fence. "
    'Any object that conforms to the JSON Schema {"type": "object"} will do.'
)
_SCHEMA = "Reply with a single JSON value that conforms to the JSON Schema below, and nothing else.\n{schema}"
_UNLESS_TOOL = " This holds for replies in which you call no tool."
_AGAIN = "Your last reply cannot be used, since {problem}. {instruction}"
# Finish reasons of an answer that a limit cut off, or that has no end.
CUT_OFF = (None, "length", "model_context_window_exceeded")
# The most characters of a problem in the message for the model.
_MOST_OF_PROBLEM = 1000


class Expected(Protocol):
    """An expected kind of answer.

    Attributes:
        what: its name, for errors.
        instruction: the text that asks the model for it, or "".
        by_schema: whether the check uses a JSON Schema.
    """

    what: str
    instruction: str
    by_schema: bool

    def check(self, answer: Completion) -> tuple[str, str | None]:
        """Checks an answer. Returns the text for the caller, and the problem: None if the answer fits."""

    def has_value(self, answer: Completion) -> bool:
        """Whether an answer that does not fit is of the right kind: JSON, or calls with JSON objects as arguments."""


class AnyAnswer:
    """Accepts every answer."""

    what = ""
    instruction = ""
    by_schema = False

    def check(self, answer: Completion) -> tuple[str, str | None]:
        return answer.text, None

    def has_value(self, answer: Completion) -> bool:
        return True


class ToolCallExpected:
    """A call of one of the tools, with arguments that fit this tool's JSON Schema.

    Args:
        tools: the tools that may be called, at least one.
        name: the tool that must be called; None accepts any, and the instruction names all.
        judged: whether arguments are checked; if not, a call of one of the tools is accepted unless it is cut off.
        model: a pydantic class that checks the arguments instead of the schema, or None.
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
            return f"it calls {call.name!r}, which is not one of {', '.join(self._schemas)}"
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
    """The method of a pydantic class (version 1 or 2) that reads JSON; None for anything else."""
    if not isinstance(judge, type):
        return None
    return getattr(judge, "model_validate_json", None) or getattr(judge, "parse_raw", None)


def _refusal(read: Callable[[str], object], call: ToolCall) -> str | None:
    """The reason why a pydantic class refuses the arguments of a call, or None if it accepts them."""
    try:
        read(call.arguments or "{}")
    except ValueError as error:
        return f"in the arguments of {call.name}, {str(error)[:_MOST_OF_PROBLEM]}"
    return None


def _as_json(schema: Mapping[str, Any]) -> str:
    try:
        return json.dumps(schema, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"The schema cannot be written as JSON: {error}") from None


class JSONExpected:
    """JSON that fits a schema and the caller's own check.

    Args:
        schema: the JSON Schema in the instruction; None asks for any object, `{"type": "object"}`.
        validate: a pydantic class that checks instead of the schema; a function that checks in addition to the schema,
            and raises ValueError; or None.
        beside_tools: whether the instruction allows a tool call in place of JSON. The check always accepts tool calls.
        name: the name of the JSON in the request; the model may wrap it in an object with this key.
        asked: whether the prompt asks for the JSON; otherwise a field of the request does, and there is no instruction.

    Raises:
        InvalidRequestError: the schema has a value that JSON does not have, such as a set.
    """

    what = "JSON"

    def __init__(
        self,
        schema: Mapping[str, Any] | None,
        validate: type[BaseModel] | Callable[[str], object] | None = None,
        *,
        beside_tools: bool = False,
        name: str = "",
        asked: bool = True,
    ) -> None:
        asking = _SCHEMA.format(schema=_as_json(schema)) if schema else _JSON
        self.instruction = asking + (_UNLESS_TOOL if beside_tools else "") if asked else ""
        reader = _reader(validate)
        self._schema = None if reader else schema
        self._validate: Callable[[str], object] | None = reader or validate
        names = {*getattr(validate, "model_fields", ())} if reader else set()
        self.by_schema = bool(self._schema)
        self._shape = shape_of(schema, names, name)

    def stream(self) -> JSONStream:
        """A new object that selects, for one streamed answer, the text to show at once."""
        return JSONStream(array=self._shape.array is True, names=self._shape.names)

    def check(self, answer: Completion) -> tuple[str, str | None]:
        if answer.tool_calls:
            return answer.text, None
        return self.check_text(answer.text, cut=answer.finish_reason in CUT_OFF)

    def has_value(self, answer: Completion) -> bool:
        return bool(answer.tool_calls) or json_in(answer.text) is not None

    def check_text(self, text: str, *, cut: bool = False) -> tuple[str, str | None]:
        """Checks the JSON in an answer's text.

        Args:
            text: the text.
            cut: whether a limit cut the text off; if so, a text that ends inside a JSON value does not fit.

        Returns:
            The JSON, or the whole text if there is no JSON or if a limit cut the text off inside it; and the problem,
            which is None if the JSON fits.
        """
        result = read_json(text, self._problem, self._shape)
        if cut and result.unfinished:
            return text, "it ends in the middle of its JSON"
        return result.text or result.misfit or text, result.problem

    def _problem(self, text: str) -> str | None:
        if self._schema and (wrong := misfit(json.loads(text), self._schema)):
            return wrong[:_MOST_OF_PROBLEM]
        try:
            if self._validate is not None:
                self._validate(text)
        except ValueError as error:
            return str(error)[:_MOST_OF_PROBLEM]
        return None


def correction(problem: str, instruction: str) -> str:
    """The message for the model about an answer that does not fit."""
    return _AGAIN.format(problem=problem, instruction=instruction).rstrip()


def name_of(tool: Mapping[str, Any]) -> str:
    """The name of a tool that is a function; "" for other tools."""
    function = tool.get("function")
    return str(function.get("name") or "") if isinstance(function, Mapping) else ""


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except ValueError:
        return False
