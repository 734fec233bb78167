"""Tests can script answers: texts and tool calls in order, or a function for all requests."""

from __future__ import annotations

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from glmv_emulator import Ask, Emulator, Medium, Reply, ToolCall, default_answer

pytest_plugins = ["pytester"]

WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def message(answer: httpx.Response) -> Any:
    return answer.json()["choices"][0]["message"]


def text_of(answer: httpx.Response) -> str:
    return str(message(answer)["content"])


def streamed(frames: list[Any]) -> list[str]:
    deltas = [choice["delta"] for frame in frames[:-1] for choice in frame["choices"]]
    return [delta["content"] for delta in deltas if delta.get("content")]


# What can be said


def test_requests_are_answered_by_scripted_texts_in_order_and_then_by_the_rules(glm: Any) -> None:
    glm.emu.say("A red cat.", "Two cats.")
    assert [text_of(glm.chat("Hm.")) for _ in range(2)] == ["A red cat.", "Two cats."]
    assert text_of(glm.chat("Hm.")).startswith("This is an emulator")


def test_a_stream_adds_up_to_the_scripted_text(glm: Any) -> None:
    glm.emu.say("A red cat sits on the mat, and looks at the bird.")
    pieces = streamed(glm.frames("Hm."))
    assert "".join(pieces) == "A red cat sits on the mat, and looks at the bird."
    assert len(pieces) > 2


@pytest.mark.parametrize("base", ["platform", "proxy"])
def test_a_scripted_tool_call_is_sent_with_its_arguments(glm: Any, base: str) -> None:
    glm.emu.call("get_weather", city="Paris").also("get_time", zone=1).also("get_time")
    url = (glm.emu.base_url if base == "platform" else glm.emu.proxy_url) + "/chat/completions"
    answer = glm.http.post(url, json={"model": "glm-4.6v", "messages": [glm.user("Hm.")], "tools": [WEATHER]})
    functions = [call["function"] for call in message(answer)["tool_calls"]]
    assert [(call["name"], json.loads(call["arguments"])) for call in functions] == [
        ("get_weather", {"city": "Paris"}), ("get_time", {"zone": 1}), ("get_time", {}),
    ]  # fmt: skip
    assert answer.json()["choices"][0]["finish_reason"] == "tool_calls"


def test_a_scripted_tool_call_may_have_arguments_named_name_and_self(glm: Any) -> None:
    glm.emu.call("f", name="x", self=1)
    assert json.loads(message(glm.chat("Hm.", model="glm-4.6v"))["tool_calls"][0]["function"]["arguments"]) == {
        "name": "x", "self": 1,
    }  # fmt: skip


def test_a_reply_can_set_every_field_of_an_answer(glm: Any) -> None:
    glm.emu.say(
        Reply(
            "Here:",
            reasoning="Hm.",
            tool_calls=[ToolCall("f", '{"broken": ')],
            finish_reason="stop",
            usage={"prompt_tokens": 7, "completion_tokens": 5, "cached_tokens": 3, "reasoning_tokens": 2},
            boxes=[(1, 2, 30, 40), (0, 0, 1000, 1000)],
        )
    )
    answer = glm.chat("Hm.", thinking={"type": "disabled"})
    assert message(answer)["content"] == "Here: <|begin_of_box|>[[1,2,30,40],[0,0,1000,1000]]<|end_of_box|>"
    assert message(answer)["reasoning_content"] == "Hm."
    assert message(answer)["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"broken": '}
    assert answer.json()["choices"][0]["finish_reason"] == "stop"
    assert answer.json()["usage"] == {
        "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2},
    }  # fmt: skip


def test_a_stream_is_split_as_the_chunking_of_the_reply_says(glm: Any) -> None:
    glm.emu.say(Reply(chunking=["A r", "ed c", "at."]), Reply("A red cat.", chunking=1))
    assert streamed(glm.frames("Hm.")) == ["A r", "ed c", "at."]
    assert streamed(glm.frames("Hm.")) == ["A", " red", " cat", "."]


def test_the_content_filter_and_stop_words_and_max_tokens_apply_to_scripted_text(glm: Any) -> None:
    glm.emu.say(*["one two three four"] * 2, Reply(chunking=["one two ", "three four"]), "A long and secret text.")
    assert text_of(glm.chat("Hm.", stop=["three"])) == "one two "
    short = glm.chat("Hm.", max_tokens=2).json()["choices"][0]
    assert (short["message"]["content"], short["finish_reason"]) == ("one two", "length")
    assert streamed(glm.frames("Hm.", stop=["four"])) == ["one two ", "three "]
    assert glm.chat("EMU-SENSITIVE-OUTPUT").json()["choices"][0]["finish_reason"] == "sensitive"


def test_finish_reason_and_usage_of_a_reply_replace_the_computed_values(glm: Any) -> None:
    glm.emu.say(Reply("one two three", finish_reason="stop", usage={"completion_tokens": 99}))
    answer = glm.chat("Hm.", max_tokens=1).json()
    assert (answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]) == ("stop", 99)
    glm.emu.say(Reply("Half of", finish_reason="sensitive"))
    withdrawn = glm.chat("Hm.").json()
    assert (withdrawn["choices"][0]["finish_reason"], "content_filter" in withdrawn) == ("sensitive", True)


