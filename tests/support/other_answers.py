"""Answers of servers other than the platform, and their content: one table for `glmv` and the frameworks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "Tell the weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city"],
            },
        },
    }
    for name in ("get_weather", "get_time")
]


def chunk(delta: object = None, finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    return {"id": "c1", "created": 1, "model": "glm", "choices": [
        {"index": index, "delta": {} if delta is None else delta, "finish_reason": finish}
    ]} | more  # fmt: skip


def whole(message: object, finish: str = "stop") -> dict[str, Any]:
    """An unstreamed answer."""
    return {"id": "c1", "created": 1, "model": "glm", "choices": [
        {"index": 0, "message": message, "finish_reason": finish}
    ]}  # fmt: skip


def events(*chunks: object, done: bool = True) -> bytes:
    """Chunks, or unchanged bytes, as an event stream."""
    frames = [each if isinstance(each, bytes) else b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks]
    return b"".join(frames) + (b"data: [DONE]\n\n" if done else b"")


def call(arguments: object, name: str | None = "get_weather", **more: Any) -> dict[str, Any]:
    """A piece of a tool call."""
    return {"type": "function", "function": {"name": name, "arguments": arguments}} | more


@dataclass(frozen=True)
class Case:
    """A server's response, and the answer in it."""

    body: bytes
    text: str = ""
    reasoning: str = ""
    calls: Sequence[tuple[str, dict[str, Any]]] = ()
    stream: bool = True
    kind: str | None = "text/event-stream"
    options: dict[str, Any] = field(default_factory=dict)
    tools: bool = False

    def respond(self, _: httpx.Request) -> httpx.Response:
        """The response to any request."""
        return httpx.Response(200, headers={"content-type": self.kind} if self.kind else {}, content=self.body)

    @property
    def transport(self) -> httpx.MockTransport:
        """A transport that gives this response."""
        return httpx.MockTransport(self.respond)


def _in_json(answer: object, **more: Any) -> Case:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return Case(body, **{"stream": False, "kind": "application/json"} | more)


def _calls(*pieces: Sequence[dict[str, Any]], **more: Any) -> Case:
    chunks = [chunk({"tool_calls": list(piece)}) for piece in pieces]
    return Case(events(*chunks, chunk(None, "tool_calls")), tools=True, **more)


def _text(text: str, size: int = 5) -> list[dict[str, Any]]:
    return [chunk({"content": text[at : at + size]}) for at in range(0, len(text), size)]


HELLO = events(chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk(None, "stop"))
END = chunk(None, "stop")
A, B = ("get_weather", {"city": "A"}), ("get_weather", {"city": "B"})
MARKUP = (
    "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>A</arg_value>\n"
    "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>"
)
THOUGHT = "It is red, I see.</think>\n<answer>Red</answer>"
in_three_days = [("get_weather", {"city": "A", "days": 3})]


def _lines(*chunks: object) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in chunks)


LINES = _lines(chunk({"content": "hel"}), chunk({"content": "lo"}), END)
OLLAMA = _lines(
    {"model": "glm", "message": {"role": "assistant", "content": "", "thinking": "Hm."}, "done": False},
    {"model": "glm", "message": {"role": "assistant", "content": "hel"}, "done": False},
    {"model": "glm", "message": {"role": "assistant", "content": "lo"}, "done": False},
    {"model": "glm", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop",
     "prompt_eval_count": 3, "eval_count": 4},
)  # fmt: skip

