"""A table of how each entry point checks answers that must be JSON or a tool call; shown in `docs/structured.md`.

It applies to servers without a request field for this (`Dialect`), such as the platform with its vision models. Other
servers get the field, and their answers are checked only if a pydantic class was given for the JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Wrong = Literal["missing", "misfit"]
"""The two problems: JSON or the call is missing, or it does not fit."""

BOTH: tuple[Wrong, ...] = ("missing", "misfit")
_OWN = "MalformedResponse"
_LANGCHAINS = "OutputParserException (a MalformedResponse)"


@dataclass(frozen=True, slots=True)
class Judging:
    """How one entry point checks an answer.

    Attributes:
        package: the package of the entry point.
        entry: the call.
        asks_again: problems after which the model is asked once more.
        judge: what checks whether the JSON or the arguments fit.
        returns: the result for the caller.
        raises: problems that raise an error the second time, or at once if the model is not asked again.
        error: the error; if none is raised, how the problem is reported.
    """

    package: str
    entry: str
    asks_again: tuple[Wrong, ...]
    judge: str
    returns: str
    raises: tuple[Wrong, ...]
    error: str


JUDGING: tuple[Judging, ...] = (
    Judging(
        "glmv",
        "chat(response_format=...)",
        BOTH,
        "the schema; a pydantic class in `validate=` replaces it, a function there checks in addition",
        "a Completion whose text is the JSON",
        BOTH,
        _OWN,
    ),
    Judging(
        "glmv",
        'chat(tool_choice="required" or a name)',
        BOTH,
        "the tool's schema",
        "a Completion with tool calls",
        BOTH,
        _OWN,
    ),
    Judging(
        "langchain_glmv",
        'bind_tools(tool_choice="any" or a name)',
        ("missing",),
        "the caller: ToolStrategy(handle_errors=...), ToolNode, a parser",
        "the message; its text is that of the second answer if neither answer has a call",
        (),
        "a note and a warning in the log; for wrong arguments, agents raise LangChain's StructuredOutputError",
    ),
    Judging(
        "langchain_glmv",
        "bind_tools(response_format=...)",
        BOTH,
        "the schema, then the caller: ProviderStrategy",
        "the message; its text is that of the second answer, even if that is wrong",
        (),
        "a note and a warning in the log; agents raise LangChain's StructuredOutputValidationError",
    ),
    Judging(
        "langchain_glmv",
        "bind(response_format=...)",
        BOTH,
        "the schema; a pydantic class in its place",
        "a message whose text is the JSON",
        BOTH,
        _LANGCHAINS,
    ),
    Judging(
        "langchain_glmv",
        "with_structured_output(class)",
        BOTH,
        "the class",
        "an instance",
        BOTH,
        _LANGCHAINS,
    ),
    Judging(
        "langchain_glmv",
        "with_structured_output(TypedDict or JSON Schema)",
        BOTH,
        "the schema, then the caller: LLMToolSelectorMiddleware(on_parsing_failure=...)",
        "a dict; if the second answer does not fit either, the JSON value of that answer",
        ("missing",),
        _LANGCHAINS + "; for a misfit, a note on the message and a warning in the log",
    ),
    Judging(
        "langchain_glmv",
        "with_structured_output(..., include_raw=True)",
        BOTH,
        "the class or the schema",
        "raw, parsed and parsing_error; if the second answer is wrong, too, parsed is None",
        (),
        "parsing_error",
    ),
    Judging(
        "llama_index_glmv",
        "as_structured_llm(class)",
        BOTH,
        "the class",
        "a response whose `raw` is an instance",
        BOTH,
        _OWN,
    ),
    Judging(
        "llama_index_glmv",
        "structured_predict(class, prompt)",
        BOTH,
        "the class",
        "an instance",
        BOTH,
        _OWN,
    ),
    Judging(
        "llama_index_glmv",
        "FunctionAgent(output_cls=class)",
        BOTH,
        "the class",
        "`structured_response`, a dict; it is None if the second answer is wrong, too",
        (),
        "a warning of LlamaIndex",
    ),
    Judging(
        "llama_index_glmv",
        "chat_with_tools(tool_required=True or tool_choice=...)",
        ("missing",),
        "the caller: the tools, an agent",
        "a response with tool calls; it has only the text of the second answer if neither answer has a call",
        (),
        "a note and a warning in the log; `get_tool_calls_from_response` raises ValueError if there is no call",
    ),
    Judging(
        "llama_index_glmv",
        "predict_and_call(tool_required=True or tool_choice=...)",
        BOTH,
        "the tool's schema, then the tool",
        "what the tool returns",
        BOTH,
        _OWN,
    ),
)