@pytest.mark.parametrize(
    ("make", "message_"),
    [
        (lambda: ToolCall(""), "name of a tool"),
        (lambda: ToolCall("f", ["x"]), "dict or a str"),  # type: ignore[arg-type]
        (lambda: ToolCall("f", {"x": object()}), "not serializable"),
        (lambda: Reply(5), "text must be a str"),  # type: ignore[arg-type]
        (lambda: Reply(reasoning=None), "reasoning must be a str"),  # type: ignore[arg-type]
        (lambda: Reply(finish_reason=""), "finish_reason"),
        (lambda: Reply(tool_calls=["f"]), "list of ToolCall"),  # type: ignore[list-item]
        (lambda: Reply(tool_calls=5), "list of ToolCall"),  # type: ignore[arg-type]
        (lambda: Reply(tool_calls=ToolCall("f")), "list of ToolCall"),  # type: ignore[arg-type]
        (lambda: Reply(tool_calls={"f": 1}), "list of ToolCall"),  # type: ignore[arg-type]
        (lambda: Reply(tool_calls=None), "list of ToolCall"),  # type: ignore[arg-type]
        (lambda: Reply(usage=5), "usage must be a dict"),  # type: ignore[arg-type]
        (lambda: Reply(usage=["prompt_tokens"]), "usage must be a dict"),  # type: ignore[arg-type]
        (lambda: Reply(boxes=5), "list of boxes"),  # type: ignore[arg-type]
        (lambda: Reply(boxes=[5]), "0 to 1000"),  # type: ignore[list-item]
        (lambda: Reply(boxes=["1234"]), "0 to 1000"),
        (lambda: Reply(chunking=2.5), "list of str"),  # type: ignore[arg-type]
        (lambda: Reply(chunking=True), "list of str"),
        (lambda: Reply(usage={"tokens": 5}), "usage has no field 'tokens'"),
        (lambda: Reply(usage={"prompt_tokens": -1}), "number of tokens"),
        (lambda: Reply(boxes=[(0, 0, 1001, 5)]), "0 to 1000"),
        (lambda: Reply(boxes=[(5, 0, 1, 5)]), "0 to 1000"),
        (lambda: Reply(chunking=0), "at least 1 token"),
        (lambda: Reply(chunking="abc"), "list of str"),
        (lambda: Reply("ab", chunking=["a", "c"]), "add up to 'ac'"),
        (lambda: Emulator().say(5), "Reply or a str"),  # type: ignore[arg-type]
        (lambda: Emulator().say("x", None), "Reply or a str"),  # type: ignore[arg-type]
        (lambda: Emulator().call("f", x=object()), "not serializable"),
        (lambda: Emulator().answer("x"), "takes a function"),  # type: ignore[arg-type]
        (lambda: Emulator().answer(lambda: "x"), "must take one argument"),  # type: ignore[arg-type, misc]
    ],
)
def test_an_invalid_answer_is_refused_when_it_is_scripted(make: Any, message_: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message_):
        make()


