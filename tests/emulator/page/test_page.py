"""The emulator's page as served: what it shows of each request, and what it does not show."""

from __future__ import annotations

import html
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from glmv_emulator.http import records
from glmv_emulator.page import app
from glmv_emulator.page.answer import read
from tests.support.fake_server import Server

ATTACK = "<script>alert('owned')</script>\"><img src=x onerror=alert(1)>"


def page(glm: Any, query: str = "", **headers: str) -> httpx.Response:
    return httpx.get(f"{glm.emu.origin}/{query}", headers=headers, trust_env=False)


def page_text(glm: Any, query: str = "") -> str:
    """The text of the page without its markup."""
    return html.unescape(re.sub(r"<[^>]*>", " ", page(glm, query).text))


def news(glm: Any, since: str = "") -> httpx.Response:
    return page(glm, f"page/news?since={since}")


def pictures(glm: Any) -> list[httpx.Response]:
    paths = dict.fromkeys(re.findall(r'src="/(page/picture/[^"]*)"', page(glm).text))
    return [page(glm, path) for path in paths]


def test_the_page_shows_a_requests_content_parts_and_picture_size_and_answer(glm: Any) -> None:
    picture = glm.drawn("red", (320, 200))
    answer = glm.chat("Look at this:", (glm.base64(picture),), "What size is it?", temperature=0.5).json()
    words = page_text(glm)
    parts = ["Look at this:", "PNG · 320 × 200", "red 100%", "What size is it?"]
    inside = words[words.index(" Sent ") :]
    assert [part for part in parts if part not in inside] == []
    assert sorted(parts, key=inside.index) == parts
    assert answer["choices"][0]["message"]["content"] in words
    assert f"{answer['usage']['total_tokens']} tokens" in words
    assert "temperature" in words


def test_the_page_serves_a_small_copy_of_a_picture_without_its_metadata(glm: Any) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    Image.new("RGB", (900, 300), "blue").save(buffer, "JPEG", exif=exif)
    glm.chat((glm.base64(buffer.getvalue()),), "Hello")
    glm.chat((glm.base64(glm.drawn("green", (40, 20))),), "Hello")
    small, large = pictures(glm)
    with Image.open(io.BytesIO(large.content)) as seen:
        assert seen.size == (160, 53)
        assert not seen.getexif()
    with Image.open(io.BytesIO(small.content)) as seen:
        assert seen.size == (40, 20)
    assert len(large.request.url.path.rpartition("/")[2]) >= 20
    assert page(glm, "page/picture/guessed").status_code == 404


