"""LlamaIndex's tools -> options of the call, and answers -> the tools that the model selected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from pydantic_core import from_json

from llama_index_glmv._messages import legacy_calls

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool


def chat_arguments(
    tools: Sequence[BaseTool],
    user_msg: str | ChatMessage | None,
    chat_history: Sequence[ChatMessage] | None,
    *,
    parallel: bool,
    required: bool,
    options: dict[str, Any],
) -> dict[str, Any]:
    """The keyword arguments of `chat` for a conversation with tools.

    Args:
        tools: what the model may call.
        user_msg: the new turn, with pictures if it is a `ChatMessage`.
        chat_history: read only; the result has a list of its own.
        parallel: False keeps the first call of an answer.
        required: the model shall call a tool. The platform knows "auto" only; the core sees to it.
        options: further options of the call; its `tool_choice` goes before `required`.
    """
    messages = list(chat_history or ())
    match user_msg:
        case str():
            messages.append(ChatMessage(role="user", content=user_msg))
        case ChatMessage():
            messages.append(user_msg)
    arguments: dict[str, Any] = {"messages": messages, **options}
    if tools:
        # The length check is that of OpenAI's descriptions (1,024 characters); the platform documents none.
        arguments["tools"] = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
        if arguments.get("tool_choice") is None and required:
            arguments["tool_choice"] = "required"
        if not parallel:
            arguments["parallel_tool_calls"] = False
    return arguments


def selections(response: ChatResponse, *, required: bool) -> list[ToolSelection]:
    """The tools that an answer selects; of a chunk, with the arguments that came so far.

    Args:
        response: an answer or a chunk, ours or of another integration.
        required: raise when there is none.

    Raises:
        ValueError: there is none and one was required.
    """
    message = response.message
    calls = [
        (block.tool_call_id or "", block.tool_name, block.tool_kwargs)
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ] or [(call.id, call.name, call.arguments) for call in legacy_calls(message.additional_kwargs.get("tool_calls"))]
    if required and not calls:
        raise ValueError(
            f"A tool call was expected, but the answer is text only: {(message.content or '')[:200]!r}. "
            "Pass tool_required=True, or error_on_no_tool_call=False."
        )
    over = "finish_reason" in response.additional_kwargs
    return [
        ToolSelection(tool_id=call_id, tool_name=name, tool_kwargs=_kwargs(arguments, partial=not over))
        for call_id, name, arguments in calls
    ]


def first_only(response: ChatResponse) -> ChatResponse:
    """The answer with its first tool call only; the other blocks stay."""
    message = response.message
    seen = False
    blocks = []
    for block in message.blocks:
        if not isinstance(block, ToolCallBlock) or not seen:
            blocks.append(block)
        seen = seen or isinstance(block, ToolCallBlock)
    extra = dict(message.additional_kwargs)
    if extra.get("tool_calls"):
        extra["tool_calls"] = extra["tool_calls"][:1]
    kept = ChatMessage(role=message.role, blocks=blocks, additional_kwargs=extra)
    return response.model_copy(update={"message": kept})


def _kwargs(arguments: object, *, partial: bool) -> dict[str, Any]:
    """Arguments -> a dict. Those of a finished answer are whole or nothing: half a path is not acted on."""
    if isinstance(arguments, str):
        try:
            arguments = from_json(arguments, allow_partial="trailing-strings" if partial else False)
        except ValueError:
            return {}
    return arguments if isinstance(arguments, dict) else {}