def test_the_fields_of_a_reply_may_be_iterators() -> None:
    reply = Reply(
        tool_calls=(ToolCall(name) for name in "fg"),  # type: ignore[arg-type]
        boxes=(range(at, at + 4) for at in (1, 5)),  # type: ignore[arg-type]
        chunking=(piece for piece in ("a ", "cat")),  # type: ignore[arg-type]
    )
    assert [call.name for call in reply.tool_calls] == ["f", "g"]
    assert reply.content == "a cat <|begin_of_box|>[[1,2,3,4],[5,6,7,8]]<|end_of_box|>"


def test_a_token_limit_truncates_the_arguments_of_a_tool_call(glm: Any) -> None:
    call = ToolCall("get_weather", {"city": "Paris", "days": [1, 2, 3]})
    glm.emu.say(*[Reply("Yes.", tool_calls=[call, call])] * 2, Reply(tool_calls=[call], finish_reason="tool_calls"))
    answer = glm.chat("Hm.", model="glm-4.6v", max_tokens=12).json()
    (choice,) = answer["choices"]
    (shortened,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 12
    assert shortened["function"]["name"] == "get_weather"
    assert call.written.startswith(shortened["function"]["arguments"])
    assert 0 < len(shortened["function"]["arguments"]) < len(call.written)
    last = glm.frames("Hm.", model="glm-4.6v", max_tokens=12)[-2]["choices"][0]
    assert last["finish_reason"] == "length"
    choice = glm.chat("Hm.", model="glm-4.6v", max_tokens=12).json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"


def test_reasoning_tokens_never_exceed_completion_tokens(glm: Any) -> None:
    thought = "Let me think about this for a long while. " * 5
    glm.emu.say(Reply("Yes.", thought), Reply("Yes.", thought, usage={"completion_tokens": 3}))
    glm.emu.say(Reply("Yes.", usage={"reasoning_tokens": 500}))
    for text in ("EMU-SENSITIVE-OUTPUT", "Hm.", "Hm."):
        usage = glm.chat(text).json()["usage"]
        assert usage["completion_tokens"] >= usage["completion_tokens_details"]["reasoning_tokens"]


def test_an_asynchronous_answer_function_is_refused() -> None:
    async def later(ask: Ask) -> str:
        return ""

    with pytest.raises(TypeError, match="must not be async"):
        Emulator().answer(later)  # type: ignore[arg-type]


def test_the_module_of_every_public_name_is_glmv_emulator() -> None:
    assert {one.__module__ for one in (Ask, Medium, Reply, ToolCall, default_answer)} == {"glmv_emulator"}


# Which request uses an answer up


def test_answers_can_be_scripted_before_the_emulator_starts() -> None:
    emulator = Emulator()
    emulator.say("A red cat.")
    with emulator:
        assert [reply.text for reply in emulator.unused] == ["A red cat."]


def test_a_refused_request_leaves_the_scripted_answer_in_the_queue(glm: Any) -> None:
    glm.emu.say("A red cat.")
    assert glm.code("Hm.", model="glm-9v") == "1211"
    assert glm.code("EMU-SENSITIVE-INPUT") == "1301"
    assert glm.http.post(f"{glm.emu.base_url}/chat/completions", content=b"{").status_code == 400
    assert (
        glm.http.post(f"{glm.emu.base_url}/chat/completions", json={}, headers={"authorization": "x"}).status_code
        == 401
    )
    assert len(glm.emu.unused) == 1
    assert text_of(glm.chat("Hm.")) == "A red cat."
    assert glm.emu.unused == []


ANY = ("busy", "status-503", "login-page", "no-answer", "reset-in-headers", "garbage", "redirect")
WHOLE = ("half-body", "reset-in-body", "error-in-200", "empty-body")
STREAMED = ("truncated", "cut", "busy-event", "filtered-midway", "withdrawn", "network-error", "invalid-json",
            "error-for-stream")  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "stream"),
    [(fault, stream) for stream in (True, False) for fault in (*ANY, *(STREAMED if stream else WHOLE))],
)
def test_a_fault_that_prevents_the_answer_leaves_the_scripted_answer_in_the_queue(
    glm: Any, fault: str, stream: bool
) -> None:
    glm.emu.say("A red cat sits on the mat, and looks at the bird.", "Two cats.")
    glm.emu.inject(fault)
    with contextlib.suppress(httpx.HTTPError):
        glm.chat("Hm.", stream=stream)
    assert glm.emu.requests[-1].fault is not None
    assert [len(reply.text) for reply in glm.emu.unused] == [49, 9]
    assert text_of(glm.chat("Hm.")) == "A red cat sits on the mat, and looks at the bird."


