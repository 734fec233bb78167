"""Chat answers of the platform: the shapes of three eras, the limits, and refusals with their codes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from glmv_emulator import Emulator

FUNCTION = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}


def text_of(answer: Any) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


def streamed(frames: list[Any]) -> str:
    chunks = [frame for frame in frames if frame != "[DONE]"]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


@pytest.mark.parametrize("era", ["2024", "2025", "2026"])
@pytest.mark.parametrize("model", ["glm-4v", "glm-4.6v", "glm-4"])
def test_a_stream_adds_up_to_the_whole_answer(emulate: Any, era: str, model: str) -> None:
    glm = emulate(era=era)
    content = ["Tell me of it"] if model == "glm-4" else [(glm.emu.host(glm.drawn()),), "Tell me of it"]
    whole, frames = glm.chat(*content, model=model), glm.frames(*content, model=model)
    assert streamed(frames) == text_of(whole)
    assert frames[-1] == "[DONE]"
    assert frames[-2]["usage"] == whole.json()["usage"]
    assert frames[-2]["choices"][0]["finish_reason"] == whole.json()["choices"][0]["finish_reason"] == "stop"


def test_a_stream_is_written_one_chunk_at_a_time(glm: Any) -> None:
    body = {"model": "glm-4v", "messages": [glm.user((glm.base64(glm.drawn()),), "Describe it")], "stream": True}
    with glm.http.stream("POST", f"{glm.emu.base_url}/chat/completions", json=body) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["transfer-encoding"] == "chunked"
        text = b"".join(answer.iter_raw()).decode()
    pieces = [json.loads(line[6:])["choices"][0]["delta"].get("content", "") for line in text.split("\n\n")[:-3]]
    assert len(pieces) > 5
    assert max(len(piece) for piece in pieces) < 30


def test_the_ids_and_fields_of_a_stream_depend_on_the_option_era(emulate: Any) -> None:
    first = {era: emulate(era=era).frames("Hello", model="glm-4.5")[0] for era in ("2024", "2025", "2026")}
    assert isinstance(first["2024"]["created"], str)
    assert isinstance(first["2025"]["created"], int)
    assert re.fullmatch(r"emu-\d{19}", first["2024"]["id"])
    assert re.fullmatch(r"emu-\d{14}[0-9a-f]{16}", first["2026"]["id"])
    assert [first[era].get("object") for era in first] == [None, None, "chat.completion.chunk"]
    assert "request_id" not in first["2024"]


def test_usage_is_counted_by_the_published_formula(glm: Any) -> None:
    # 3 for the message, 1 CJK character each, "size" one token, "?" one; 280 x 140 pixels are 10 x 5 cells.
    answer = glm.chat((glm.emu.host(glm.drawn(size=(280, 140))),), "多大 size?", model="glm-4v")
    usage = answer.json()["usage"]
    assert usage["prompt_tokens"] == 3 + 2 + 1 + 1 + 50
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_short_request_id_is_accepted_unless_the_emulator_is_strict(emulate: Any) -> None:
    loose, strict = emulate(), emulate(strict={"request-id-6"})
    assert loose.chat("Hello", request_id="1").json()["request_id"] == "1"
    assert strict.chat("Hello", request_id="short").json()["error"]["code"] == "1214"
    assert strict.chat("Hello", request_id="longer").status_code == 200


def test_an_answer_has_the_request_id_of_the_request_or_a_generated_id(glm: Any) -> None:
    assert glm.chat("Hello", request_id="my-request-1").json()["request_id"] == "my-request-1"
    assert glm.chat("Hello").json()["request_id"].startswith("emu-")


def test_upper_and_lower_case_in_a_model_name_are_not_distinguished(glm: Any) -> None:
    assert glm.chat("Hello", model="GLM-4V-Plus").json()["model"] == "glm-4v-plus"


def test_null_fields_count_as_absent(glm: Any) -> None:
    nulls = dict.fromkeys(["thinking", "response_format", "tools", "stop", "temperature", "max_tokens", "stream"])
    assert glm.chat("Hello", **nulls).status_code == 200


@pytest.mark.parametrize("encoded", ["raw", "data URI", "hosted"])
def test_a_picture_is_read_from_base64_or_a_data_uri_or_a_hosted_url(glm: Any, encoded: str) -> None:
    picture = glm.drawn(size=(77, 33))
    raw = glm.base64(picture)
    url = {"raw": raw, "data URI": f"data:image/png;base64,{raw}", "hosted": glm.emu.host(picture)}[encoded]
    assert "77" in text_of(glm.chat((url,), "How large is it?"))


def test_strict_base64_accepts_no_data_uri(emulate: Any) -> None:
    glm = emulate(strict={"base64"})
    raw = glm.base64(glm.drawn())
    assert glm.code((raw,), "Hm") == ""
    assert glm.code((f"data:image/png;base64,{raw}",), "Hm") == "1210"


def spoilt(glm: Any) -> dict[str, str]:
    picture = glm.drawn(size=(400, 300), form="JPEG")
    raw = glm.base64(picture)
    return {
        "cut off": glm.base64(picture[: len(picture) // 2]),
        "not a picture": glm.base64(b"just words, and more of them"),
        "of a form that is not listed": glm.base64(glm.drawn(form="GIF")),
        "broken into lines": "\n".join(raw[start : start + 76] for start in range(0, len(raw), 76)),
        "URL-safe": raw.replace("/", "_").replace("+", "-"),
        "without its padding": glm.base64(picture + b"x" * (1 - len(picture) % 3 % 2)).rstrip("=") + "A",
        "encoded twice": glm.base64(raw.encode()),
        "of another kind": f"data:text/html;base64,{raw}",
        "a file URL": "file:///etc/passwd",
        "a path": "/etc/passwd",
        "without its scheme": "www.example.com/picture.jpg",
        "too large": glm.base64(picture + b"\0" * (5 * 1024 * 1024)),
        "too wide": glm.base64(glm.drawn(size=(6001, 10))),
    }


def test_a_damaged_picture_is_refused(glm: Any) -> None:
    codes = {how: glm.code((url,), "What is it?", model="glm-4v") for how, url in spoilt(glm).items()}
    assert codes == dict.fromkeys(codes, "1210")


def test_a_model_accepts_as_many_pictures_as_the_table_of_models_says(glm: Any) -> None:
    url = glm.emu.host(glm.drawn())
    assert glm.code(*[(url,)] * 5, "Compare", model="glm-4v") == ""
    assert glm.code(*[(url,)] * 6, "Compare", model="glm-4v") == "1210"
    assert glm.code(*[(url,)] * 2, "Compare", model="glm-4v-flash") == "1210"
    assert glm.code((glm.base64(glm.drawn()),), "See", model="glm-4v-flash") == "1210"


def test_uncertain_limits_are_applied_only_by_a_strict_emulator(emulate: Any) -> None:
    loose, strict = emulate(), emulate(strict=Emulator.DOUBTS)
    url = loose.emu.host(loose.drawn(size=(28, 28)))
    asks: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("1210", ((f"data:image/png;base64,{loose.base64(loose.drawn())}",), "x"), {"model": "glm-4v"}),
        ("1214", ("x",), {"model": "glm-4v", "max_tokens": 4095}),
        ("1214", ("x",), {"model": "glm-4.1v-thinking-flash", "max_tokens": 32768}),
        ("1210", (*[(url,)] * 51, "x"), {"model": "glm-4.6v"}),
        ("1214", ("x",), {"model": "glm-4.6v", "stop": "end"}),
        ("1214", ("x",), {"model": "glm-4.6v", "temperature": 1}),
        ("1214", ("x",), {"model": "glm-4v", "top_p": 0}),
        ("1210", ({"type": "image_url", "image_url": {"url": url, "detail": "auto"}}, "x"), {"model": "glm-4.6v"}),
        ("1210", ("x",), {"model": "glm-4.5v", "tools": [FUNCTION]}),
        ("1214", ("x",), {"model": "glm-4.6v", "stop": ["a", "b"]}),
    ]
    for code, content, more in asks:
        assert loose.code(*content, **more) == ""
        assert strict.code(*content, **more) == code


@pytest.mark.parametrize(
    ("code", "more"),
    [
        ("1214", {"temperature": 1.01}),
        ("1214", {"temperature": -0.1}),
        ("1214", {"temperature": "warm"}),
        ("1214", {"top_p": 2}),
        ("1214", {"max_tokens": 0}),
        ("1214", {"max_tokens": 8193}),
        ("1214", {"max_tokens": True}),
        ("1214", {"stream": "yes"}),
        ("1214", {"stop": ["a"] * 5}),
        ("1214", {"stop": 5}),
        ("1214", {"user_id": "short"}),
        ("1214", {"user_id": "x" * 129}),
        ("1214", {"request_id": ""}),
        ("1214", {"request_id": "x" * 65}),
        ("1211", {"model": "glm-9v"}),
        ("1212", {"model": "embedding-3"}),
        ("1214", {"model": 5}),
        ("1213", {"model": None}),
        ("1213", {"messages": None}),
        ("1214", {"messages": []}),
        ("1214", {"messages": "Hello"}),
        ("1214", {"messages": [{"role": "robot", "content": "x"}]}),
        ("1214", {"messages": [{"role": "system", "content": "x"}]}),
        ("1214", {"messages": [{"role": "assistant", "content": "x"}, {"role": "user", "content": "x"}]}),
        ("1213", {"messages": [{"role": "user"}]}),
        ("1214", {"messages": [{"role": "user", "content": []}]}),
        ("1214", {"messages": [{"role": "user", "content": ""}]}),
        ("1214", {"messages": [{"role": "user", "content": ["x"]}]}),
        ("1210", {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}),
        ("1213", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        ("1213", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}),
        ("1210", {"tools": [FUNCTION]}),
        ("1214", {"tools": [FUNCTION] * 129, "model": "glm-4.6v"}),
        ("1214", {"tools": [{"type": "web_search", "web_search": {}}], "model": "glm-4.6v"}),
        ("1214", {"tools": [{"type": "function", "function": {"name": "no good"}}], "model": "glm-4.6v"}),
        ("1214", {"top_p": 0.0, "model": "glm-4.6v"}),
        ("1214", {"thinking": {"type": "maybe"}, "model": "glm-4.6v"}),
        ("1210", {"thinking": {"type": "disabled"}, "model": "glm-5.3-flash"}),
        ("1214", {"response_format": {"type": "xml"}, "model": "glm-4"}),
        ("1301", {"messages": [{"role": "user", "content": "EMU-SENSITIVE-INPUT"}]}),
        ("1261", {"messages": [{"role": "user", "content": "长" * 9000}]}),
    ],
)
def test_requests_that_the_documentation_forbids_are_refused_with_the_error_code(
    glm: Any, code: str, more: dict[str, Any]
) -> None:
    answer = glm.chat("Hello", **more)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


@pytest.mark.parametrize("more", [{"tools": [FUNCTION, {"type": "web_search", "web_search": {"enable": True}}]}, {}])
def test_text_models_accept_only_text(glm: Any, more: dict[str, Any]) -> None:
    assert glm.code("Hello", model="glm-4-plus", **more) == ""
    refused = glm.chat((glm.base64(glm.drawn()),), "Hello", model="glm-4-plus", **more)
    assert refused.json()["error"]["code"] == "1210"
    assert "['text']" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "Be brief."},
        {"role": "tool", "content": "5", "tool_call_id": "call_1"},
        {"role": "user", "content": "Not in a list."},
    ],
)
def test_glm_4v_refuses_system_and_tool_messages_and_user_messages_with_a_string(
    glm: Any, message: dict[str, Any]
) -> None:
    messages = [message, glm.user("Hello")]
    assert glm.post({"model": "glm-4v", "messages": messages}).status_code == 400
    if message["role"] != "tool":
        assert glm.post({"model": "glm-4.6v", "messages": messages}).status_code == 200


def test_a_tool_result_with_the_id_of_an_unknown_tool_call_is_refused(glm: Any) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "count", "arguments": "{}"}}
    values = {"role": "assistant", "content": "", "tool_calls": [call]}

    def code(**result: str) -> str:
        messages = [glm.user("Hello"), values, {"role": "tool", "content": "5", **result}]
        answer = glm.post({"model": "glm-4.6v", "messages": messages})
        return "" if answer.status_code == 200 else str(answer.json()["error"]["code"])

    assert code(tool_call_id="call_1") == ""
    assert code() == ""
    assert code(tool_call_id="call_2") == "1214"


def test_media_that_exclude_each_other_are_refused(glm: Any) -> None:
    picture = (glm.emu.host(glm.drawn()),)
    video = {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}
    file = {"type": "file_url", "file_url": {"url": "https://example.com/a.pdf"}}
    assert glm.code(picture, video, "x", model="glm-4.6v") == "1215"
    assert glm.code(picture, file, "x", model="glm-4.6v") == "1215"
    assert glm.code(file, "x", model="glm-4.6v") == ""
    assert glm.code("x", video, model="glm-4v-plus-0111") == "1210"
    assert glm.code(video, "x", model="glm-4v-plus-0111") == ""
    assert glm.code(video, "x", model="glm-4v") == "1210"


def test_error_messages_are_chinese_unless_english_is_requested(glm: Any) -> None:
    chinese, english = glm.chat("x", model="?"), glm.post({"model": "?"}, headers={"accept-language": "en-US,en"})
    assert "模型不存在" in chinese.json()["error"]["message"]
    assert english.json()["error"]["message"].isascii()


def test_the_error_of_an_exhausted_quota_says_when_the_quota_is_reset(glm: Any) -> None:
    glm.emu.fail(code=1308)
    assert re.search(r"将在 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d 重置", glm.chat("Hello").json()["error"]["message"])


def test_a_refusal_by_the_content_filter_names_the_role_of_the_filtered_text(glm: Any) -> None:
    body = glm.chat("EMU-SENSITIVE-INPUT").json()
    assert body["contentFilter"] == [{"level": 1, "role": "user"}]
    frames = glm.frames("Go on, EMU-SENSITIVE-OUTPUT")
    assert frames[-2]["choices"][0] == {
        "index": 0,
        "finish_reason": "sensitive",
        "delta": {"role": "user", "content": ""},
    }
    assert frames[-2]["content_filter"] == [{"role": "user", "level": 1}]
    assert "usage" not in frames[-2]


def test_an_answer_ends_just_before_a_stop_word(glm: Any) -> None:
    url = glm.emu.host(glm.drawn())
    whole = text_of(glm.chat((url,), "Describe it"))
    word = whole.split()[3]
    assert text_of(glm.chat((url,), "Describe it", stop=[word])) == whole[: whole.index(word)]


def test_max_tokens_truncates_the_answer_with_finish_reason_length(glm: Any) -> None:
    answer = glm.chat((glm.emu.host(glm.drawn()),), "Describe it", max_tokens=3).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3


def test_reasoning_can_use_up_max_tokens_so_that_the_answer_has_no_text(glm: Any) -> None:
    url = glm.emu.host(glm.drawn())
    answer = glm.chat((url,), "Describe it", model="glm-4.6v", max_tokens=2).json()
    message = answer["choices"][0]["message"]
    assert (message["content"], answer["choices"][0]["finish_reason"]) == ("", "length")
    assert message["reasoning_content"]
    off = glm.chat((url,), "Describe it", model="glm-4.6v", thinking={"type": "disabled"}).json()
    assert "reasoning_content" not in off["choices"][0]["message"]


def test_a_body_that_is_not_a_json_object_is_refused(glm: Any) -> None:
    url = f"{glm.emu.base_url}/chat/completions"
    for body in (b"", b"{", b"[]", b"[" * 100_000, b'{"model": NaN}', b"\xff"):
        assert glm.http.post(url, content=body).json()["error"]["code"] == "1210"


def test_a_wrong_path_gets_status_200_and_a_flat_error_body_if_the_key_is_valid(glm: Any) -> None:
    answer = glm.get("/no/such/path")
    assert (answer.status_code, answer.json()) == (200, {"code": 500, "msg": "404 NOT_FOUND", "success": False})
    keyless = glm.get("/no/such/path", headers={"authorization": ""})
    assert (keyless.status_code, keyless.json()["error"]["code"]) == (401, "1001")


def test_a_call_above_the_concurrency_limit_and_a_reused_request_id_are_refused(emulate: Any) -> None:
    glm = emulate(concurrency={"glm-4v-flash": 1}, pace=60.0)
    body = {"model": "glm-4v-flash", "messages": [glm.user("Hello")], "stream": True, "request_id": "the-same-id"}
    with glm.http.stream("POST", f"{glm.emu.base_url}/chat/completions", json=body) as running:
        pieces = running.iter_raw()
        next(pieces)
        assert glm.code("Hello", model="glm-4v-flash") == "1302"
        assert glm.code("Hello", model="glm-4v", request_id="the-same-id") == "1231"
        assert glm.code("Hello", model="glm-4v") == ""


def test_a_file_is_accepted_as_a_url_or_as_data_but_not_both(emulate: Any) -> None:
    loose, strict = emulate(), emulate(strict={"file-part"})
    pdf = f"data:application/pdf;base64,{loose.base64(b'%PDF-1.4 hello')}"
    for value in ({"file_data": pdf, "filename": "a.pdf"}, {"file_url": "https://example.com/a.pdf"}):
        file = {"type": "file", "file": value}
        assert loose.code(file, "Sum up", model="glm-4.6v") == ""
        assert strict.code(file, "Sum up", model="glm-4.6v") == "1210"
        assert strict.code(file, "Sum up", model="glm-5.3-flash") == ""
    both = {"type": "file", "file": {"file_data": pdf, "file_url": "https://example.com/a.pdf"}}
    assert loose.code(both, "Sum up", model="glm-4.6v") == "1215"
    unknown = {"type": "file", "file": {"file_id": "no-such-file"}}
    assert loose.code(unknown, "Sum up", model="glm-5.3-flash") == "1210"


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


ORDER = "get_weather, city: Berlin"


def test_a_strict_emulator_sends_arguments_as_an_object_and_content_as_a_list(emulate: Any) -> None:
    glm = emulate(strict={"arguments-object", "content-array"})
    answer = glm.chat(ORDER, model="glm-4.6v", tools=[WEATHER]).json()
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == {"city": "Berlin"}
    (text,) = parts = glm.chat((glm.emu.host(glm.drawn()),), "Hm").json()["choices"][0]["message"]["content"]
    assert text["type"] == "text", parts


@pytest.mark.parametrize("choice", ["none", "required", {"type": "function", "function": {"name": "get_weather"}}])
def test_under_the_platforms_base_url_every_tool_choice_counts_as_auto(glm: Any, choice: Any) -> None:
    asks = {ORDER: "tool_calls", "Say hello": "stop"}
    for text, finish in asks.items():
        answer = glm.chat(text, model="glm-4.6v", tools=[WEATHER], tool_choice=choice).json()
        assert answer["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize(("era", "index"), [("2024", 0), ("2025", -1), ("2026", 0)])
def test_the_option_era_sets_the_index_and_finish_reasons_of_a_streamed_tool_call(
    emulate: Any, era: str, index: int
) -> None:
    frames = emulate(era=era).frames(ORDER, model="glm-4.6v", tools=[WEATHER])
    choices = [choice for frame in frames[:-1] for choice in frame["choices"]]
    (call,) = [call for choice in choices for call in choice["delta"].get("tool_calls", ())]
    assert (call["index"], json.loads(call["function"]["arguments"])) == (index, {"city": "Berlin"})
    finishes = [choice["finish_reason"] for choice in choices if "finish_reason" in choice]
    assert finishes == ["tool_calls"] * (2 if era == "2025" else 1)


def test_a_tool_call_streams_in_fragments_if_the_model_supports_tool_stream(glm: Any) -> None:
    frames = glm.frames(ORDER, model="glm-4.6", tools=[WEATHER], tool_stream=True)
    calls = [c for f in frames[:-1] for choice in f["choices"] for c in choice["delta"].get("tool_calls", ())]
    assert len(calls) > 2
    assert [("id" in call) for call in calls] == [True] + [False] * (len(calls) - 1)
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"city": "Berlin"}


@pytest.mark.parametrize("model", ["glm-4.5v", "glm-4.6v", "glm-4.6v-flash", "glm-5v-turbo", "glm-5.3-flash", "glm-4"])
def test_every_model_accepts_temperature_zero(glm: Any, model: str) -> None:
    assert glm.code("Hello", model=model, temperature=0) == ""
    assert glm.code("Hello", model=model, temperature=0.005) == ""


def test_greedy_decoding_ignores_the_sampling_values(glm: Any) -> None:
    assert glm.code("Hello", temperature=7, do_sample=True) == "1214"
    assert glm.code("Hello", temperature=7, do_sample=False) == ""


def proxied(glm: Any, *content: Any, **more: Any) -> Any:
    body = {"model": "GLM-4.6V", "messages": [glm.user(*content)]} | more
    return glm.http.post(f"{glm.emu.proxy_url}/chat/completions", json=body)


def test_bare_base64_is_refused_on_v1_with_an_error_in_the_openai_format(glm: Any) -> None:
    raw = glm.base64(glm.drawn(size=(88, 44)))
    assert "88" in text_of(proxied(glm, (f"data:image/png;base64,{raw}",), "What size?"))
    refused = proxied(glm, (raw,), "What size?")
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "invalid_request_error"


def test_on_v1_chat_template_kwargs_can_turn_thinking_on_and_off_as_in_vllm(glm: Any) -> None:
    on, off = (
        proxied(glm, "Hello", chat_template_kwargs={"enable_thinking": choice}).json()["choices"][0]["message"]
        for choice in (True, False)
    )
    assert on["reasoning_content"]
    assert "reasoning_content" not in off


def test_the_error_for_switching_thinking_off_names_the_allowed_values(glm: Any) -> None:
    refused = glm.chat("Hello", model="glm-5.3-flash", thinking={"type": "disabled"}).json()["error"]
    assert refused == {"code": "1210", "message": "该模型始终思考，不支持关闭思考；请使用 low、high 或 max。"}
    body = {"model": "glm-5.3-flash", "messages": [glm.user("Hello")], "thinking": {"type": "disabled"}}
    english = glm.post(body, headers={"accept-language": "en-US,en"}).json()["error"]["message"]
    assert "low, high or max" in english


@pytest.mark.parametrize("era", ["2024", "2025", "2026"])
def test_a_stream_withdrawn_after_its_first_chunk_has_finish_reason_sensitive(emulate: Any, era: str) -> None:
    glm = emulate(era=era)
    glm.emu.inject("withdrawn", after=1)
    frames = glm.frames((glm.emu.host(glm.drawn()),), "Describe it")
    assert frames[0]["choices"][0]["delta"]["content"]
    assert frames[-1] == "[DONE]"
    assert frames[-2]["choices"] == [
        {"index": 0, "finish_reason": "sensitive", "delta": {"role": "user", "content": ""}}
    ]
    assert frames[-2]["content_filter"] == [{"role": "user", "level": 1}]
    assert "usage" not in frames[-2]


def searching(**more: Any) -> list[dict[str, Any]]:
    return [{"type": "web_search", "web_search": {"enable": True, "search_result": True, **more}}]


def test_a_text_model_returns_search_results_on_request(glm: Any) -> None:
    whole = glm.chat("News of pandas?", model="glm-4-plus", tools=searching(count=3)).json()
    frames = glm.frames("News of pandas?", model="glm-4-plus", tools=searching(count=3))
    pages = whole["web_search"]
    assert [page["refer"] for page in pages] == ["ref_1", "ref_2", "ref_3"]
    assert pages[0].keys() == {"refer", "title", "link", "content", "media", "icon", "publish_date"}
    assert "pandas" in pages[0]["title"]
    assert [frame["web_search"] for frame in frames[:-1] if "web_search" in frame] == [pages]
    assert frames[-2].keys() >= {"web_search", "usage"}


@pytest.mark.parametrize("more", [{"search_result": False}, {"enable": False}])
def test_a_disabled_or_hidden_search_returns_no_results(glm: Any, more: dict[str, Any]) -> None:
    assert "web_search" not in glm.chat("News?", model="glm-4-plus", tools=searching(**more)).json()