CASES: dict[str, Case] = {
    # A chunk in each line.
    "a chunk in each line": Case(LINES, "hello", kind="application/x-ndjson"),
    "a chunk in each line, unasked": Case(LINES, "hello", kind="application/json", stream=False),
    "lines as Ollama writes them": Case(OLLAMA, "hello", "Hm.", kind="application/x-ndjson"),
    "the end of a thought and text of the answer in one piece": Case(
        events(
            *(chunk({"content": each}) for each in ("It is a ", "colour.</think>The answer", " is", " red", ".")),
            chunk(None, "stop"),
        ),
        "The answer is red.",
        "It is a colour.",
        stream=False,
    ),
    # A stream is a stream whatever its content type.
    "no content type": Case(HELLO, "Hello", kind=None),
    "text/plain": Case(HELLO, "Hello", kind="text/plain; charset=utf-8"),
    "application/x-ndjson": Case(HELLO, "Hello", kind="application/x-ndjson"),
    "application/octet-stream": Case(HELLO, "Hello", kind="application/octet-stream"),
    "text/html": Case(HELLO, "Hello", kind="text/html"),
    "application/json": Case(HELLO, "Hello", kind="application/json"),
    "a comment first, and blank lines": Case(b"\n\n: ping\n\n" + HELLO, "Hello", kind="text/plain"),
    "a byte order mark": Case(b"\xef\xbb\xbf" + HELLO, "Hello", kind="text/plain"),
    "JSON called an event stream": Case(json.dumps(whole({"content": "Hello"})).encode(), "Hello"),
    # A stream in answer to a call that asked for none.
    "a stream unasked": Case(HELLO, "Hello", stream=False),
    "a stream unasked, called JSON": Case(HELLO, "Hello", stream=False, kind="application/json"),
    "tool calls in a stream unasked": Case(
        events(
            chunk({"tool_calls": [call('{"city"', id="c", index=0)]}),
            chunk({"tool_calls": [call(':"A"}', None, index=0)]}, "tool_calls"),
        ),
        calls=[A],
        stream=False,
        tools=True,
    ),
    "JSON called a web page": _in_json(whole({"content": "Hello"}), text="Hello", kind="text/html"),
    # Thoughts whose opening mark the chat template wrote.
    "a thought without its opening mark": _in_json(
        whole({"content": THOUGHT}), text="Red", reasoning="It is red, I see."
    ),
    "the same in a stream, thinking": Case(
        events(*_text(THOUGHT), END), "Red", "It is red, I see.", options={"thinking": True}
    ),
    "an empty thought that is closed": Case(events(*_text("\n</think>\n\nRed"), END), "Red"),
    "an answer in its mark beside the thought": Case(
        events(chunk({"reasoning_content": "Hm."}), *_text("<answer>Red</answer>"), END), "Red", "Hm."
    ),
    "a thought that ends in quotes": _in_json(
        whole({"content": 'I will say "Red"</think>Red'}), text="Red", reasoning='I will say "Red"'
    ),
    "a closing mark in a block of code": Case(
        events(*_text("Write:\n```\n</think>\n```\nDone."), END), "Write:\n```\n</think>\n```\nDone."
    ),
    "a thought that is the name of a tool": Case(
        events(*(chunk({"content": each}) for each in ("get_weather\n", "</think>", "Red")), END),
        "Red",
        "get_weather\n",
        stream=False,
        tools=True,
    ),
    "thinking, and no thought": Case(events(*_text("It is red."), END), "It is red.", options={"thinking": True}),
    # Marks of the chat template in names.
    "a mark before the name": _calls([call('{"city":"A"}', "<|tool_call|>get_weather", id="c")], calls=[A]),
    "a role before the name": _calls([call('{"city":"A"}', "<|assistant|>\nget_weather\n", id="c")], calls=[A]),
    "a closing mark behind the name": _calls([call('{"city":"A"}', "get_weather</arg_value>", id="c")], calls=[A]),
    "arguments in the name": _calls(
        [call("{}", "get_weather<arg_key>city</arg_key><arg_value>A</arg_value>", id="c")], calls=[A]
    ),
    # Calls that the server left in the text.
    "calls in the text": _in_json(whole({"content": MARKUP}), calls=in_three_days, tools=True),
    "calls in the text of a stream": Case(events(*_text(MARKUP), END), calls=in_three_days, tools=True),
    "text before the call": Case(
        events(*_text("Let me see. " + MARKUP), END), "Let me see. ", calls=in_three_days, tools=True
    ),
    "a thought before the call": _in_json(
        whole({"content": "Hm.</think>\n" + MARKUP}), reasoning="Hm.", calls=in_three_days, tools=True
    ),
    "a call as GLM-4 writes it": Case(events(*_text('get_weather\n{"city": "A"}'), END), calls=[A], tools=True),
    "two calls in the text": _in_json(
        whole({"content": MARKUP + "\n" + MARKUP.replace(">A<", ">B<")}),
        calls=[*in_three_days, ("get_weather", {"city": "B", "days": 3})],
        tools=True,
    ),
    "markup in a block of code": _in_json(
        whole({"content": f"GLM's format:\n```\n{MARKUP}\n```\nNothing else."}),
        text=f"GLM's format:\n```\n{MARKUP}\n```\nNothing else.",
        tools=True,
    ),
    "markup in a line of code": Case(events(*_text(f"Write `{MARKUP}`."), END), f"Write `{MARKUP}`.", tools=True),
    "markup inside prose": Case(
        events(*_text(f"It says {MARKUP} there."), END), f"It says {MARKUP} there.", tools=True
    ),
    "markup beside a call of the server": Case(
        events(
            *_text(f"It says {MARKUP}"),
            chunk({"tool_calls": [call('{"city":"B"}', id="c")]}),
            chunk(None, "tool_calls"),
        ),
        f"It says {MARKUP}",
        calls=[B],
        tools=True,
    ),
    "the markup where no tools were offered": _in_json(whole({"content": MARKUP}), text=MARKUP),
    # Several choices.
    "choices in turns": Case(
        events(
            *(chunk({"content": text}, index=at) for at, text in [(1, "X"), (0, "Hel"), (1, "Y"), (0, "lo")]),
            chunk(None, "length", index=1),
            chunk({"content": "!"}),
            END,
        ),
        "Hello!",
    ),
    "choices in one chunk": _in_json(
        {"choices": [{"index": 1, "message": {"content": "X"}}, {"index": 0, "message": {"content": "Hello"}}]},
        text="Hello",
    ),
    # Ids, names and arguments of tool calls.
    "one id for two calls": _calls(
        [call('{"city":"A"}', id="c", index=0)], [call('{"city":"B"}', id="c", index=1)], calls=[A, B]
    ),
    "one id for two calls, whole": _in_json(
        whole({"tool_calls": [call('{"city":"A"}', id="c"), call('{"city":"B"}', id="c")]}), calls=[A, B], tools=True
    ),
    "a name in pieces": _calls(
        [call("", "get_", id="c", index=0)],
        [call("", "weather", index=0)],
        [call('{"city":"A"}', None, index=0)],
        calls=[A],
    ),
    "a call once more at the end": _calls(
        [call('{"city":', id="c", index=0)],
        [call('"A"}', None, index=0)],
        [call('{"city": "A"}', id="c", index=0)],
        calls=[A],
    ),
    "arguments as an object": _calls([call({"city": "A"}, id="c")], calls=[A]),
    "the form before tool calls": _in_json(
        whole({"content": None, "function_call": {"name": "get_weather", "arguments": '{"city":"A"}'}}),
        calls=[A],
        tools=True,
    ),
    # Broken text.
    "half a surrogate pair": Case(
        events(b'data: {"choices":[{"delta":{"content":"a\\ud83db"}}]}\n\n', END), "a\ufffdb"
    ),
    "bytes that are no UTF-8": Case(events(b'data: {"choices":[{"delta":{"content":"a\xffb"}}]}\n\n', END), "a\ufffdb"),
    "a list with null": _in_json(
        whole({"content": [{"type": "text", "text": "he"}, None, {"type": "image_url"}, "llo"]}), text="hello"
    ),
    "an object as content": _in_json(whole({"content": {"type": "text", "text": "hello"}}), text="hello"),
    # Older shapes.
    "text in the choice": _in_json({"choices": [{"index": 0, "text": "hello"}]}, text="hello"),
    "text in the choice of a stream": Case(
        events({"choices": [{"text": "hel"}]}, {"choices": [{"text": "lo", "finish_reason": "stop"}]}), "hello"
    ),
    "a delta in a whole answer": _in_json({"choices": [{"delta": {"content": "hello"}}]}, text="hello"),
    "messages in a stream": Case(
        events({"choices": [{"message": {"content": "hel"}}]}, {"choices": [{"message": {"content": "lo"}}]}), "hello"
    ),
    "the whole message at the end of a stream": Case(
        events(
            chunk({"content": "hel"}),
            chunk({"content": "lo"}),
            {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]},
        ),
        "hello",
    ),
    "output with text": _in_json({"output": {"text": "hello", "finish_reason": "stop"}}, text="hello"),
    "choices in data": _in_json(
        {"code": 200, "msg": "ok", "data": {"choices": [{"role": "assistant", "content": "hello"}]}, "success": True},
        text="hello",
    ),
    "a message without choices": _in_json({"message": {"role": "assistant", "content": "hello"}}, text="hello"),
    "a call as a content part": _in_json(
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t", "name": "get_weather", "input": {"city": "A"}}],
            "stop_reason": "tool_use",
        },
        calls=[A],
        tools=True,
    ),
    "a call as a content part of a choice, behind text": _in_json(
        whole(
            {
                "content": [
                    {"type": "text", "text": "So."},
                    {"type": "tool_use", "id": "t", "name": "get_weather", "input": {"city": "A"}},
                    {"type": "tool_use", "id": "u", "name": "get_weather", "input": {"city": "B"}},
                ]
            }
        ),
        text="So.",
        calls=[A, B],
        tools=True,
    ),
    "a call as an item of the output": _in_json(
        {
            "object": "response",
            "output": [{"type": "function_call", "call_id": "c", "name": "get_weather", "arguments": '{"city":"A"}'}],
        },
        calls=[A],
        tools=True,
    ),
    "the thought as an item of the output": _in_json(
        {
            "object": "response",
            "output": [
                {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm."}]},
                {"type": "message", "content": [{"type": "output_text", "text": "hello"}]},
            ],
        },
        text="hello",
        reasoning="Hm.",
    ),
    "the role in one choice and the text in another": Case(
        events(chunk({"role": "assistant"}), chunk({"content": "hello"}, "stop", 1)), "hello"
    ),
    "an index that grows with each chunk": Case(
        events(*(chunk({"content": each}, index=at) for at, each in enumerate("hello")), chunk(None, "stop", 5)),
        "hello",
    ),
    "a delta in a list": Case(events(chunk([{"content": "hel"}]), chunk([{"content": "lo"}]), END), "hello"),
    "what was said in place of text": _in_json(
        whole({"content": None, "audio": {"data": "AAAA", "transcript": "hello"}}), text="hello"
    ),
    # What follows the finish reason.
    "broken JSON behind the end": Case(events(chunk({"content": "hello"}), END, b"data: {x\n\n"), "hello"),
    "an error behind the end": Case(
        events(chunk({"content": "hello"}), END, {"error": {"code": "1234", "message": "m"}}), "hello"
    ),
    "usage that is none": Case(events(chunk({"content": "hello"}), END, {"choices": [], "usage": "x"}), "hello"),
}


def each(select: Callable[[Case], bool] = lambda _: True) -> list[str]:
    """Names of the cases that `select` accepts."""
    return [name for name, case in CASES.items() if select(case)]