@pytest.mark.parametrize("fault", ["odd-framing", "no-done", "double-done", "idle-close", "slow"])
def test_a_fault_that_does_not_cut_the_answer_uses_the_scripted_answer(glm: Any, fault: str) -> None:
    glm.emu.say("A red cat.")
    glm.emu.inject(fault)
    glm.chat("Hm.", stream=True)
    assert glm.emu.unused == []


def until_ended(glm: Any) -> None:
    glm.emu.report()  # waits until the connections that were closed are seen to be


def test_a_scripted_answer_stays_in_the_queue_if_the_client_gives_up_waiting(glm: Any) -> None:
    glm.emu.say("A red cat.")
    glm.emu.stall()
    with pytest.raises(httpx.ReadTimeout):
        glm.post(glm.hello(), timeout=0.2)
    until_ended(glm)
    assert text_of(glm.chat("Hm.")) == "A red cat."


def test_a_scripted_answer_stays_in_the_queue_if_the_client_closes_a_stalled_stream(glm: Any) -> None:
    glm.emu.say("A red cat sits on the mat, and looks at the bird.")
    glm.emu.stall(after=2)
    with pytest.raises(httpx.ReadTimeout):
        glm.post(glm.hello(stream=True), timeout=0.2)
    until_ended(glm)
    assert len(glm.emu.unused) == 1


def test_a_stalled_stream_that_continues_uses_the_scripted_answer(glm: Any) -> None:
    glm.emu.say("A red cat sits on the mat, and looks at the bird.")
    glm.emu.stall(after=2)
    with glm.streaming() as answer:
        lines = answer.iter_lines()
        next(lines)
        glm.emu.release()
        assert "[DONE]" in "".join(lines)
    assert glm.emu.unused == []


def test_a_stream_that_the_client_closes_early_uses_the_scripted_answer(emulate: Any) -> None:
    glm = emulate(pace=60.0)
    glm.emu.say("A red cat sits on the mat, and looks at the bird.")
    with glm.streaming() as answer:
        next(answer.iter_raw())
    until_ended(glm)
    assert glm.emu.unused == []


def test_concurrent_requests_use_each_scripted_answer_once(glm: Any) -> None:
    glm.emu.say(*map(str, range(40)))
    picture = (glm.base64(glm.drawn()),)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: text_of(glm.chat("Hm.", *[picture] * (number % 2))), range(40)))
    assert sorted(answers, key=int) == list(map(str, range(40)))
    assert glm.emu.unused == []


def test_concurrent_requests_that_fail_use_no_scripted_answer(glm: Any) -> None:
    glm.emu.say(*map(str, range(20)))
    glm.emu.fail(times=20)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: glm.chat("Hm.").status_code, range(20))) == {429}
    assert [reply.text for reply in glm.emu.unused] == list(map(str, range(20)))


def test_a_reset_removes_scripted_answers_and_the_answer_function(glm: Any) -> None:
    glm.emu.say("A red cat.")
    glm.emu.answer(lambda ask: "Two cats.")
    glm.emu.reset()
    assert glm.emu.unused == []
    assert text_of(glm.chat("Hm.")).startswith("This is an emulator")


def test_a_failed_request_does_not_restore_an_answer_that_a_reset_removed(glm: Any) -> None:
    glm.emu.say("A red cat.")
    glm.emu.stall()
    done = threading.Event()

    def give_up() -> None:
        with pytest.raises(httpx.ReadTimeout):
            glm.post(glm.hello(), timeout=1.0)
        done.set()

    thread = threading.Thread(target=give_up)
    thread.start()
    while glm.emu.unused:
        pass
    glm.emu._script.reset()
    done.wait(10)
    thread.join()
    until_ended(glm)
    assert glm.emu.unused == []


