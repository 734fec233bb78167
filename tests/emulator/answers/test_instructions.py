"""The emulator reads only tool names and schemas in the client's instructions: other words have no effect."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from glmv import ChatRequest, Message, Options
from glmv.request.build import chat_request
from glmv.structured import expected
from glmv.structured.plan import plan_for
from glmv.wire.dialect import DIALECTS
from glmv.wire.encode import encode
from glmv_emulator import Ask, default_answer

INSTRUCTIONS = ("_ANY_TOOL", "_ONE_TOOL", "_JSON", "_SCHEMA", "_UNLESS_TOOL", "_AGAIN")
DATA = re.compile(r'(\{\w+\}|\{"type": "object"\})')  # what an instruction holds beside its words

# Words of no language, and some real words.
words = st.one_of(
    st.text("bcdfghklmnprstvwz", min_size=1, max_size=9),
    st.sampled_from(
        ["never", "tool", "JSON", "picture", "describe", "must", "call", "not", "answer", "schema", "only"]
    ),
)
tool_names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{2,20}", fullmatch=True)
kinds = st.sampled_from(["string", "integer", "number", "boolean", "array", "null"]).map(lambda kind: {"type": kind})
# Words before a colon in the instructions are drawn often.
property_names = st.one_of(
    st.from_regex(r"[a-z]{1,8}(_[a-z]{1,8})?", fullmatch=True),
    st.sampled_from(["now", "else", "used", "below", "size"]),
)
patterns = st.sampled_from(
    ["^[a-z]+$", "^[A-Za-z]{4,}$", "^[A-Z][a-z]+", r"\w", "^.{5}$", "[.,:]$", "^(one|tool|JSON)$"]
)
strings = st.one_of(
    patterns.map(lambda pattern: {"type": "string", "pattern": pattern}),
    st.sampled_from(["date", "email", "uri"]).map(lambda form: {"type": "string", "format": form}),
    st.integers(1, 9).map(lambda length: {"type": "string", "minLength": length}),
)
choices = st.lists(words, min_size=1, max_size=4, unique=True).map(lambda options: {"enum": options})
leaves = st.one_of(kinds, strings, choices)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of objects with all or some properties required."""
    flat = st.dictionaries(property_names, inner, min_size=1, max_size=4)
    needed = st.tuples(flat, st.booleans())
    return needed.map(
        lambda drawn: {"type": "object", "properties": drawn[0], "required": list(drawn[0])[: 1 if drawn[1] else None]}
    )


nested = st.recursive(
    leaves,
    lambda inner: st.one_of(
        objects(inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
        inner.map(lambda item: {"type": "array", "items": item, "minItems": 1}),
    ),
    max_leaves=3,
)
schemas = objects(nested)
texts = st.lists(
    st.one_of(words, st.integers(0, 999).map(str), words.map("'{}'".format), words.map("size: {}".format)),
    min_size=1,
    max_size=6,
).map(" ".join)


def with_other_words(instruction: str, drawn: list[str]) -> str:
    """Replace the words of an instruction, and leave its placeholders and schemas."""
    pieces = DATA.split(instruction)
    return "".join(piece if DATA.fullmatch(piece) else f" {' '.join(drawn)} " * bool(piece) for piece in pieces)


def ask_of(request: ChatRequest) -> Ask:
    """A request of `glmv` -> the request that the emulator's rules get."""
    body = json.loads(bytes(encode(request, DIALECTS["platform"], stream=False, lists=True)))
    return Ask(messages=body["messages"], tools=body.get("tools", []))


@pytest.mark.parametrize("kind", ["any tool", "one tool", "schema", "object", "schema beside tools"])
@settings(deadline=None, max_examples=40)  # a busy machine is no failure
@given(data=st.data())
def test_rewording_glmvs_instructions_does_not_change_the_emulators_answer(kind: str, data: st.DataObject) -> None:
    names = data.draw(st.lists(tool_names, min_size=1, max_size=3, unique=True))
    tools = [
        {"type": "function", "function": {"name": name, "description": "", "parameters": data.draw(schemas)}}
        for name in names
    ]
    drawn = data.draw(st.lists(words, min_size=1, max_size=8))
    text = data.draw(texts)
    ours = {name: getattr(expected, name) for name in INSTRUCTIONS}
    theirs = {name: with_other_words(instruction, drawn) for name, instruction in ours.items()}
    every_word = set(re.findall(r"\w+", " ".join([*ours.values(), *drawn])))
    assume(not every_word & set(names))  # a tool name is recognized anywhere
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": data.draw(schemas)}}
    options: dict[str, Any] = {
        "any tool": {"tools": tools, "tool_choice": "required"},
        "one tool": {"tools": tools, "tool_choice": names[-1]},
        "schema": {"response_format": wanted},
        "object": {"response_format": {"type": "json_object"}},
        "schema beside tools": {"tools": tools, "response_format": wanted},
    }[kind]
    system = data.draw(st.sampled_from([[], [Message("system", "Be brief.")]]))
    messages = [*system, Message("user", text)]

    def answers(instructions: dict[str, str]) -> list[Any]:
        with pytest.MonkeyPatch.context() as patch:
            for name, instruction in instructions.items():
                patch.setattr(expected, name, instruction)
            request = chat_request(messages, Options(), {"model": "glm-4.6v", **options})
            first = plan_for(request, DIALECTS["platform"]).request
            again = expected.correction(
                "it cannot be used", plan_for(request, DIALECTS["platform"])._expected.instruction
            )
            second = first.but(messages=(*first.messages, Message("assistant", "Hm."), Message("user", again)))
            return [default_answer(ask_of(one)) for one in (first, second)]

    assert answers(theirs) == answers(ours)
