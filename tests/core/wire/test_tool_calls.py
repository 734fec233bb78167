"""Tool calls: fragments from every server are assigned to their call, and markup left in the text is parsed."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmv.wire import arguments as json_arguments
from glmv.wire.markup import MarkupFilter, tools_of
from glmv.wire.tool_calls import cleaned

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "days": {"type": "integer"},
                    "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "unit": {"enum": ["C", "F"]},
                    "tags": {"type": "array"},
                },
            },
        },
    }
    for name in ("get_weather", "get_weather_now", "f", "g")
]
OFFERED = tools_of(TOOLS)


def piece(name: str | None = None, arguments: Any = None, **call: Any) -> dict[str, Any]:
    function = ({} if name is None else {"name": name}) | ({} if arguments is None else {"arguments": arguments})
    return {"type": "function", "function": function} | call


ONE: dict[str, list[dict[str, Any]]] = {
    "a name in two pieces": [piece("get_", "", id="c", index=0), piece("weather", index=0), piece(None, "{}", index=0)],
    "a name in two pieces, by id": [piece("get_", id="c"), piece("weather", id="c"), piece(None, "{}", id="c")],
    "a name that grows": [piece("get_", "", index=0), piece("get_weather", "", index=0), piece(None, "{}", index=0)],
    "a name in pieces, without index and id": [piece("get_"), piece("weather"), piece(None, "{}")],
    "the name on each piece": [piece("get_weather", "{", index=0), piece("get_weather", "}", index=0)],
    "the name on each piece, without index and id": [piece("get_weather", "{"), piece("get_weather", "}")],
    "the name on each piece, a new id each time": [
        piece("get_weather", "{", id="c", index=0),
        piece("get_weather", "}", id="d", index=0),
    ],
    "an id in pieces": [piece("get_weather", "", id="call_", index=0), piece(None, "{}", id="1", index=0)],
    "an index that counts pieces": [
        piece("get_weather", "{", id="c", index=0),
        piece("get_weather", "}", id="c", index=1),
    ],
    "an id only at the end": [piece("get_weather", "{", index=0), piece(None, "}", id="c", index=0)],
    "a call that comes twice": [piece("get_weather", "{}", id="c", index=0)] * 2,
    "a call that comes twice, without id": [piece("get_weather", "{}", index=0)] * 2,
    "a call that comes twice, without index": [piece("get_weather", "{}", id="c")] * 2,
    "a call that comes twice, without both": [piece("get_weather", "{}")] * 2,
    "an object that comes twice": [piece("get_weather", {}, id="c", index=0)] * 2,
    "a call that ends with its name": [piece("get_weather", "{}", id="c", index=0), piece("get_weather", "", id="c")],
    "the arguments before the name": [piece(None, "{", id="c", index=0), piece("get_weather", "}", index=0)],
    "an index that is a string": [piece("get_weather", "{", id="c", index="0"), piece(None, "}", index="0")],
    "an index that is none": [piece("get_weather", "{", id="c", index=[0]), piece(None, "}", index={})],
    "arguments of null": [piece("get_weather", None, id="c", index=0)],
    "no function around it": [{"id": "c", "name": "get_weather", "arguments": {}}],
    "pieces that are none": [piece("get_weather", "{}", id="c"), {"type": "function"}, {"function": None}],
}


def chunked(pieces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"choices": [{"index": 0, "delta": {"tool_calls": [each]}}]} for each in pieces]


END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}


@pytest.mark.parametrize("name", ONE)
def test_fragments_of_one_tool_call_are_joined_to_one_call(flow: Any, name: str) -> None:
    outcome = flow.decode([*chunked(ONE[name]), END], tools=OFFERED)
    (call,) = outcome.whole.tool_calls
    assert (call.name, call.arguments) == ("get_weather", "{}")
    pieces = [piece for delta in outcome.deltas for piece in delta.tool_calls]
    assert [each.name for each in pieces if each.name] == ["get_weather"]
    assert [each.id for each in pieces if each.id] == [call.id]
    assert (pieces[0].id, pieces[0].name) == (call.id, "get_weather")


A, B = '{"a": 1}', '{"b": 2}'
TWO: dict[str, list[dict[str, Any]]] = {
    "one id, two indexes": [piece("f", A, id="c", index=0), piece("f", B, id="c", index=1)],
    "one id, one index": [piece("f", A, id="c", index=0), piece("f", B, id="c", index=0)],
    "one id, index -1": [piece("f", A, id="c", index=-1), piece("f", B, id="c", index=-1)],
    "one id alone": [piece("f", A, id="c"), piece("f", B, id="c")],
    "one id, two indexes, in fragments": [
        piece("f", "", id="c", index=0),
        piece(None, A, index=0),
        piece("f", "", id="c", index=1),
        piece(None, B, index=1),
    ],
    "one id on each fragment, in turns": [
        piece("f", '{"a"', id="c", index=0),
        piece("f", '{"b"', id="c", index=1),
        piece(None, ": 1}", id="c", index=0),
        piece(None, ": 2}", id="c", index=1),
    ],
    "one id, in fragments without index": [
        piece("f", A, id="c"),
        piece("f", "", id="c"),
        piece(None, '{"b"'),
        piece(None, ": 2}"),
    ],
    "one index, no id": [piece("f", A, index=0), piece("f", B, index=0)],
    "neither": [piece("f", A), piece("f", B)],
    "two ids of one index": [piece("f", A, id="c", index=0), piece("f", B, id="d", index=0)],
    "both once more at the end": [
        piece("f", A, id="c", index=0),
        piece("f", B, id="d", index=1),
        piece("f", A, id="c", index=0),
        piece("f", B, id="d", index=1),
    ],
    "an id before its name": [
        piece("f", A, id="c", index=0),
        piece(None, None, id="d", index=1),
        piece("f", None, index=1),
        piece(None, B, index=1),
    ],
}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("offered", [True, False])
@pytest.mark.parametrize("name", TWO)
def test_two_tool_calls_stay_separate_and_have_different_ids(
    flow: Any, name: str, offered: bool, together: bool
) -> None:
    whole = {"choices": [{"index": 0, "delta": {"tool_calls": TWO[name]}}]}
    chunks = [whole] if together else chunked(TWO[name])
    calls = flow.decode([*chunks, END], tools=OFFERED if offered else {}).whole.tool_calls
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [("f", {"a": 1}), ("f", {"b": 2})]
    assert len({call.id for call in calls} - {""}) == 2


GROWING: dict[str, list[dict[str, Any]]] = {
    "an empty object first": [piece("f", "{}", id="c", index=0), piece(None, '{"a": {"a": 1}}', index=0)],
    "an empty object, then pieces": [
        piece("f", "{}", id="c", index=0),
        piece(None, '{"a":', index=0),
        piece(None, ' {"a": 1}}', index=0),
    ],
    "an empty object behind the name": [
        piece("f", None, id="c", index=0),
        piece(None, "{}", index=0),
        piece(None, '{"a": {"a": 1}}', index=0),
    ],
    "an empty object, id and name on each piece": [
        piece("f", "{}", id="c", index=0),
        piece("f", '{"a": {"a": 1}}', id="c", index=0),
    ],
    "all so far on each piece": [
        piece("f" if at == 1 else None, '{"a": {"a": 1}}'[:at], index=0, id="c" if at == 1 else None)
        for at in range(1, 16)
    ],
    "all so far, id and name on each piece": [
        piece("f", '{"a": {"a": 1}}'[:at], index=0, id="c") for at in (2, 5, 6, 9, 15, 15)
    ],
    "an object that begins as the arguments do": [
        piece("f", '{"a": ', id="c", index=0),
        piece(None, '{"a": 1}', index=0),
        piece(None, "}", index=0),
    ],
}


@pytest.mark.parametrize("name", GROWING)
def test_arguments_that_start_again_replace_the_earlier_arguments(flow: Any, name: str) -> None:
    (call,) = flow.decode([*chunked(GROWING[name]), END], tools=OFFERED).whole.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("f", {"a": {"a": 1}})


def test_tool_calls_without_arguments_keep_their_order(flow: Any) -> None:
    pieces = [piece(name, "{}", id=name, index=at) for at, name in enumerate(("f", "g", "get_weather"))]
    outcome = flow.decode([*chunked(pieces), END], tools=OFFERED)
    handed = [each for delta in outcome.deltas for each in delta.tool_calls]
    assert [(each.index, each.name, each.arguments) for each in handed if each.name] == [
        (0, "f", "{}"), (1, "g", "{}"), (2, "get_weather", "{}")
    ]  # fmt: skip


def test_two_equal_tool_calls_of_one_answer_stay_separate(flow: Any) -> None:
    for calls in ([piece("f", A, id="c"), piece("f", A, id="d")], [piece("f", A), piece("f", A)]):
        payload = {"choices": [{"message": {"tool_calls": calls}, "finish_reason": "tool_calls"}]}
        assert len(flow.run(flow.body(payload), stream=False).whole.tool_calls) == 2


@pytest.mark.parametrize(
    "chunks",
    [
        lambda n: [piece("f", "{}", id=f"c{i}", index=i) for i in range(n)],
        lambda n: [piece("f", "{}", id="c", index=i) for i in range(n)],
        lambda n: [piece("f", f'{{"a": {i}}}', id="c") for i in range(n)],
        lambda n: [piece("f" if i == 0 else None, '{"a": [' if i == 0 else "{}, ", index=0) for i in range(n)],
        lambda n: [piece("f", '{"a": [' if i == 0 else "{}", id="c", index=0) for i in range(n)],
        lambda n: [piece("f", "{}" if i else '{"a": [', id=f"c{i}", index=0) for i in range(n)],
    ],
)
def test_joining_tool_call_arguments_takes_linear_time(flow: Any, monkeypatch: pytest.MonkeyPatch, chunks: Any) -> None:
    parsed = 0
    real = json_arguments.from_json

    def counting(text: str) -> Any:
        nonlocal parsed
        parsed += len(text)
        return real(text)

    monkeypatch.setattr(json_arguments, "from_json", counting)
    shares = []
    for count in (500, 4000):
        parsed = 0
        pieces = chunks(count)
        flow.decode([*chunked(pieces), END], tools=OFFERED)
        shares.append(parsed / sum(len(str(each["function"].get("arguments"))) for each in pieces))
    assert shares[1] <= 2 * shares[0] + 1


NAMES = [
    ("<|tool_call|>f", "{}", "f", {}),
    ("<|assistant|>f", A, "f", {"a": 1}),
    ("<|assistant|>\nf\n", A, "f", {"a": 1}),
    ("\nf", A, "f", {"a": 1}),
    ("<tool_call>f", A, "f", {"a": 1}),
    ("f</arg_value>", A, "f", {"a": 1}),
    ("f</tool_call>", A, "f", {"a": 1}),
    ("f<arg_key>city</arg_key><arg_value>5</arg_value>", "{}", "f", {"city": "5"}),
    ("f<arg_key>city</arg_key>\n<arg_value>5</arg_value></tool_call>", "", "f", {"city": "5"}),
    ("f<arg_key>city</arg_key><arg_value>5</arg_value>", A, "f", {"a": 1}),
    ('f\n{"a": 1}', "", "f", {"a": 1}),
]


@pytest.mark.parametrize(("name", "arguments", "right", "values"), NAMES)
def test_template_tags_are_removed_from_tool_names(
    flow: Any, name: str, arguments: str, right: str, values: dict[str, Any]
) -> None:
    assert cleaned(name, arguments, OFFERED)[0] == right
    for chunks in (
        [piece(name, arguments, id="c", index=0)],
        [piece(name, "", id="c", index=0), piece(None, arguments, index=0)],
    ):
        (call,) = flow.decode([*chunked(chunks), END], tools=OFFERED).whole.tool_calls
        assert (call.id, call.name, json.loads(call.arguments or "{}")) == ("c", right, values)


@pytest.mark.parametrize("name", ["get-weather", "a.b", "天气", "mcp__server__tool", "x:y/z"])
def test_tool_names_without_template_tags_are_unchanged(flow: Any, name: str) -> None:
    (call,) = flow.decode([*chunked([piece(name, "{}", id="c")]), END]).whole.tool_calls
    assert call.name == name


def pair(key: str, value: str) -> str:
    return f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n"


def marked(name: str, *pairs: str, end: str = "</tool_call>") -> str:
    return f"<tool_call>{name}\n{''.join(pairs)}{end}"


MARKUP: dict[str, tuple[str, list[tuple[str, dict[str, Any]]]]] = {
    "strings as they are": (marked("f", pair("city", " 5 \n")), [("f", {"city": " 5 \n"})]),
    "other values as JSON": (
        marked("f", pair("days", "3"), pair("tags", '["a", 1]')),
        [("f", {"days": 3, "tags": ["a", 1]})],
    ),
    "a string or null": (marked("f", pair("note", "null"), pair("unit", "C")), [("f", {"note": None, "unit": "C"})]),
    "a string where null may be": (marked("f", pair("note", "1")), [("f", {"note": "1"})]),
    "values that the schema does not name": (
        marked("f", pair("x", "1"), pair("y", "a b")),
        [("f", {"x": 1, "y": "a b"})],
    ),
    "no arguments": (marked("f"), [("f", {})]),
    "all in one line": (
        "<tool_call>f<arg_key>city</arg_key><arg_value>A</arg_value></tool_call>",
        [("f", {"city": "A"})],
    ),
    "spaces around": (
        "<tool_call> f <arg_key> city </arg_key> <arg_value>A</arg_value> </tool_call>",
        [("f", {"city": "A"})],
    ),
    "two calls": (marked("f", pair("city", "A")) + "\n" + marked("g"), [("f", {"city": "A"}), ("g", {})]),
    "the end is missing": (marked("f", pair("city", "A"), end=""), [("f", {"city": "A"})]),
    "the end of the first is missing": (
        marked("f", pair("city", "A"), end="") + marked("g"),
        [("f", {"city": "A"}), ("g", {})],
    ),
    "the end of a value is missing": (
        "<tool_call>f\n<arg_key>city</arg_key>\n<arg_value>A\n<arg_key>days</arg_key>\n<arg_value>3\n</tool_call>",
        [("f", {"city": "A", "days": 3})],
    ),
    "a mark once too often": (
        "<tool_call>f\n<arg_key>city</arg_key></arg_key>\n<arg_value>A</arg_value></tool_call>",
        [("f", {"city": "A"})],
    ),
    "marks inside a value": (
        marked("f", pair("city", "a </tool_call> b <arg_key> c")),
        [("f", {"city": "a </tool_call> b <arg_key> c"})],
    ),
    "JSON after the name": ('<tool_call>f\n{"a": 1}\n</tool_call>', [("f", {"a": 1})]),
    "JSON around the name": ('<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>', [("f", {"a": 1})]),
    "as GLM-4 writes it": ('f\n{"a": 1}', [("f", {"a": 1})]),
    "two as GLM-4 writes them": ('f\n{"a": 1}<|assistant|>g\n{}', [("f", {"a": 1}), ("g", {})]),
    "as GLM-4 writes it, with its role": ('<|assistant|>f\n{"a": 1}', [("f", {"a": 1})]),
}
TEXT = [
    marked("unknown", pair("city", "A")),
    "Write <tool_call> and </tool_call> around a call.",
    "<tool_call>f is the name</tool_call>",
    "<tool_call>",
    *(
        form.format(call)
        for call in (marked("f"), marked("f", pair("city", "A")), marked("f", pair("city", "A"), end=""))
        for form in (
            "The page documents GLM's format:\n```\n{}\n```\nNothing else.",
            "The page documents GLM's format:\n```\n{}\n```",
            "The page documents GLM's format:\n~~~xml\n{}\n",
            "Write `{}`",
            "Write `{}",
            'He wrote "{}".',
            "他写道：“{}”",
            "It says {} and goes on.",
            "{} is how a call is written.",
            "First {}, then",
        )
    ),
    marked("f") + " and `" + marked("g") + "`",
    "a <tool_ca",
    'f\n{"a": 1} is how a call is written.',
    'f\n{"a": ',
    "f\nis a function",
    "get_weather",
    "f",
    "<|assistant|",
    "<b>f</b>",
    "",
    "\n",
]


TYPES: list[tuple[dict[str, Any], str, Any]] = [
    ({"$ref": "#/$defs/Code"}, "12", "12"),
    ({"$ref": "#/$defs/Again"}, "12", "12"),
    ({"$ref": "#/$defs/Number"}, "12", 12),
    ({"$ref": "#/$defs/Missing"}, "12", 12),
    ({"$ref": "#/$defs/Endless"}, "12", 12),
    ({"$ref": "https://example.com/a"}, "12", 12),
    ({"const": "12"}, "12", "12"),
    ({"const": 12}, "12", 12),
    ({"enum": ["12", "13"]}, "12", "12"),
    ({"enum": ["12", None]}, "12", "12"),
    ({"enum": ["12", None]}, "null", None),
    ({"allOf": [{"$ref": "#/$defs/Code"}]}, "12", "12"),
    ({"allOf": [{"minLength": 1}, {"type": "string"}]}, "true", "true"),
    ({"allOf": [{"type": ["string", "integer"]}, {"type": "integer"}]}, "12", 12),
    ({"anyOf": [{"$ref": "#/$defs/Code"}, {"type": "null"}]}, "12", "12"),
    ({"anyOf": [{"const": "a"}, {"const": "1"}]}, "1", "1"),
    ({"oneOf": [{"allOf": [{"type": "string"}]}]}, "{}", "{}"),
]


@pytest.mark.parametrize(("schema", "text", "value"), TYPES)
def test_argument_values_in_markup_get_the_type_of_their_schema(schema: dict[str, Any], text: str, value: Any) -> None:
    parameters = {
        "type": "object",
        "properties": {"x": schema},
        "$defs": {
            "Code": {"enum": ["12", "A"]},
            "Again": {"$ref": "#/$defs/Code"},
            "Number": {"type": "integer"},
            "Endless": {"anyOf": [{"$ref": "#/$defs/Endless"}] * 40},
        },
    }
    markup = MarkupFilter(tools_of([{"type": "function", "function": {"name": "f", "parameters": parameters}}]))
    markup.feed(marked("f", pair("x", text)))
    ((_, arguments),) = markup.finish(cut=False)[1]
    assert json.loads(arguments) == {"x": value}


def read(pieces: list[str], *, cut: bool = False) -> tuple[str, list[tuple[str, Any]]]:
    markup = MarkupFilter(OFFERED)
    text = "".join([markup.feed(each) for each in pieces])
    rest, calls = markup.finish(cut=cut)
    return text + rest, [(name, json.loads(arguments)) for name, arguments in calls]


@pytest.mark.parametrize("name", MARKUP)
def test_a_tool_call_in_the_text_is_read_for_every_split(name: str) -> None:
    text, calls = MARKUP[name]
    assert read([text]) == ("", calls)
    assert read(list(text)) == ("", calls)
    for at in range(len(text) + 1):
        assert read([text[:at], text[at:]]) == ("", calls)


@pytest.mark.parametrize("text", TEXT)
def test_calls_of_tools_that_are_not_offered_stay_text(text: str) -> None:
    assert read([text]) == read(list(text)) == (text, [])


@pytest.mark.parametrize(
    "text",
    [
        "Write `<tool_call>` first. ",
        "```\n<tool_call>f</tool_call>\n```\n",
        "A <tool_call>g</tool_call> here. ",
        "So:\n",
    ],
)
def test_a_tool_call_after_text_that_quotes_markup_is_read(text: str) -> None:
    for end in ("", "\n", "<|observation|>"):
        whole = text + marked("f", pair("city", "A")) + end
        assert read([whole]) == read(list(whole)) == (text, [("f", {"city": "A"})])


def test_text_before_a_tool_call_is_yielded_at_once() -> None:
    markup = MarkupFilter(OFFERED)
    assert [markup.feed(each) for each in ("Let ", "me <", "b> see", "<tool_", "call>f")] == [
        "Let ", "me ", "<b> see", "", ""
    ]  # fmt: skip


def test_a_tool_call_cut_by_the_token_limit_has_incomplete_arguments(flow: Any) -> None:
    text = marked("f", pair("city", "A"), end="<arg_key>da")
    chunks = [{"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "length"}]}]
    (call,) = flow.decode(chunks, tools=OFFERED).whole.tool_calls
    assert (call.name, call.arguments) == ("f", '{"city": "A"')


def test_a_tool_call_in_both_the_field_and_the_text_is_returned_once(flow: Any) -> None:
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": "So. " + marked("f", pair("city", "A"))}}]},
        *chunked([piece("f", '{"city":"A"}', id="c")]),
        END,
    ]
    answer = flow.decode(chunks, tools=OFFERED).whole
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("f", '{"city":"A"}')]
    assert answer.text == "So. "


@pytest.mark.parametrize("first", [True, False])
def test_markup_in_the_text_is_not_read_if_the_server_parses_calls(flow: Any, first: bool) -> None:
    text = "It says " + marked("g")
    chunks = [{"choices": [{"index": 0, "delta": {"content": text}}]}, *chunked([piece("f", "{}", id="c")])]
    answer = flow.decode([*(chunks if first else chunks[::-1]), END], tools=OFFERED).whole
    assert ([call.name for call in answer.tool_calls], answer.text) == (["f"], text)


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>f<arg_key>a</arg_key><arg_value>",
        "<tool_call>f<arg_key>a</arg_key><arg_value></tool_call>",
        "<tool_call>",
        "<tool_call>f\n",
        "<tool_call>f</arg_value>",
        "f\n{",
        "<|assistant|>",
    ],
)
def test_many_tool_call_tags_are_read_in_linear_time(text: str) -> None:
    def seconds(count: int) -> float:
        started = time.process_time()
        read([text] * count)
        return time.process_time() - started

    few, many = (min(seconds(count) for _ in range(3)) for count in (2000, 32_000))
    assert many < 100 * few + 0.2  # 16 times as many; quadratic time would be 256 times as long


words = st.sampled_from(
    ["<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "f", "g", "\n", "{", "}",
     '{"a": 1}', "city", "<|assistant|>", "<", "get_", "weather", "_now", " ", "`", '"', "\n```\n"]
)  # fmt: skip


@given(st.lists(words, max_size=12).map("".join), st.lists(st.integers(0, 120), max_size=6))
def test_any_split_of_any_text_gives_the_same_tool_calls(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert read([text[a:b] for a, b in itertools.pairwise(places)]) == read([text])


fragments = st.builds(
    piece,
    st.sampled_from([None, "f", "g", "get_", "<|tool_call|>f", ""]),
    st.sampled_from([None, "", "{", "}", '{"a": 1}', "{}", '"x"', 5, {"a": 1}]),
    id=st.sampled_from([None, "", "c", "d", 7]),
    index=st.sampled_from([None, 0, 1, -1, "0", [], True]),
)


@given(st.lists(st.lists(fragments, max_size=3), max_size=6), st.booleans())
def test_for_any_fragments_only_the_first_delta_of_a_tool_call_has_id_and_name(
    flow: Any, pieces: list[list[dict[str, Any]]], offered: bool
) -> None:
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": each}}]} for each in pieces]
    outcome = flow.decode([*chunks, END], tools=OFFERED if offered else {})
    calls = outcome.whole.tool_calls
    assert len({call.id for call in calls}) == len(calls)
    handed = [piece for delta in outcome.deltas for piece in delta.tool_calls]
    assert {each.index for each in handed} == set(range(len(calls)))
    for index in range(len(calls)):
        own = [each for each in handed if each.index == index]
        assert own[0].id
        assert not any(each.id or each.name for each in own[1:])