def test_no_tool_call_can_be_added_to_an_answer_that_was_sent(glm: Any) -> None:
    answer = glm.emu.call("f")
    glm.chat("Hm.")
    with pytest.raises(RuntimeError, match="already used or removed"):
        answer.also("g")


def test_an_asynchronous_task_uses_one_scripted_answer(glm: Any) -> None:
    glm.emu.say("A red cat.")
    data = glm.post({"model": "glm-4.6v", "messages": [glm.user("Hm.")]}, "/async/chat/completions").json()
    assert glm.emu.unused == []
    results = [glm.get(f"/async-result/{data['id']}").json() for _ in range(3)]
    assert results[-1]["choices"][0]["message"]["content"] == "A red cat."


def batch(glm: Any, *bodies: dict[str, Any]) -> dict[str, Any]:
    """Run a batch of these requests -> the body of each response, by custom id."""
    lines = [
        {"custom_id": f"line-{number}", "method": "POST", "url": "/v4/chat/completions", "body": body}
        for number, body in enumerate(bodies)
    ]
    data = "\n".join(json.dumps(line) for line in lines).encode()
    url = f"{glm.emu.base_url}/files"
    file = glm.http.post(url, files={"file": ("in.jsonl", data)}, data={"purpose": "batch"}).json()
    identity = glm.post({"input_file_id": file["id"], "endpoint": "/v4/chat/completions"}, "/batches").json()["id"]
    while (state := glm.get(f"/batches/{identity}").json())["status"] != "completed":
        pass
    values = {}
    for name in ("output_file_id", "error_file_id"):
        if state[name]:
            for line in glm.get(f"/files/{state[name]}/content").text.splitlines():
                answer = json.loads(line)
                values[answer["custom_id"]] = answer["response"]["body"]
    return values


def test_only_valid_lines_of_a_batch_use_scripted_answers_and_in_order(glm: Any) -> None:
    glm.emu.say("one", "two", "three")
    good, bad = (
        glm.hello(model="glm-4-plus", messages=[{"role": "user", "content": "Hm."}]),
        glm.hello(model="glm-4-plus", max_tokens=0),
    )
    result = batch(glm, good, bad, good)
    assert result["line-0"]["choices"][0]["message"]["content"] == "one"
    assert result["line-1"]["error"]["code"] == "1214"
    assert result["line-2"]["choices"][0]["message"]["content"] == "two"
    assert [reply.text for reply in glm.emu.unused] == ["three"]


# A function


def test_an_answer_function_sees_the_content_and_options_of_every_request(glm: Any) -> None:
    requests: list[Ask] = []

    def answer(ask: Ask) -> Reply | str:
        requests.append(ask)
        return Reply(f"{len(ask.media)} pictures") if ask.media else f"You said: {ask.text}"

    glm.emu.answer(answer)
    system = {"role": "system", "content": "Be brief."}
    body = {
        "model": "GLM-4.6V",
        "messages": [system, glm.user("Hello")],
        "tools": [WEATHER],
        "stream": False,
        "seed": 3,
    }
    assert text_of(glm.post(body)) == "You said: Hello"
    assert text_of(glm.chat((glm.base64(glm.drawn(size=(60, 40))),), "Hm.")) == "1 pictures"
    assert "".join(streamed(glm.frames("Hello"))) == "You said: Hello"
    first, picture, stream = requests
    assert (first.model, first.kind, first.text, first.system, first.seed) == (
        "glm-4.6v",
        "chat",
        "Hello",
        "Be brief.",
        3,
    )
    assert (first.tools, first.thinking, first.stream, first.body["model"]) == ([WEATHER], True, False, "GLM-4.6V")
    assert (first.tool_choice, first.response_format) == (None, None)
    (medium,) = picture.media
    assert (medium.kind, medium.width, medium.height, medium.colours) == ("image", 60, 40, ("red",))
    assert stream.stream


