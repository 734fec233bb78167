"""A server that repeats the key, its secret half or a secret header: no surface shows it."""

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


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_credential_that_a_server_repeats_is_on_no_surface(
    ask: Any, server: Any, caplog: pytest.LogCaptureFixture, place: str, stream: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    server.plays(PLACES[place])
    found = ask(stream=stream, api_key=KEY, max_retries=0, default_headers={"x-api-key": HEADER})
    shown = [str(found), repr(found), repr(ask.deltas), caplog.text]
    shown += [json.dumps(delta.raw, default=str) for delta in ask.deltas]
    if isinstance(found, glmv.GLMVError):
        shown += [repr(vars(found)), repr(found.__cause__), "".join(traceback.format_exception(found))]
    else:
        shown += [found.text, repr(found.raw)]
    text = "".join(shown)
    assert [part for part in (*KEY.split(".")[1:], HEADER) if part in text] == []


words = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12)
values = st.recursive(
    words | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def echoing(draw: st.DrawFn) -> tuple[int, dict[str, str], bytes]:
    """A status, headers and a body, with the credentials at places that are drawn."""
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
def test_a_credential_repeated_anywhere_is_masked(response: tuple[int, dict[str, str], bytes], stream: bool) -> None:
    status, headers, body = response
    transport = httpx.MockTransport(lambda _: httpx.Response(status, headers=headers, content=body))
    glm = glmv.Client(
        KEY, http_client=httpx.Client(transport=transport), max_retries=0, default_headers={"x-api-key": HEADER}
    )
    shown: list[Any]
    try:
        shown = list(glm.stream("hi")) if stream else [glm.chat("hi")]
        shown += [thing.raw for thing in shown]
    except glmv.GLMVError as error:
        shown = [str(error), vars(error), error.args, error.__cause__, traceback.format_exception(error)]
    assert [part for part in (KEY.partition(".")[2], HEADER) if part in repr(shown)] == []


def test_a_placeholder_is_not_masked_in_answers(ask: Any, server: Any) -> None:
    server.plays(lambda peer: peer.say(answer("The field is EMPTY, a key is not-needed.")))
    for key in ("EMPTY", "not-needed"):
        found = ask(api_key=key)
        assert isinstance(found, glmv.Completion)
        assert found.text == "The field is EMPTY, a key is not-needed."
