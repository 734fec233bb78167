"""The mind calls tools by the meaning of what is asked, whatever the tools are called and however it is said."""

# ruff: noqa: E501 - a case a line
from __future__ import annotations

import json
from typing import Any

import pytest

from glmv_emulator.answers import Ask, Reply, answer
from glmv_emulator.answers.duty import duties

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def tool(name: str, description: str = "", **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def ask(*messages: str | dict[str, Any], tools: list[dict[str, Any]], system: str = "", **changed: Any) -> Ask:
    spoken: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    spoken += [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages]
    fields: dict[str, Any] = {"media": [], "response_format": None, "thinking": False, "model": "glm-4.6v", "vision": True,
                              "seed": 0, "stubborn": False}  # fmt: skip
    return Ask(messages=spoken, tools=tools, **{**fields, **changed})


def calls(
    *messages: str | dict[str, Any], tools: list[dict[str, Any]], system: str = ""
) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, call.arguments) for call in answer(ask(*messages, tools=tools, system=system)).calls]


def called(name: str, ident: str = "1", **arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": ident, "type": "function", "function": function}]}


def gave(text: str, ident: str = "1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": ident, "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


WEATHER = tool("get_weather", "Get weather at a location.", location=STRING)
CLOCK = tool("get_time", "The current time in a city.", city=STRING)
MAGIC = tool("magic_function", "Apply a magic function to an input.",
             input={"type": "integer", "exclusiveMinimum": -1000, "exclusiveMaximum": 1000})  # fmt: skip
RIDDLE = tool("Riddle", "A riddle to tell the user.", opening=STRING, solution=STRING)


@pytest.mark.parametrize(
    ("request_", "tool_", "arguments"),
    [
        ("What is the weather in San Francisco, CA?", WEATHER, {"location": "San Francisco, CA"}),
        ("How is the climate in Oslo?", tool("fetch_climate", "Climate of a place.", place=STRING), {"place": "Oslo"}),
        ("What is the value of magic_function(3)? Use the tool.", MAGIC, {"input": 3}),
        ("Take the tool and work out double_up for 3, please.", tool("double_up", "Twice a quantity.", quantity=INTEGER),
         {"quantity": 3}),
        ("Using the tool, generate a Pirate greeting.", tool("greeting_generator", "Generate a greeting.", answer_style=STRING),
         {"answer_style": "Pirate"}),
        ("With the help of the tool, write a Viking salute.", tool("salute_writer", "Writes a salute.", manner=STRING),
         {"manner": "Viking"}),
        ("Create a customer named '你好啊集团' (Hello Group)", tool("unicode_customer", "Creates a customer.", customer_name=STRING),
         {"customer_name": "你好啊集团"}),
        ("北京的天气怎么样？", tool("query_weather", "查询一个城市的天气", city=STRING), {"city": "北京"}),
        ("Roll the dice for me with the tool, please.", tool("roll_dice", "Roll one die."), {}),
    ],
)  # fmt: skip
def test_a_tool_that_shares_words_with_the_request_is_called(
    request_: str, tool_: dict[str, Any], arguments: dict[str, Any]
) -> None:
    assert calls(request_, tools=[tool_]) == [(tool_["function"]["name"], arguments)]


@pytest.mark.parametrize("text", ["Hello!", "Thanks, that was all.", "你好", "What do you think about poetry?"])
def test_plain_chat_needs_no_tool(text: str) -> None:
    reply = answer(ask(text, tools=[MAGIC, WEATHER]))
    assert reply.calls == []
    assert reply.text


ORDERS = [
    "You must call at least one of these functions: {names}. Do not answer in plain text.",
    "Call one of your tools now: reply with a tool call and with nothing else.",
    "You have to answer by using one of the functions that you were given, without any text.",
    "Only answers made through one of the supplied tools are accepted.",
    "It is mandatory that you invoke a function.",
    "Respond exclusively by way of a function call.",
    "No reply other than a tool call counts.",
    "Never answer without calling a tool.",
    "Your reply has to be a call of one of these functions: {names}",
    "A tool call is required for this message.",
    "你必须调用其中一个工具，不要直接回答。",
    "请务必使用工具来回答。",
    "回答时只能通过函数调用。",
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("place", ["system", "user"])
def test_an_order_in_any_words_makes_it_call_some_tool(order: str, place: str) -> None:
    order = order.format(names="magic_function, get_weather")
    tools = [MAGIC, WEATHER]
    found = (
        calls("Hello!", tools=tools, system=order) if place == "system" else calls(f"Hello!\n\n{order}", tools=tools)
    )
    assert len(found) == 1
    assert found[0][0] in ("magic_function", "get_weather")


@pytest.mark.parametrize(
    "order",
    [
        "Call the tool {name} now: reply with that tool call and with nothing else.",
        "You must call `{name}`.",
        "The function {name} has to be invoked before anything else.",
        "Reply by means of {name}; plain text is not accepted.",
        "Nothing but a call of {name} is acceptable.",
        "必须调用 {name}。",
        "请调用函数 {name} 来完成。",
    ],
)
@pytest.mark.parametrize("name", ["magic_function", "get_weather", "get_time"])
def test_an_order_that_names_a_tool_is_met_with_that_tool(order: str, name: str) -> None:
    found = calls("Hello!", tools=[MAGIC, CLOCK, WEATHER], system=order.format(name=name))
    assert [called_ for called_, _ in found] == [name]


@pytest.mark.parametrize(
    "text",
    [
        "What's the weather in Paris? Do not use any tools.",
        "What's the weather in Paris? Answer without calling a function.",
        "巴黎的 weather 如何？不要调用工具。",
    ],
)
def test_tools_that_are_forbidden_stay_uncalled(text: str) -> None:
    assert calls(text, tools=[WEATHER]) == []


@pytest.mark.parametrize(
    "system",
    [
        "You may use the tools if needed.",
        "You have access to these tools: magic_function, get_weather.",
        "Tools can be called when necessary.",
        "Reply with a single JSON object. This holds for replies in which you call no tool.",
        "如有需要，可以调用工具。",
    ],
)
def test_leave_to_call_is_no_order_and_no_ban(system: str) -> None:
    assert calls("Hello!", tools=[MAGIC, WEATHER], system=system) == []
    assert calls("What is the weather in Rome?", tools=[MAGIC, WEATHER], system=system) == [
        ("get_weather", {"location": "Rome"})
    ]


def test_after_the_result_it_speaks() -> None:
    history = ("What is the weather in Rome?", called("get_weather", location="Rome"), gave("sunny, 31 degrees"))
    reply = answer(ask(*history, tools=[WEATHER]))
    assert reply.calls == []
    assert "sunny, 31 degrees" in reply.text


def test_a_new_question_is_a_new_call() -> None:
    history = ("The weather in Rome?", called("get_weather", location="Rome"), gave("sunny"), said("It is sunny."))
    assert calls(*history, "And the weather in Oslo?", tools=[WEATHER]) == [("get_weather", {"location": "Oslo"})]


def test_two_tools_that_are_clearly_named_are_called_together() -> None:
    found = calls("What is the weather in Paris and the time in Tokyo?", tools=[WEATHER, CLOCK])
    assert found == [("get_weather", {"location": "Paris"}), ("get_time", {"city": "Tokyo"})]


def test_steps_that_follow_each_other_are_called_one_by_one() -> None:
    tools = [tool("screenshot", "Take a screenshot of the page."), tool("press", "Press a key.", key=STRING)]
    history: list[Any] = ["Take a screenshot, then press the key 'Enter', then take another screenshot and report."]
    made = []
    while reply := answer(ask(*history, tools=tools)):
        if not reply.calls:
            break
        assert len(reply.calls) == 1
        made.append((reply.calls[0].name, reply.calls[0].arguments))
        history += [called(reply.calls[0].name, str(len(made))), gave("done", str(len(made)))]
    assert made == [("screenshot", {}), ("press", {"key": "Enter"}), ("screenshot", {})]


def test_the_shape_of_a_reply_can_be_a_tool() -> None:
    assert calls("Tell me a riddle about ships.", tools=[RIDDLE], system="You must call a tool.") == [
        ("Riddle", {"opening": "ships", "solution": "ships"})
    ]


def test_a_stubborn_mind_gives_in_when_it_is_shown_its_mistake() -> None:
    order = "Call one of your tools now: reply with a tool call."
    first = answer(ask("Hello!", tools=[MAGIC], system=order, stubborn=True))
    assert (first.calls, bool(first.text)) == ([], True)
    again = answer(ask("Hello!", said(first.text), f"That reply cannot be used: it calls no tool. {order}", tools=[MAGIC],
                       system=order, stubborn=True))  # fmt: skip
    assert [call.name for call in again.calls] == ["magic_function"]


def test_the_same_request_gets_the_same_reply_a_thousand_times() -> None:
    one = ask("What is the weather in Paris and the time in Tokyo?", tools=[WEATHER, CLOCK], thinking=True)
    first: Reply = answer(one)
    assert all(answer(one) == first for _ in range(1000))


@pytest.mark.parametrize(
    ("sentence", "force"),
    [
        ("How do I use the function?", 0),
        ("The function returns a number.", 0),
        ("Use the tool.", 1),
        ("You must use the tool.", 2),
        ("Do not use the tool.", -1),
        ("Do not answer in words; call the function.", 2),
        ("You can call the tools.", 0),
        ("工具可以返回数字。", 0),
        ("不得直接回答，必须调用工具。", 2),
    ],
)
def test_the_force_of_a_sentence(sentence: str, force: int) -> None:
    assert duties(sentence, []).force == force