def test_an_answer_function_can_distinguish_tasks_from_batches(glm: Any) -> None:
    glm.emu.answer(lambda ask: ask.kind)
    data = glm.post({"model": "glm-4.6v", "messages": [glm.user("Hm.")]}, "/async/chat/completions").json()
    results = [glm.get(f"/async-result/{data['id']}").json() for _ in range(3)]
    assert results[-1]["choices"][0]["message"]["content"] == "task"
    line = glm.hello(model="glm-4-plus", messages=[{"role": "user", "content": "Hm."}])
    assert batch(glm, line)["line-0"]["choices"][0]["message"]["content"] == "batch"


def test_scripted_answers_take_precedence_over_the_answer_function(glm: Any) -> None:
    glm.emu.answer(lambda ask: "by the function")
    glm.emu.say("said")
    assert [text_of(glm.chat("Hm.")) for _ in range(2)] == ["said", "by the function"]


def test_an_answer_function_can_return_the_default_answer(glm: Any) -> None:
    glm.emu.answer(lambda ask: default_answer(ask) if ask.media else "words")
    assert text_of(glm.chat("Hm.")) == "words"
    assert text_of(glm.chat((glm.base64(glm.drawn()),), "Hm.")).startswith("Picture 1 is a PNG")


def test_tool_choice_is_visible_to_an_answer_function_only_in_requests_to_v1(glm: Any) -> None:
    record: list[Any] = []
    glm.emu.answer(lambda ask: record.append(ask.tool_choice) or "ok")  # type: ignore[func-returns-value]
    body = {"model": "glm-4.6v", "messages": [glm.user("Hm.")], "tools": [WEATHER], "tool_choice": "required"}
    glm.http.post(f"{glm.emu.proxy_url}/chat/completions", json=body)
    glm.post(body)
    assert record == ["required", None]