def test_the_page_stores_the_newest_pictures_up_to_a_limit_of_their_total_size(
    glm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [glm.drawn(colour, (300, 300)) for colour in ("red", "green", "blue")]
    monkeypatch.setattr(records, "ALL_PICTURES", len(files[1]) + len(files[2]))
    for data in files:
        glm.chat((glm.base64(data),), "Hello")
    assert [answer.status_code for answer in pictures(glm)] == [200, 200]


def test_the_page_shows_the_chunks_of_a_stream_and_how_the_stream_ended(glm: Any) -> None:
    frames = glm.frames("Hello")
    words = page_text(glm)
    assert re.search(rf"first byte after [\d.]+ m?s, {len(frames)} chunks", words)
    assert re.search(r"\[DONE\]\s+came", words)
    assert page(glm).text.count('class="piece"') == len(frames)


def test_the_page_shows_tools_and_tool_calls(glm: Any) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": parameters}}
    glm.emu.call("get_weather", city="Paris")
    glm.chat("What is the weather in Paris?", model="glm-4.6v", tools=[tool], stream=True)
    words = page_text(glm)
    assert "Tool get_weather" in words
    assert re.search(r'get_weather\s+\(\{"city": "Paris"\}\)', words)


def test_the_page_shows_the_status_and_code_and_meaning_of_a_refusal(glm: Any) -> None:
    glm.chat("Hello", model="no-such-model")
    words = page_text(glm)
    assert "HTTP 400, business code 1211" in words
    assert "Unknown Model" in words
    assert "no-such-model" in words


def test_the_page_shows_an_injected_fault_and_the_verdict_on_the_retry(glm: Any) -> None:
    glm.emu.inject("busy", retry_after="5")
    glm.chat("Hello")
    glm.chat("Hello")
    words = page_text(glm)
    assert "Fault injected: busy" in words
    assert "attempt 2 of 2" in words
    assert "Verdicts (1)" in words
    assert "ignored-retry-after" in words


def test_the_page_says_that_there_are_no_verdicts(glm: Any) -> None:
    glm.chat("Hello")
    assert "No verdicts." in page_text(glm)


@pytest.mark.parametrize("where", ["prompt", "model", "path", "role", "part", "tool", "agent", "option", "file name"])
def test_the_content_of_a_request_never_becomes_markup_on_the_page(glm: Any, where: str) -> None:
    tool = {"type": "function", "function": {"name": ATTACK, "parameters": {"type": "object"}}}
    match where:
        case "prompt":
            glm.chat(ATTACK)
        case "model":
            glm.chat("Hello", model=ATTACK)
        case "path":
            glm.get(f"/files/{ATTACK}")
        case "role":
            glm.post({"model": "glm-4v", "messages": [{"role": ATTACK, "content": ATTACK}]})
        case "part":
            glm.post({"model": "glm-4v", "messages": [{"role": "user", "content": [{"type": ATTACK, ATTACK: 1}]}]})
        case "tool":
            glm.chat("Hello", model="glm-4.6v", tools=[tool])
        case "agent":
            glm.chat("Hello", headers={"user-agent": ATTACK})
        case "option":
            glm.chat("Hello", **{ATTACK: ATTACK})
        case "file name":
            files = {"file": (ATTACK, b'{"custom_id": "1"}\n')}
            glm.http.post(f"{glm.emu.base_url}/files", files=files, data={"purpose": "batch"})
            glm.get("/files")
    served = page(glm).text + news(glm).json()["entries"][0]
    assert "alert(" in served
    assert "<script>" not in served
    assert "<img src=x" not in served


def test_no_template_marks_a_value_as_safe_or_switches_escaping_off() -> None:
    folder = Path(app.__file__).parent
    sources = [*folder.glob("*.py"), *folder.glob("templates/*")]
    assert len(sources) > 5
    marks = re.compile(r"\|\s*safe\b|autoescape (false|False)|Markup|tojson")
    assert [path.name for path in sources if marks.search(path.read_text("utf-8"))] == []


def test_query_parameters_cannot_put_markup_into_the_page(glm: Any) -> None:
    served = page(glm, f"?model={ATTACK}&outcome={ATTACK}&before={ATTACK}")
    assert served.status_code == 200
    assert "<script>alert" not in served.text


def test_the_page_contains_no_key_and_no_base64(glm: Any) -> None:
    picture = glm.drawn(size=(320, 200))
    glm.chat((glm.base64(picture),), f"Repeat this: {glm.emu.api_key}", model="glm-4v")
    served = page(glm).text
    assert "&lt;key&gt;" in served
    assert glm.emu.api_key.partition(".")[2] not in served
    assert glm.base64(picture)[:48] not in served


def test_the_page_forbids_inline_scripts_and_resources_of_other_origins(glm: Any) -> None:
    glm.chat((glm.base64(glm.drawn()),), "Hello")
    served = page(glm)
    policy = dict(rule.split(" ", 1) for rule in served.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["img-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    loaded = re.findall(r'(?:src|href)="([^"#]*)"', served.text)
    assert loaded
    assert [url for url in loaded if not url.startswith("/") or url.startswith("//")] == []
    assert not re.search(r"<[^>]* (style|on\w+)=", served.text)
    assert [name for name in served.headers if name.startswith("access-control")] == []


@pytest.mark.parametrize("path", ["", "page/news", "page/style.css"])
def test_the_page_is_served_only_to_this_machine(glm: Any, path: str) -> None:
    assert page(glm, path).status_code == 200
    assert page(glm, path, host="evil.example").status_code == 403
    assert page(glm, path, origin="https://evil.example").status_code == 403


def test_requests_for_the_page_are_not_in_the_journal(glm: Any) -> None:
    for path in ("", "page/news", "page/script.js", "favicon.ico"):
        page(glm, path)
    assert glm.emu.requests == []


def test_an_empty_page_shows_working_commands_for_a_first_request(
    glm: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").write_bytes(glm.drawn(size=(123, 45), form="JPEG"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZHIPUAI_API_KEY", glm.emu.api_key)
    snippets = [html.unescape(code) for code in re.findall(r"<code>(.*?)</code></pre>", page(glm).text, re.DOTALL)]
    shell, curl, langchain, llama_index = snippets
    assert glm.emu.base_url in shell
    done = subprocess.run(["/bin/sh", "-c", curl], capture_output=True, text=True, check=False)
    for snippet in (langchain, llama_index):
        ran = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=False)
        assert "123" in ran.stdout, ran.stderr
    assert "This is an emulator" in done.stdout or done.returncode == 127  # 127: there is no curl here
    assert "Nothing has come yet" in page_text(glm)


def test_every_angle_bracket_starts_a_tag_or_is_escaped(glm: Any) -> None:
    empty = page(glm).text
    glm.chat("1 < 2 <<END")
    assert [re.findall(r"<(?![a-z/!]).{0,20}", text) for text in (empty, page(glm).text)] == [[], []]


def test_requests_on_the_page_can_be_filtered_by_model_and_outcome(glm: Any) -> None:
    glm.chat("one", model="glm-4v")
    glm.chat("two", model="glm-4.6v")
    glm.chat("three", model="no-such-model")
    numbers = {query: re.findall(r'<article id="r(\d+)"', page(glm, query).text) for query in ("", "?model=glm-4v")}
    assert numbers == {"": ["3", "2", "1"], "?model=glm-4v": ["1"]}
    assert re.findall(r'<article id="r(\d+)"', page(glm, "?outcome=refused").text) == ["3"]
    assert "No request matches." in page_text(glm, "?model=glm-4v&outcome=refused")


def test_the_page_links_to_older_requests(glm: Any) -> None:
    for _ in range(60):
        glm.get("/models")
    first = page(glm).text
    (link,) = re.findall(r'href="/(\?[^"]*before=\d+)"', first)
    numbers = [re.findall(r'<article id="r(\d+)"', text) for text in (first, page(glm, html.unescape(link)).text)]
    assert [int(number) for part in numbers for number in part] == list(range(60, 0, -1))


def test_the_page_loads_a_new_request_once_and_a_changed_request_again(glm: Any) -> None:
    glm.chat("one")
    token = news(glm).json()["token"]
    assert news(glm, token).status_code == 204
    glm.emu.fail()
    glm.chat("two")
    fresh = news(glm, token).json()
    assert (fresh["order"], len(fresh["entries"])) == (["r2", "r1"], 1)
    glm.chat("two")
    again = news(glm, fresh["token"]).json()
    assert ["attempt 1 of 2" in entry or "attempt 2 of 2" in entry for entry in again["entries"]] == [True, True]


def test_the_page_marks_an_unanswered_request_as_under_way(glm: Any) -> None:
    glm.emu.stall(after=1)
    with glm.streaming() as answer:
        next(answer.iter_raw())
        assert 'class="entry fault"' in page(glm).text
        assert "under way" in page_text(glm)


def test_a_reset_removes_all_requests_from_the_page_and_from_open_pages(glm: Any) -> None:
    glm.chat((glm.base64(glm.drawn()),), "Hello")
    token = news(glm).json()["token"]
    glm.emu.reset()
    assert news(glm, token).json()["order"] == []
    assert "Nothing has come yet" in page_text(glm)


def test_a_lone_surrogate_in_a_message_does_not_break_the_page(glm: Any) -> None:
    body = b'{"model": "glm-4v", "messages": [{"role": "user", "content": "half \\ud83d of a sign"}]}'
    glm.http.post(f"{glm.emu.base_url}/chat/completions", content=body)
    assert "of a sign" in page_text(glm)
    assert "of a sign" in news(glm).json()["entries"][0]


def test_a_lone_surrogate_in_the_name_of_a_model_does_not_break_the_page(glm: Any) -> None:
    glm.http.post(f"{glm.emu.base_url}/chat/completions", content=b'{"model": "half-\\ud83d", "messages": []}')
    assert "half-" in page_text(glm)
    assert news(glm).json()["models"] == ["half-\ufffd"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[1]",
        b'{"choices": 1}',
        b'{"choices": [null, {"message": 3}]}',
        b'{"choices": [{"message": {"tool_calls": 7, "content": [1]}}]}',
        b'{"choices": [{"message": {"tool_calls": [1]}}], "usage": []}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_an_answer_that_cannot_be_parsed_is_treated_as_empty(body: bytes, kind: str) -> None:
    events = b"data: " + body + b"\n\n" if kind == "text/event-stream" else body
    answer = read(events, kind)
    assert (answer.text, answer.calls, answer.usage) == ("", [], {})


def test_long_answers_are_cut_and_the_page_says_so(glm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LONGEST_ANSWER", 200)
    glm.chat("Hello")
    assert "The rest of this answer is not kept." in page_text(glm)


def test_the_page_drops_the_oldest_stored_answers_first(glm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "ALL_ANSWERS", 900)
    for _ in range(3):
        glm.chat("Hello")
    lost = ["is not kept" in entry for entry in news(glm).json()["entries"]]
    assert lost[0] is False
    assert lost[-1] is True


def test_the_page_says_if_an_answer_is_by_a_script_or_by_a_function_or_by_the_rules(emulate: Any) -> None:
    glm = emulate()
    assert (
        "It gives scripted answers, or says what it measured in a picture; it is not GLM-4V."
        in glm.http.get(glm.emu.origin).text
    )
    glm.emu.say("A red cat.")
    glm.chat("Hm.")
    glm.chat("Hm.")
    glm.emu.answer(lambda ask: "ok")
    glm.chat("Hm.")
    glm.chat("Hm.", model="no-such-model")
    assert [one.answered_by for one in glm.emu.requests] == ["script", "rules", "function", None]
    markup = glm.http.get(glm.emu.origin).text
    assert re.findall(r"<dt>answered by</dt><dd>(\w+)</dd>", markup) == ["function", "rules", "script"]


def test_the_page_does_not_say_who_answered_if_a_refusal_was_injected(emulate: Any) -> None:
    glm = emulate()
    glm.emu.fail(code=1302)
    glm.chat("Hm.")
    assert "<dt>answered by</dt>" not in glm.http.get(glm.emu.origin).text


def test_the_page_names_the_upstream_server_that_gives_the_answers(emulate: Any) -> None:
    server = Server().plays(lambda peer: peer.say({"choices": [{"index": 0, "message": {"content": "A cat."}}]}))
    try:
        glm = emulate(upstream=f"http://127.0.0.1:{server.port}/v1")
        glm.chat("Hm.")
        assert [one.answered_by for one in glm.emu.requests] == ["upstream"]
        markup = glm.http.get(glm.emu.origin).text
        assert f"Its answers come from http://127.0.0.1:{server.port}/v1; the emulator is not GLM-4V." in markup
    finally:
        server.stop()
