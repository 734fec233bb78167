"""The default rules answer any request of well-formed JSON quickly."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from glmv_emulator import Ask, Reply, default_answer

ODD: list[Any] = [None, 1, "x", "", [], {}, [1], ["a"], [None], True, 3.5, {"type": "text"}, {"url": 1},
                  [{"type": "text", "text": None}], [{"type": "text", "text": "hi"}]]  # fmt: skip


def odd_request(chance: random.Random) -> Ask:
    def message() -> dict[str, Any]:
        values: dict[str, Any] = {
            "role": chance.choice(["user", "assistant", "system", "tool", "x"]),
            "content": chance.choice(ODD),
        }
        if chance.random() < 0.3:
            values["tool_calls"] = chance.choice(ODD)
        if chance.random() < 0.2:
            values["tool_call_id"] = chance.choice(["a", None, 1])
        return values

    functions = [{"name": "x", "description": chance.choice(ODD), "parameters": chance.choice(ODD)}, chance.choice(ODD)]
    tools = [{"type": "function", "function": chance.choice(functions)} for _ in range(chance.randint(0, 3))]
    forms = [None, {}, {"type": "json_object"}, {"type": "json_schema", "json_schema": chance.choice(ODD)}]
    messages = [message() for _ in range(chance.randint(0, 5))]
    choices = [None, "none", "required", {"function": {"name": "x"}}, *ODD]
    return Ask(
        messages=messages,
        tools=tools,
        tool_choice=chance.choice(choices),
        response_format=chance.choice(forms),
        thinking=True,
    )


def test_requests_with_fields_of_wrong_types_get_an_answer() -> None:
    replies = [default_answer(odd_request(random.Random(seed))) for seed in range(1500)]
    assert all(isinstance(reply, Reply) and (reply.text or reply.tool_calls) for reply in replies)


@pytest.mark.parametrize(
    "text",
    ["hello world with 12 Words. " * 4000, "{" * 100_000, "a" * 200_000, "北京的天气" * 20_000,
     "'a" * 80_000, "1" * 100_000, '{"a":' * 20_000, "query: x\n" * 10_000, " " * 200_000, "[" * 100_000],
    ids=lambda text: text[:8],
)  # fmt: skip
def test_a_very_long_text_is_answered_within_seconds(text: str) -> None:
    names = ("query", "number", "width", "email", "date", "city")
    parameters = {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": list(names)}
    tool = {"type": "function", "function": {"name": "find", "description": "", "parameters": parameters}}
    start = time.perf_counter()
    reply = default_answer(Ask(messages=[{"role": "user", "content": f"{text}\nfind"}], tools=[tool]))
    assert [call.name for call in reply.tool_calls] == ["find"]
    assert time.perf_counter() - start < 10
