"""Who judges an answer that has to be JSON or a tool call, by entry point: `docs/structured.md` shows this table.

It holds for servers that have no field for what is asked, as the platform has none for pictures (`Dialect`). Others are
sent the field, and their answer is handed over as it comes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Judging:
    """What becomes of an answer at one entry point.

    Attributes:
        package: where the entry point is.
        entry: how it is called.
        asks_again: for what the model is asked once more.
        judge: what decides whether JSON or arguments fit.
        returns: what the caller gets.
        raises: for what, and which error; "" for none.
    """

    package: str
    entry: str
    asks_again: str
    judge: str
    returns: str
    raises: str


_TWICE = "MalformedResponse: twice no JSON, or twice a misfit"
_OUTPUT_PARSER = "OutputParserException (MalformedResponse): twice no JSON or call"

JUDGING: tuple[Judging, ...] = (
    Judging(
        "glmv",
        "chat(response_format=...)",
        "no JSON, JSON that does not fit",
        "the schema; with `validate=`, a pydantic class in its place, or a function beside it",
        "a Completion whose text is the JSON",
        _TWICE + '; with `on_misfit="return"` none',
    ),
    Judging(
        "glmv",
        'chat(tool_choice="required" or a name)',
        "no call, arguments that do not fit",
        "the tool's schema",
        "a Completion with tool calls",
        'MalformedResponse: twice no call, or twice a misfit; with `on_misfit="return"` none',
    ),
    Judging(
        "langchain_glmv",
        'bind_tools(tool_choice="any" or a name)',
        "no call",
        "the caller: ToolStrategy(handle_errors=...), ToolNode, a parser",
        "the message; after twice no call with its text and a note",
        "none of ours; agents raise LangChain's StructuredOutputError",
    ),
    Judging(
        "langchain_glmv",
        "bind_tools(..., response_format=...), as ProviderStrategy does",
        "no JSON, JSON that does not fit",
        "the schema, then the caller",
        "the message; after twice a misfit with its text and a note",
        "none of ours; agents raise LangChain's StructuredOutputValidationError",
    ),
    Judging(
        "langchain_glmv",
        "bind(response_format=...)",
        "no JSON, JSON that does not fit",
        "the schema; a pydantic class in its place",
        "a message whose text is the JSON",
        _TWICE,
    ),
    Judging(
        "langchain_glmv",
        "with_structured_output(class)",
        "no JSON or call, a misfit",
        "the class",
        "an instance",
        _OUTPUT_PARSER + ", or twice a misfit",
    ),
    Judging(
        "langchain_glmv",
        "with_structured_output(TypedDict or JSON Schema)",
        "no JSON or call, a misfit",
        "the schema, then the caller: LLMToolSelectorMiddleware(on_parsing_failure=...)",
        "a dict; after twice a misfit what the JSON holds",
        _OUTPUT_PARSER,
    ),
    Judging(
        "langchain_glmv",
        "with_structured_output(..., include_raw=True)",
        "no JSON or call, a misfit",
        "the class or the schema",
        "raw, parsed and parsing_error; after twice a misfit parsed is None",
        "",
    ),
    Judging(
        "llama_index_glmv",
        "as_structured_llm(class)",
        "no JSON, a misfit",
        "the class",
        "a response whose `raw` is an instance",
        _TWICE,
    ),
    Judging(
        "llama_index_glmv",
        "structured_predict(class, prompt)",
        "no JSON, a misfit",
        "the class",
        "an instance",
        _TWICE,
    ),
    Judging(
        "llama_index_glmv",
        "FunctionAgent(output_cls=class)",
        "no JSON, a misfit",
        "the class",
        "`structured_response`, a dict; after twice a misfit None",
        "none: LlamaIndex warns",
    ),
    Judging(
        "llama_index_glmv",
        "chat_with_tools(tool_required=True or tool_choice=...)",
        "no call, arguments that do not fit",
        "the tool's schema",
        "a response with tool calls",
        "MalformedResponse: twice no call, or twice a misfit",
    ),
)
