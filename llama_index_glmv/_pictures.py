"""Media that stand where the platform cannot see them -> a user message that follows."""

from __future__ import annotations

from collections.abc import Sequence

import glmv


def moved(messages: Sequence[glmv.Message]) -> list[glmv.Message]:
    """The same conversation with all pictures, videos and files in user messages.

    The platform reads media from users only (docs.bigmodel.cn, "对话补全": the content of other roles is a
    string), but tools return screenshots and assistants draw. They go into the user message that follows, or
    into one of their own, each after a line that says whose they are. A run of tool messages stays whole,
    because the answers must follow the calls.
    """
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    result: list[glmv.Message] = []
    waiting: list[glmv.Part] = []
    for message in messages:
        if message.role == "user":
            if waiting:
                message = glmv.Message("user", (*waiting, *message.content))
                waiting = []
            result.append(message)
            continue
        if waiting and message.role != "tool":
            result.append(glmv.Message("user", waiting))
            waiting = []
        media = [part for part in message.content if not isinstance(part, glmv.Text)]
        if media:
            text = message.text or "(see below)"
            waiting += [glmv.Text(_whose(message, names)), *media]
            message = glmv.Message(
                message.role,
                text,
                tool_calls=message.tool_calls,
                tool_call_id=message.tool_call_id,
                reasoning=message.reasoning,
            )
        result.append(message)
    if waiting:
        result.append(glmv.Message("user", waiting))
    return result


def _whose(message: glmv.Message, names: dict[str, str]) -> str:
    match message.role:
        case "tool":
            name = names.get(message.tool_call_id or "", "the tool")
            call = f" (call {message.tool_call_id})" if message.tool_call_id else ""
            return f"[returned by {name}{call}:]"
        case role:
            return f"[from the {role} message:]"
