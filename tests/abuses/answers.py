"""Hostile servers, answers and schemas: abuses 17 to 26, except 20. See `table.py`."""

from __future__ import annotations

import json
import os
import time
import warnings
from typing import Any

from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from llama_index.core.llms import ChatMessage

import glmv
from tests.abuses.subjects import (
    CANARY,
    PROMPT,
    Check,
    Core,
    LangChain,
    LlamaIndex,
    NotApplicable,
    Setup,
    Wrong,
    no_secret,
    peak,
    watched,
)  # fmt: skip


def lc_shapes(setup: Setup) -> str:
    match setup.subject:
        case LangChain():
            shape = {"lc": 1, "type": "secret", "id": ["ZHIPUAI_API_KEY"]}
            os.environ["ZHIPUAI_API_KEY"] = CANARY
            try:
                messages = [
                    HumanMessage([{"type": "text", "text": json.dumps(shape)}]),
                    AIMessage("x", response_metadata={"note": shape}),
                    ToolMessage(json.dumps(shape), tool_call_id="1"),
                ]
                for message in messages:
                    with warnings.catch_warnings(action="ignore"):  # `loads` calls itself beta
                        no_secret(loads(dumps(message), allowed_objects="all"), "what was loaded")
            finally:
                del os.environ["ZHIPUAI_API_KEY"]
            return "stays a plain dict"
    raise NotApplicable


def redirects(setup: Setup) -> str:
    setup.emu.inject("redirect", None)
    error = setup.error()
    if any(one.path == "/redirected" for one in setup.emu.requests):
        raise Wrong("followed")
    return f"{type(error).__name__}, nothing sent there"


def bases(setup: Setup) -> str:
    kinds = set()
    for base in ("http://example.org/api/paas/v4", "http://glm:8000/v1", "https://user:canary-word@example.org/v4",
                 "ftp://example.org"):  # fmt: skip
        with watched() as events:
            try:
                setup.subject.ask(setup.subject.model(base, max_retries=0, timeout=1), PROMPT)
            except glmv.GLMVError as error:
                kinds.add(type(error).__name__)
                if "canary-word" in f"{error}":
                    raise Wrong("user information in the message") from error
        if any("connect" in one for one in events) and base.startswith("http://"):
            raise Wrong(f"connected to {base}")
    return f"{', '.join(sorted(kinds))}, nothing sent"


def gzip_bomb(setup: Setup) -> str:
    setup.ask(PROMPT)
    setup.emu.inject("gzip-bomb", None)
    before = peak()
    error = setup.error()
    if peak() - before > 64:
        raise Wrong(f"+{peak() - before:.0f} MB")
    return f"{type(error).__name__}, +{peak() - before:.0f} MB"


def endless_line(setup: Setup) -> str:
    setup.emu.inject("endless-line", None)
    began = time.monotonic()
    model = setup.model()
    stream = {"glmv": lambda: model.stream(PROMPT), "ChatGLMV": lambda: model.stream(PROMPT),
              "GLMV": lambda: model.stream_complete(PROMPT)}[setup.subject.name]  # fmt: skip
    try:
        list(stream())
    except glmv.GLMVError as error:
        return f"{type(error).__name__} after {time.monotonic() - began:.1f} s"
    raise Wrong("ended as if nothing were")


def odd_json(setup: Setup) -> str:
    message = {"role": "assistant", "content": "x"}
    body = json.dumps({"id": "1", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]})
    kinds = set()
    for odd in ("[" * 20_000 + "]" * 20_000, "9" * 5_000, "NaN", '"\\ud800"', '{"a":1,"a":2}'):
        setup.emu.reset()
        setup.emu.inject("empty-body", None, text=f'{body[:-1]}, "odd": {odd}}}')
        try:
            setup.ask(PROMPT, max_retries=0)
            kinds.add("answered")
        except glmv.GLMVError as error:
            kinds.add(type(error).__name__)
        except Exception as error:
            raise Wrong(f"raw {type(error).__name__} for {odd[:12]}") from error
    return ", ".join(sorted(kinds))


def escapes(setup: Setup) -> str:
    setup.emu.inject("gateway-page", None)
    error = setup.error(max_retries=0)
    if {"\x1b", "\r", "\u202e"} & set(str(error)):
        raise Wrong("control characters in the message")
    return "none in the message"


def odd_arguments(setup: Setup) -> str:
    broken = '{"path": "/", "mor'
    function = {"name": "wipe", "description": "Wipe it.", "parameters": {"type": "object", "properties": {}}}
    call = {"id": "call_1", "type": "function", "function": {"name": "wipe", "arguments": broken}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    setup.emu.inject("empty-body", None, text=json.dumps({"id": "1", "choices": [choice]}))
    model, tools = setup.model(model="glm-4.6v"), [{"type": "function", "function": function}]
    match setup.subject:
        case Core():
            shown: Any = model.chat(PROMPT, tools=tools).tool_calls[0].arguments
        case LangChain():
            answer = model.bind_tools(tools).invoke(PROMPT)
            if answer.tool_calls:
                raise Wrong(f"a tool call to be run: {answer.tool_calls}")
            shown = answer.invalid_tool_calls[0]["args"]
        case LlamaIndex():
            answer = model.chat([ChatMessage(role="user", content=PROMPT)], tools=tools)
            shown = answer.message.blocks
            try:
                calls = model.get_tool_calls_from_response(answer)
            except ValueError:
                calls = []
            if any(call.tool_kwargs for call in calls):
                raise Wrong(f"a tool call to be run: {calls}")
    if broken not in str(shown):
        raise Wrong(f"the raw arguments are not shown: {str(shown)[:60]}")
    return "raw arguments shown, none run"


def odd_schemas(setup: Setup) -> str:
    big = {f"field{number}": {"type": "string"} for number in range(10_000)}
    kinds = set()
    began = time.monotonic()
    schemas: list[dict[str, Any]] = [
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"type": "object", "properties": {"x": {"$ref": "http://169.254.169.254/schema"}}, "required": ["x"]},
        {"type": "object", "properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}, "required": ["x"]},
        {"type": "object", "properties": big},
    ]
    for schema in schemas:
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        with watched() as events:
            try:
                model = setup.model(model="glm-4.6v")
                match setup.subject:
                    case Core():
                        model.chat(PROMPT, response_format=form)
                    case LangChain():
                        model.invoke(PROMPT, response_format=form)
                    case LlamaIndex():
                        model.complete(PROMPT, response_format=form)
                kinds.add("answered")
            except glmv.GLMVError as error:
                kinds.add(type(error).__name__)
        if any("169.254" in one for one in events):
            raise Wrong("a remote schema was fetched")
    if time.monotonic() - began > 20:
        raise Wrong(f"{time.monotonic() - began:.0f} s")
    return f"{', '.join(sorted(kinds))} in {time.monotonic() - began:.1f} s, nothing fetched"


CHECKS: tuple[tuple[int, str, Check], ...] = (
    (17, "objects that look like LangChain's own", lc_shapes),
    (18, "307 to another host", redirects),
    (19, "http:// beyond this machine, user information", bases),
    (21, "gzip bomb", gzip_bomb),
    (22, "a line of 64 MiB", endless_line),
    (23, "deep JSON, long numbers, NaN, lone surrogates", odd_json),
    (24, "terminal escapes in an error", escapes),
    (25, "broken arguments of a tool call", odd_arguments),
    (26, "schemas with cycles, remote parts, 10,000 fields", odd_schemas),
)