def test_an_answer_function_that_raises_causes_status_500_and_its_traceback_is_shown(
    emulate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(ask: Ask) -> str:
        raise ZeroDivisionError("by my own hand")

    def run() -> None:
        with Emulator() as emulator, httpx.Client(trust_env=False) as http:
            emulator.answer(broken)
            headers = {"authorization": f"Bearer {emulator.api_key}"}
            body = {"model": "glm-4.6v", "messages": [{"role": "user", "content": "Hm."}]}
            answer = http.post(f"{emulator.base_url}/chat/completions", json=body, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "500")
            assert [repr(error) for error in emulator.errors] == ["ZeroDivisionError('by my own hand')"]
            answer.raise_for_status()

    with pytest.raises(httpx.HTTPStatusError) as failed:
        run()
    (note,) = failed.value.__notes__
    assert "in broken" in note
    assert "by my own hand" in note
    assert "by my own hand" in caplog.text


@pytest.mark.parametrize("wrong", [None, 5, ["x"]])
def test_an_answer_function_that_returns_neither_reply_nor_str_is_reported(glm: Any, wrong: Any) -> None:
    glm.emu.answer(lambda ask: wrong)
    assert "Reply or a str" in glm.chat("Hm.").json()["error"]["message"]
    glm.emu.reset()
    assert glm.emu.errors == []


def test_if_the_answer_function_raises_for_a_batch_line_only_that_line_fails(glm: Any) -> None:
    glm.emu.answer(lambda ask: str(1 / len(ask.text.removeprefix("Hm."))))
    good = glm.hello(model="glm-4-plus", messages=[{"role": "user", "content": "Hm.."}])
    bad = glm.hello(model="glm-4-plus", messages=[{"role": "user", "content": "Hm."}])
    result = batch(glm, bad, good)
    assert result["line-0"]["error"]["code"] == "500"
    assert result["line-1"]["choices"][0]["message"]["content"] == "1.0"


@pytest.mark.parametrize("raised", [StopIteration("no more"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_any_exception_of_an_answer_function_causes_status_500_and_is_recorded(glm: Any, raised: BaseException) -> None:
    def broken(ask: Ask) -> str:
        raise raised

    glm.emu.answer(broken)
    answer = glm.chat("Hm.")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "500")
    assert glm.emu.errors == [raised]


def test_an_emulator_stops_although_an_answer_function_never_returns(emulate: Any) -> None:
    glm, called, never = emulate(), threading.Event(), threading.Event()
    glm.emu.answer(lambda ask: str(called.set() or never.wait()))  # type: ignore[func-returns-value]
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(glm.chat, "Hm.")
        assert called.wait(10)
        ends = threading.Thread(target=glm.emu.stop, daemon=True)
        ends.start()
        ends.join(10)
        assert not ends.is_alive()
        with pytest.raises(httpx.HTTPError):
            future.result()
    never.set()


def test_answer_functions_that_wait_do_not_block_other_requests(emulate: Any) -> None:
    glm, count = emulate(), 50  # more than any pool of the interpreter's own has threads
    together = threading.Barrier(count, timeout=20)
    glm.emu.answer(lambda ask: "ok" if together.wait() >= 0 else "")
    picture = glm.base64(glm.drawn())
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda number: glm.chat((picture,), "Hm."), range(count)))
    assert {text_of(answer) for answer in answers} == {"ok"}


# The fixture and the command


@pytest.fixture
def run_tests(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run tests that use the fixture `glmv_emulator` in a separate process."""

    def run(body: str) -> pytest.RunResult:
        root = Path(__file__).parents[3]
        monkeypatch.setenv("PYTHONPATH", str(root))
        ask = (
            "import httpx\n"
            "def ask(emu):\n"
            "    body = {'model': 'glm-4.6v', 'messages': [{'role': 'user', 'content': 'Hm.'}]}\n"
            "    headers = {'authorization': f'Bearer {emu.api_key}'}\n"
            "    return httpx.post(f'{emu.base_url}/chat/completions', json=body, headers=headers, trust_env=False)\n"
        )
        pytester.makepyfile(ask + body)
        return pytester.runpytest_subprocess("-p", "no:xdist", "-q")

    return run


def test_the_fixture_fails_a_test_that_leaves_answers_unused(run_tests: Any) -> None:
    result = run_tests(
        "def test_one(glmv_emulator):\n    glmv_emulator.say('A red cat.')\n    glmv_emulator.call('f', x=1)\n"
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*2 scripted answers were not used*", "*'A red cat.'*", '*f({"x": 1})*'])


def test_the_fixture_adds_no_error_if_all_answers_are_used_or_the_test_fails(run_tests: Any) -> None:
    result = run_tests(
        "def test_one(glmv_emulator):\n    glmv_emulator.say('A red cat.')\n    ask(glmv_emulator)\n"
        "def test_two(glmv_emulator):\n    glmv_emulator.say('A red cat.')\n    assert False\n"
    )
    result.assert_outcomes(passed=1, failed=1)


def test_the_fixture_shows_the_exception_that_the_answer_function_raised(run_tests: Any) -> None:
    result = run_tests(
        "def broken(ask):\n    raise ZeroDivisionError('by my own hand')\n"
        "def test_one(glmv_emulator):\n    glmv_emulator.answer(broken)\n"
        "    assert ask(glmv_emulator).status_code == 500\n"
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*The function given to answer() raised*", "*by my own hand*"])


def test_pytest_fail_or_skip_in_an_answer_function_fails_or_skips_the_test(run_tests: Any) -> None:
    result = run_tests(
        "import pytest\n"
        "def test_one(glmv_emulator):\n"
        "    glmv_emulator.answer(lambda ask: pytest.fail('by my own hand'))\n    ask(glmv_emulator)\n"
        "def test_two(glmv_emulator):\n"
        "    glmv_emulator.answer(lambda ask: pytest.skip('not today'))\n    ask(glmv_emulator).raise_for_status()\n"
        "def test_three(glmv_emulator):\n"
        "    glmv_emulator.answer(lambda ask: exit(3))\n    ask(glmv_emulator)\n"
    )
    result.assert_outcomes(passed=1, failed=1, skipped=1, errors=1)
    result.stdout.fnmatch_lines(["*The function given to answer() raised*", "*by my own hand*"])


def test_each_text_of_the_command_line_option_say_becomes_a_scripted_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from glmv_emulator.__main__ import main

    texts: list[str] = []
    monkeypatch.setattr(Emulator, "wait", lambda self: texts.extend(reply.text for reply in self.unused))
    assert main(["--say", "A red cat.", "--say", "Two cats."]) == 0
    assert texts == ["A red cat.", "Two cats."]
