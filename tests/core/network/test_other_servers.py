"""Answers of servers other than the platform, read by both clients: the table of `tests/support/other_answers.py`."""

from __future__ import annotations

import itertools
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import glmv
from tests.support.other_answers import CASES, TOOLS, Case, chunk, events

BASE_URL = "http://127.0.0.1:1/v1"


def parts_of(answer: glmv.Completion) -> tuple[str, str, list[tuple[str, Any]]]:
    return answer.text, answer.reasoning, [(call.name, json.loads(call.arguments)) for call in answer.tool_calls]


def options(case: Case) -> dict[str, Any]:
    return {**case.options, **({"tools": TOOLS} if case.tools else {})}


@pytest.mark.parametrize("name", CASES)
def test_the_sync_client_reads_answers_of_servers_other_than_the_platform(name: str) -> None:
    case = CASES[name]
    with httpx.Client(transport=case.transport) as http:
        glm = glmv.Client("k", base_url=BASE_URL, http_client=http, dialect="vllm", max_retries=0)
        if case.stream:
            total = glmv.Accumulator()
            for delta in glm.stream("hi", **options(case)):
                total.add(delta)
            answer = total.completion()
        else:
            answer = glm.chat("hi", **options(case))
    assert parts_of(answer) == (case.text, case.reasoning, list(case.calls))
    ids = [call.id for call in answer.tool_calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", CASES)
async def test_the_async_client_reads_answers_of_servers_other_than_the_platform(name: str) -> None:
    case = CASES[name]
    async with httpx.AsyncClient(transport=case.transport) as http:
        glm = glmv.AsyncClient("k", base_url=BASE_URL, http_async_client=http, dialect="vllm", max_retries=0)
        if case.stream:
            total = glmv.Accumulator()
            async for delta in glm.stream("hi", **options(case)):
                total.add(delta)
            answer = total.completion()
        else:
            answer = await glm.chat("hi", **options(case))
    assert parts_of(answer) == (case.text, case.reasoning, list(case.calls))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"choices": [{"index": 0, "answer": "hello", "finish_reason": "stop"}]}, "answer"),
        ({"choices": [{"message": {"role": "assistant", "parts": ["hello"]}, "finish_reason": "stop"}]}, "parts"),
        ({"candidates": [{"content": "hello"}]}, "candidates"),
        ({"output": {"answer": "hello"}}, "output"),
        ({"status": "ok"}, "status"),
        ({"choices": [{"message": None, "finish_reason": "stop"}]}, "message"),
        ({"choices": [{"message": {}, "finish_reason": "stop"}]}, "message"),
        ({"choices": [{"message": {"content": None, "audio": {"data": "AAAA"}}, "finish_reason": "stop"}]}, "audio"),
        ({"choices": [{"message": {"content": [{"type": "video"}]}, "finish_reason": "stop"}]}, "video"),
        ({"type": "message", "content": [{"type": "server_tool_use"}], "stop_reason": "end_turn"}, "server_tool_use"),
    ],
)
def test_the_error_for_an_answer_of_unknown_shape_names_a_field_of_that_answer(
    stream: bool, payload: dict[str, Any], field: str
) -> None:
    case = Case(json.dumps(payload).encode(), kind="application/json")
    with httpx.Client(transport=case.transport) as http:
        glm = glmv.Client("k", base_url=BASE_URL, http_client=http, max_retries=0)
        with pytest.raises(glmv.MalformedResponse, match=field):
            list(glm.stream("hi")) if stream else glm.chat("hi")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("choices", [{"message": {"content": "hi"}}, [None], ["hi"], "hi", [], None])
def test_the_error_for_invalid_choices_names_all_fields_of_the_answer(stream: bool, choices: object) -> None:
    case = Case(json.dumps({"choices": choices, "base": {"a": 1}}).encode(), kind="application/json")
    with httpx.Client(transport=case.transport) as http:
        glm = glmv.Client("k", base_url=BASE_URL, http_client=http, max_retries=0)
        with pytest.raises(glmv.MalformedResponse, match=r"(?i)its fields are choices, base: ") as raised:
            list(glm.stream("hi")) if stream else glm.chat("hi")
    assert "stream ended" not in str(raised.value)


USAGE = {"prompt_tokens": 3, "completion_tokens": 4}


@pytest.mark.parametrize(
    "case",
    [
        CASES["lines as Ollama writes them"],
        Case(events(chunk({"content": "hello"}), chunk(None, "stop", x_groq={"usage": USAGE}))),
        Case(
            events(chunk({"content": "hello"}), {"choices": [{"delta": {}, "finish_reason": "stop", "usage": USAGE}]})
        ),
    ],
)
def test_usage_is_read_from_ollama_and_groq_fields_and_from_inside_choices(case: Case) -> None:
    usage = summed(case).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 4, 7)


