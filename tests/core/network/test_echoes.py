"""A server repeats the key, its secret half or a secret header: no output shows it."""

from __future__ import annotations

import json
import logging
import traceback
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glmv

KEY = "9f86d081884c7d65.a3bf4f1b2b0b822c"
HEADER = "tenant-secret-4711-0815"
ECHO = f"Bearer {KEY} {KEY.partition('.')[2]} {HEADER}"


def answer(content: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {"id": "1", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}


PLACES: dict[str, Any] = {
    "message": lambda peer: peer.say({"error": {"code": "1000", "message": ECHO}}, 401),
    "code": lambda peer: peer.say({"error": {"code": ECHO, "message": "m"}}, 400),
    "request id": lambda peer: peer.say({"error": {"code": "1000", "message": "m"}, "request_id": ECHO}, 400),
    "JSON key": lambda peer: peer.say({ECHO: 1}),
    "plain body": lambda peer: peer.say(ECHO.encode(), 403, kind="text/plain"),
    "HTML": lambda peer: peer.say(f"<html>{ECHO}</html>".encode(), 200, kind="text/html"),
    "header": lambda peer: peer.say({"error": {"code": "1000", "message": "m"}}, 400, f"x-request-id: {ECHO}"),
    "location": lambda peer: peer.say(b"", 302, f"location: https://example.com/?{KEY}{HEADER}"),
    "content encoding": lambda peer: peer.say(b"x", 200, f"content-encoding: {ECHO}"),
    "content type": lambda peer: peer.say(b"x", 200, kind=f"text/html; {ECHO}"),
    "status text": lambda peer: peer.send(f"HTTP/1.1 500 {ECHO}\r\ncontent-length: 0\r\n\r\n".encode()),
    "status line": lambda peer: (peer.send(f"{ECHO}\r\n\r\n".encode()), peer.close()),
    "header line": lambda peer: (peer.send(f"HTTP/1.1 200 OK\r\n{ECHO}\r\n\r\n".encode()), peer.close()),
    "answer": lambda peer: peer.say(answer(ECHO)),
    "event": lambda peer: peer.stream(f"data: {ECHO}\n\n".encode()),
    "event error": lambda peer: peer.stream({"error": {"message": ECHO}}),
    "content filter": lambda peer: peer.stream(
        {"error": {"code": "1301", "message": "m"}, "contentFilter": [{"role": ECHO}]}
    ),
    "delta": lambda peer: peer.stream({"choices": [{"index": 0, "delta": {"content": ECHO}}]}),
}


def in_two_segments(peer: Any, head: str) -> None:
    """A response head split in the middle of a credential; the second half arrives later."""
    middle = head.index(HEADER) + 5
    peer.send(head[:middle].encode())
    peer.over.wait(0.05)
    peer.send(head[middle:].encode())


PLACES |= {
    "status text in two segments": lambda peer: in_two_segments(
        peer, f"HTTP/1.1 401 {HEADER}\r\ncontent-length: 0\r\n\r\n"
    ),
    "header in two segments": lambda peer: in_two_segments(
        peer, f"HTTP/1.1 401 no\r\nserver: {HEADER}\r\ncontent-length: 0\r\n\r\n"
    ),
    "escaped by character": lambda peer: peer.say(
        b'{"error":{"code":"1210","message":"' + "".join(f"\\u{ord(c):04x}" for c in HEADER).encode() + b'"}}', 401
    ),
    "event escaped by character": lambda peer: peer.stream(
        b'data: {"choices":[{"delta":{"content":"' + "".join(f"\\u{ord(c):04x}" for c in HEADER).encode() + b'"}}]}\n\n'
    ),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_credential_that_a_server_repeats_is_not_in_an_answer_or_an_error_or_a_log(
    ask: Any, server: Any, caplog: pytest.LogCaptureFixture, place: str, stream: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    server.plays(PLACES[place])
    outcome = ask(stream=stream, api_key=KEY, max_retries=0, default_headers={"x-api-key": HEADER})
    results = [str(outcome), repr(outcome), repr(ask.deltas), caplog.text]
    results += [json.dumps(delta.raw, default=str) for delta in ask.deltas]
    if isinstance(outcome, glmv.GLMVError):
        results += [repr(vars(outcome)), repr(outcome.__cause__), "".join(traceback.format_exception(outcome))]
    else:
        results += [outcome.text, repr(outcome.raw)]
    text = "".join(results)
    assert [part for part in (*KEY.split(".")[1:], HEADER) if part in text] == []


words = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12)
values = st.recursive(
    words | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def echoing(draw: st.DrawFn) -> tuple[int, dict[str, str], bytes]:
    """A status, headers and a body, with credentials at random positions."""
    echo = draw(st.sampled_from([KEY, KEY.partition(".")[2], HEADER, ECHO]))
    echo = draw(words) + echo + draw(words)
    payload: Any = draw(values)
    match draw(st.sampled_from(["key", "value", "error", "code", "id", "filter", "answer", "html", "event", "header"])):
        case "key":
            payload = {echo: payload}
        case "value":
            payload = {draw(words): [payload, echo]}
        case "error":
            payload = {"error": {"code": draw(words), "message": echo}}
        case "code":
            payload = {"error": {"code": echo, "message": draw(words)}}
        case "id":
            payload = {"error": {"code": "1000", "message": draw(words)}, "request_id": echo}
        case "filter":
            payload = {"error": {"code": "1301", "message": "m"}, "contentFilter": [{"role": echo, "level": payload}]}
        case "answer":
            payload = answer(echo)
        case "html":
            return draw(st.sampled_from([200, 403, 502])), {"content-type": "text/html"}, f"<p>{echo}</p>".encode()
        case "event":
            return 200, {"content-type": "text/event-stream"}, f"data: {json.dumps({'error': echo})}\n\n".encode()
        case "header":
            name = draw(st.sampled_from(["x-request-id", "location", "retry-after", "date", "server", "content-type"]))
            return draw(st.sampled_from([200, 307, 429, 500])), {name: ECHO}, json.dumps(payload).encode()
    body = json.dumps(payload, ensure_ascii=draw(st.booleans())).encode()
    return draw(st.sampled_from([200, 400, 401, 429, 500])), {"content-type": "application/json"}, body


@given(echoing(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_credential_at_any_position_of_a_response_is_masked(
    response: tuple[int, dict[str, str], bytes], stream: bool
) -> None:
    status, headers, body = response
    transport = httpx.MockTransport(lambda _: httpx.Response(status, headers=headers, content=body))
    glm = glmv.Client(
        KEY, http_client=httpx.Client(transport=transport), max_retries=0, default_headers={"x-api-key": HEADER}
    )
    result: list[Any]
    try:
        result = list(glm.stream("hi")) if stream else [glm.chat("hi")]
        result += [thing.raw for thing in result]
    except glmv.GLMVError as error:
        result = [str(error), vars(error), error.args, error.__cause__, traceback.format_exception(error)]
    assert [part for part in (KEY.partition(".")[2], HEADER) if part in repr(result)] == []


def test_the_placeholder_keys_empty_and_not_needed_are_not_masked_in_answers(ask: Any, server: Any) -> None:
    server.plays(lambda peer: peer.say(answer("The field is EMPTY, a key is not-needed.")))
    for key in ("EMPTY", "not-needed"):
        completion = ask(api_key=key)
        assert isinstance(completion, glmv.Completion)
        assert completion.text == "The field is EMPTY, a key is not-needed."


@pytest.mark.parametrize(
    ("headers", "echo"),
    [
        ({"cookie": "session=9f8e7d6c5b4a3210; lang=zh"}, "bad session 9f8e7d6c5b4a3210"),
        ({"authorization": "Basic dXNlcjpodW50ZXIyLTQ3MTE="}, "no such login: user:hunter2-4711"),
        ({"x-api-key": "sk+live/9f8e7d6c5b4a=='"}, "sk%2blive%2f9f8e7d6c5b4a%3d%3d%27"),
        ({"x-api-key": "sk+live/9f8e7d6c5b4a=='"}, "sk%2Blive/9f8e7d6c5b4a%3D%3D%27"),
        ({"x-api-key": "sk+live/9f8e7d6c5b4a=='"}, "sk+live/9f8e7d6c5b4a==&#39;"),
    ],
)
def test_parts_and_escaped_forms_of_a_secret_header_are_masked(
    ask: Any, server: Any, headers: dict[str, str], echo: str
) -> None:
    server.plays(lambda peer: peer.say({"error": {"code": "1210", "message": f"before {echo} after"}}, 401))
    message = str(ask(max_retries=0, default_headers=headers))
    assert "before" in message
    assert "after" in message
    assert [part for part in ("9f8e7d6c5b4a", "hunter2-4711") if part in message] == []


def test_headers_that_are_not_credentials_are_not_masked(ask: Any, server: Any) -> None:
    headers = {"X-Client-Request-Id": "req-2026-0001", "X-Session-Name": "glm-4.6v", "X-Client-Protocol": "HTTP/1.1"}
    server.plays(lambda peer: peer.say({**answer("It is glm-4.6v, by HTTP/1.1."), "request_id": "req-2026-0001"}))
    completion = ask(default_headers=headers)
    assert (completion.text, completion.request_id) == ("It is glm-4.6v, by HTTP/1.1.", "req-2026-0001")


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_secret_header_of_a_passed_http_client_is_masked(server: Any, library: str) -> None:
    server.plays(lambda peer: peer.say({"error": {"code": "1210", "message": f"bad {HEADER}"}}, 401))
    with (
        pytest.importorskip(library).Client(headers={"x-api-key": HEADER}) as http,
        glmv.Client(KEY, base_url=server.base_url, http_client=http, max_retries=0) as glm,
        pytest.raises(glmv.GLMVError) as caught,
    ):
        glm.chat("hi")
    assert HEADER not in str(caught.value)


def test_ids_of_answers_are_bounded_and_printable(ask: Any, server: Any) -> None:
    long = "\x1b[2J" + "r" * 5000
    server.plays(lambda peer: peer.say({**answer("a"), "id": long, "request_id": long, "model": long}))
    outcome = ask()
    for value in (outcome.id, outcome.request_id, outcome.model):
        assert len(value) <= 203
        assert "\x1b" not in value


@pytest.mark.parametrize(
    "base_url",
    [
        "https://user:hunter2-4711@gw.example/v4/chat/completions",
        "https://user:hunter2-4711/rest@gw.example/v4",
        "https://gw.example:hunter2-4711/v4",
    ],
)
def test_the_error_for_a_base_url_with_a_password_does_not_show_the_password(base_url: str) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="base_url") as caught:
        glmv.Client(KEY, base_url=base_url).chat("hi")
    assert "hunter2" not in str(caught.value)


def test_cookies_that_a_server_sets_are_not_sent_back(server: Any) -> None:
    server.plays(lambda peer: peer.say(answer("a"), 200, "set-cookie: a=b; Path=/"))
    with glmv.Client(KEY, base_url=server.base_url) as glm:
        glm.chat("one")
        glm.chat("two")
    assert [head for head, _ in server.requests if "cookie" in head.lower()] == []