@pytest.mark.parametrize("stream", [True, False])
def test_json_lines_without_a_final_line_raise_stream_truncated(stream: bool) -> None:
    case = Case(b'{"message": {"content": "a"}, "done": false}\n{"message": {"content": "b"}, "done": false}\n')
    with httpx.Client(transport=case.transport) as http:
        glm = glmv.Client("k", base_url=BASE_URL, http_client=http, max_retries=0)
        with pytest.raises(glmv.StreamTruncated) as raised:
            list(glm.stream("hi")) if stream else glm.chat("hi")
    assert raised.value.partial is not None
    assert raised.value.partial.text == "ab"


@pytest.mark.parametrize("delta", [{"audio": {"data": "AAAA"}}, {"images": ["x"]}, {"content": [{"type": "video"}]}])
def test_a_stream_with_only_unknown_content_raises_malformed_response(delta: dict[str, Any]) -> None:
    with pytest.raises(glmv.MalformedResponse, match=r"audio|images|video"):
        summed(Case(events(chunk({"role": "assistant", "content": ""}), chunk(delta), chunk(None, "stop"))))


def test_only_the_first_of_alternating_choices_is_read() -> None:
    pieces = [chunk({"content": each}, index=at) for at, each in [(0, "A"), (1, "B"), (2, "C"), (0, "!"), (1, "?")]]
    ends = [chunk(None, "stop", index) for index in (2, 1, 0)]
    assert summed(Case(events(*pieces, *ends))).text == "A!"
    assert summed(Case(events(*pieces[:3], *ends[::-1]))).text == "A"


def test_an_empty_text_in_an_answer_of_known_shape_is_not_an_error() -> None:
    case = Case(json.dumps({"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}).encode())
    with httpx.Client(transport=case.transport) as http:
        answer = glmv.Client("k", base_url=BASE_URL, http_client=http).chat("hi")
    assert (answer.text, answer.finish_reason) == ("", "length")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("name", "note"), [("calls in the text", "--tool-call-parser"), ("a thought without its opening mark", "reasoning")]
)
def test_a_note_names_the_server_option_that_would_parse_calls_or_reasoning(name: str, note: str, stream: bool) -> None:
    case = CASES[name]
    with httpx.Client(transport=case.transport) as http:
        glm = glmv.Client("k", base_url=BASE_URL, http_client=http)
        notes = (list(glm.stream("hi", **options(case)))[-1] if stream else glm.chat("hi", **options(case))).notes
    assert any(note in each for each in notes)


SHOWN = CASES["the same in a stream, thinking"]


def test_reasoning_shown_as_text_is_replaced_if_may_replace_is_set() -> None:
    with httpx.Client(transport=SHOWN.transport) as http:
        deltas = list(glmv.Client("k", base_url=BASE_URL, http_client=http).stream("hi", may_replace=True))
    assert [delta.replaces for delta in deltas].count(True) == 1
    total = glmv.Accumulator()
    for delta in deltas:
        total.add(delta)
    assert (total.text, total.reasoning) == (SHOWN.text, SHOWN.reasoning)


def test_reasoning_shown_as_text_stays_with_its_tag_unless_may_replace_is_set() -> None:
    with httpx.Client(transport=SHOWN.transport) as http:
        deltas = list(glmv.Client("k", base_url=BASE_URL, http_client=http).stream("hi"))
    assert not any(delta.replaces for delta in deltas)
    assert "".join(delta.text for delta in deltas) == "It is red, I see.</think>\nRed"
    assert any("thinking=True" in note for note in deltas[-1].notes)


ENDS = [
    "It is a colour.</think>The answer is red.",
    "Hm.\n</think>\n<answer>1 < 2</answer>",
    "`</think>`?</think>a<b\nc",
]


@given(content=st.sampled_from(ENDS), cuts=st.lists(st.integers(0, 45), max_size=6), stream=st.booleans())
def test_reasoning_ends_at_the_last_closing_tag_however_the_stream_is_split(
    content: str, cuts: list[int], stream: bool
) -> None:
    places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    pieces = [content[a:b] for a, b in itertools.pairwise(places)]
    case = Case(events(*(chunk({"content": each}) for each in pieces), chunk(None, "stop")))
    thought, answer = content.rsplit("</think>", 1)
    answer = answer.strip().removeprefix("<answer>").removesuffix("</answer>")
    for tools in ({}, {"tools": TOOLS}):
        if stream:
            result = summed(case, may_replace=True, **tools)
        else:
            with httpx.Client(transport=case.transport) as http:
                result = glmv.Client("k", base_url=BASE_URL, http_client=http).chat("hi", **tools)
        assert (result.text, result.reasoning) == (answer, thought)


def test_with_thinking_off_a_think_tag_stays_in_the_text() -> None:
    case = Case(CASES["a thought without its opening mark"].body, kind="application/json")
    with httpx.Client(transport=case.transport) as http:
        answer = glmv.Client("k", base_url=BASE_URL, http_client=http).chat("hi", thinking=False)
        assert "</think>" in answer.text
        platform = glmv.Client("k", base_url="http://127.0.0.1:1/api/paas/v4", http_client=http)
        assert "</think>" in platform.chat("hi").text


@pytest.mark.parametrize("delta", [{"content": ""}, {"role": "assistant"}, {}])
def test_an_empty_stream_with_a_finish_reason_is_an_empty_answer(delta: dict[str, Any]) -> None:
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": None}]}
    case = Case(events(chunk({"role": "assistant", "content": ""}), chunk(delta), last, {"choices": [], "x": 1}))
    with httpx.Client(transport=case.transport) as http:
        deltas = list(glmv.Client("k", base_url=BASE_URL, http_client=http).stream("hi"))
    assert [(delta.text, delta.finish_reason) for delta in deltas] == [("", "stop")]


PERSON = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "schema": {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]},
    },
}


def thinks(thought: str, answer: str) -> Case:
    pieces = [chunk({"content": each}) for each in (*thought, "</think>", *answer)]
    return Case(events(*pieces, chunk(None, "stop")))


def summed(case: Case, **options: Any) -> glmv.Completion:
    with httpx.Client(transport=case.transport) as http:
        total = glmv.Accumulator()
        for delta in glmv.Client("k", base_url=BASE_URL, http_client=http, max_retries=0).stream("hi", **options):
            total.add(delta)
        return total.completion()


@pytest.mark.parametrize("options", [{}, {"may_replace": True}, {"thinking": True}])
def test_json_after_reasoning_without_an_opening_tag_is_the_answer(options: dict[str, Any]) -> None:
    case = thinks("How old? I see 36.", '{"age": 36}')
    answer = summed(case, response_format=PERSON, **options)
    assert (answer.text, answer.reasoning) == ('{"age": 36}', "How old? I see 36.")
    with httpx.Client(transport=case.transport) as http:
        assert (
            glmv.Client("k", base_url=BASE_URL, http_client=http).chat("hi", response_format=PERSON).text == answer.text
        )


@pytest.mark.parametrize("options", [{"may_replace": True}, {"thinking": True}])
def test_draft_json_inside_the_reasoning_is_not_the_answer(options: dict[str, Any]) -> None:
    case = thinks('Maybe {"age": 1}? No.', '{"age": 36}')
    assert summed(case, response_format=PERSON, **options).text == '{"age": 36}'
    with httpx.Client(transport=case.transport) as http:
        glm = glmv.Client("k", base_url=BASE_URL, http_client=http)
        assert glm.chat("hi", response_format=PERSON).text == '{"age": 36}'


def test_draft_json_already_yielded_as_text_raises_an_error_with_the_answer() -> None:
    with pytest.raises(glmv.MalformedResponse, match="JSON of the reasoning") as raised:
        summed(thinks('Maybe {"age": 1}? No.', '{"age": 36}'), response_format=PERSON)
    assert raised.value.partial is not None
    assert raised.value.partial.text == '{"age": 36}'


@pytest.mark.parametrize("name", ["calls in the text of a stream", "a call as GLM-4 writes it"])
def test_a_tool_call_in_the_text_is_read_if_tool_choice_is_required(name: str) -> None:
    case = CASES[name]
    answer = summed(case, tools=TOOLS, tool_choice="required")
    assert [(call.name, json.loads(call.arguments)) for call in answer.tool_calls] == list(case.calls)


def test_reasoning_before_a_requested_tool_call_is_kept_as_reasoning() -> None:
    markup = CASES["calls in the text"].body
    text = json.loads(markup)["choices"][0]["message"]["content"]
    answer = summed(thinks("Which city?", text), tools=TOOLS, tool_choice="required")
    assert (answer.text, answer.reasoning, len(answer.tool_calls)) == ("", "Which city?", 1)


def test_tool_call_markup_in_the_platforms_text_is_not_read() -> None:
    case = CASES["calls in the text"]
    with httpx.Client(transport=case.transport) as http:
        answer = glmv.Client("k", base_url=BASE_URL, http_client=http, dialect="platform").chat("hi", tools=TOOLS)
    assert (answer.tool_calls, "<tool_call>" in answer.text) == ((), True)


def test_tool_call_markup_stays_text_if_tool_choice_is_none() -> None:
    case = CASES["calls in the text"]
    with httpx.Client(transport=case.transport) as http:
        answer = glmv.Client("k", base_url=BASE_URL, http_client=http).chat("hi", tools=TOOLS, tool_choice="none")
    assert (answer.tool_calls, "<tool_call>" in answer.text) == ((), True)
