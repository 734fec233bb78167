"""A call makes the same body as in the platform's own clients, except for differences with a reason."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import glmv
from glmv.options import Options
from glmv.request.build import chat_request
from glmv.structured import expected
from glmv.wire.dialect import DIALECTS
from glmv.wire.encode import encode

KEY = "test-id.test-secret"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
URL = "https://example.com/a.png"
Body = dict[str, Any]


def smallest_answer(path: str, body: bytes) -> bytes:
    """The smallest answer that every client accepts."""
    if b'"stream":true' in body.replace(b" ", b""):
        return b"data: [DONE]\n\n"
    message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "{}"}}
    rows = [{"index": index, "embedding": [0.5], "object": "embedding"} for index in range(2)]
    answers = {
        "/async/chat/completions": {"id": "1", "model": "m", "request_id": "r", "task_status": "PROCESSING"},
        "/embeddings": {"model": "embedding-3", "data": rows, "object": "list", "usage": {}},
        "/files": {"id": "f-in", "object": "file"},
        "/batches": {"id": "b", "status": "validating", "object": "batch"},
    }
    return json.dumps(answers.get(path, {"id": "1", "model": "m", "created": 1, "choices": [message]})).encode()


class Sink:
    """A server that records request bodies as bytes."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.taken: list[tuple[str, str, bytes]] = []

    def bodies(self) -> list[bytes]:
        taken, self.taken = [body for _, _, body in self.taken], []
        return taken


@pytest.fixture
def sink() -> Iterator[Sink]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = self.headers.get("content-length")
            body = self.rfile.read(int(size)) if size else b""
            path = self.path.removeprefix("/api/paas/v4")
            result.taken.append((path, self.headers["content-type"], body))
            answer = smallest_answer(path, body)
            kind = "text/event-stream" if answer.startswith(b"data:") else "application/json"
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    result = Sink(f"http://127.0.0.1:{server.server_port}/api/paas/v4")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield result
    server.shutdown()
    server.server_close()
    thread.join()


def without(*names: str) -> Callable[[Body], Body]:
    return lambda body: {name: value for name, value in body.items() if name not in names}


def nulls_left_out(body: Body) -> Body:
    return {name: value for name, value in body.items() if value is not None}


def sampling(name: str, sent: float, wanted: float) -> Callable[[Body], Body]:
    return lambda body: {**body, name: wanted} if body.get(name) == sent else body


def video_without_prefix(body: Body) -> Body:
    result = copy.deepcopy(body)
    for part in result["messages"][0]["content"]:
        if part["type"] == "video_url":
            part["video_url"]["url"] = part["video_url"]["url"].partition("base64,")[2]
    return result


def one_string(body: Body) -> Body:
    result = copy.deepcopy(body)
    for message in result["messages"]:
        match message:
            case {"role": "user", "content": [{"type": "text", "text": only}]}:
                message["content"] = only
    return result


def in_words(body: Body) -> Body:
    result = copy.deepcopy(body)
    result["messages"][0]["content"] += f"\n\n{expected._JSON}"
    return result


def flat(body: Body) -> Body:
    result = copy.deepcopy(body)
    for message in result["messages"]:
        if message["role"] in ("tool", "system") and isinstance(message["content"], list):
            message["content"] = "".join(part["text"] for part in message["content"])
    return result


# What differs: name -> (the official body made like ours, why ours is so). The order of keys is the one further
# difference: "an object is an unordered collection" (RFC 8259, 1).
DIFFERENCES: dict[str, tuple[Callable[[Body], Body], str]] = {
    "nulls": (nulls_left_out, "what is not set is not sent; no document allows null for these fields"),
    "temperature 0": (
        sampling("temperature", 0.01, 0),
        "the documents allow 0.0 to 1.0, and 0 is what was asked for",
    ),
    "greedy": (without("do_sample"), "do_sample is sent when it is asked for; with temperature 0 nobody did"),
    "temperature 1": (sampling("temperature", 0.99, 1), "the documents allow 1.0"),
    "top_p 1": (sampling("top_p", 0.99, 1), "the documents allow 1.0"),
    "top_p 0": (sampling("top_p", 0.01, 0), "the documents of glm-4v allow 0.0"),
    "video prefix": (video_without_prefix, "the documents show bare base64 for videos, as for pictures"),
    "flat content": (flat, "the model's template drops lists in system and tool messages without a word"),
    "JSON in words": (
        in_words,
        "the answer is checked, so that what is wanted is said in words, too",
    ),
    "only text": (
        one_string,
        "content of one text is a string, which text models need; the glm-4v generation gets its list",
    ),
    "one input": (
        lambda body: {**body, "input": body["input"][0]} if len(body["input"]) == 1 else body,
        "every document knows a string as input; the platform's cookbook says that lists are not taken",
    ),
    "batch defaults": (
        without("completion_window", "auto_delete_input_file"),
        "completion_window is deprecated, and deleting a file is for the caller to say",
    ),
}


def user(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": list(parts)}]


def text(content: str) -> Any:
    return {"type": "text", "text": content}


def part(kind: str, url: str) -> Any:
    return {"type": kind, kind: {"url": url}}


TOOL = {
    "type": "function",
    "function": {"name": "look", "description": "Look.", "parameters": {"type": "object", "properties": {}}},
}
SEARCH = {"type": "web_search", "web_search": {"enable": True, "search_query": "glm"}}
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Look!"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a":"南"}'}}],
    },
    {"role": "tool", "content": "a cat", "tool_call_id": "call_1"},
]

EVERY_OPTION = {
    "temperature": 0.5,
    "top_p": 0.5,
    "max_tokens": 100,
    "stop": ["END"],
    "user_id": "user-1234",
    "do_sample": True,
    "seed": 7,
    "thinking": {"type": "disabled"},
    "tools": [TOOL],
    "tool_choice": "auto",
    "sensitive_word_check": {"type": "ALL", "status": "ENABLE"},
}

# Case -> (model, messages, options, differences).
CHATS: dict[str, tuple[str, Any, dict[str, Any], tuple[str, ...]]] = {
    "a picture by URL": ("glm-4v", user(text("这是什么？"), part("image_url", URL)), {}, ()),
    "a picture as base64": ("glm-4v", user(text("?"), part("image_url", PIXEL)), {}, ()),
    "a picture as data URI": ("glm-4v", user(part("image_url", f"data:image/png;base64,{PIXEL}"), text("?")), {}, ()),
    "a video by URL": ("glm-4v-plus", user(part("video_url", "https://example.com/a.mp4"), text("?")), {}, ()),
    "several turns": (
        "glm-4.6v",
        [*user(text("1"), part("image_url", URL)), {"role": "assistant", "content": "a cat"}, *user(text("sure?"))],
        {},
        ("only text",),
    ),
    "a document": ("glm-4.6v", user(part("file_url", "https://example.com/a.pdf"), text("?")), {}, ()),
    "every option": ("glm-4.6v", user(text('\u2028 \x85 \U0001f600 "quoted" \\ \n')), EVERY_OPTION, ("only text",)),
    "a stream": ("glm-4v", user(text("?"), part("image_url", URL)), {"stream": True}, ()),
    "tool turns": ("glm-4.6v", TURNS, {"tools": [TOOL]}, ()),
    "the platform's own tools": ("glm-4", [{"role": "user", "content": "news?"}], {"tools": [SEARCH]}, ()),
    "JSON mode of a text model": (
        "glm-4.6",
        [{"role": "system", "content": "JSON"}, {"role": "user", "content": "?"}],
        {"response_format": {"type": "json_object"}},
        ("JSON in words",),
    ),
    "temperature 0": ("glm-4v", user(text("?")), {"temperature": 0}, ("temperature 0", "greedy")),
    "temperature 0 on glm-4.6v": (
        "glm-4.6v",
        user(text("?")),
        {"temperature": 0},
        ("temperature 0", "greedy", "only text"),
    ),
    "temperature 1": ("glm-4v", user(text("?")), {"temperature": 1}, ("temperature 1",)),
    "top_p 1": ("glm-4v", user(text("?")), {"top_p": 1}, ("top_p 1",)),
    "top_p 0": ("glm-4v", user(text("?")), {"top_p": 0}, ("top_p 0",)),
    "a tool's answer in parts": (
        "glm-4.6v",
        [*TURNS[:3], {**TURNS[3], "content": [text("a "), text("cat")]}],
        {"tools": [TOOL]},
        ("flat content",),
    ),
}


def call_glmv(model: str, messages: Any, options: dict[str, Any], sink: Sink, call: str = "chat") -> None:
    """Make the same call with glmv; the sink records its body."""
    options = {**options, "request_id": "request-1"}
    stream = options.pop("stream", False)
    with glmv.Client(KEY, base_url=sink.base_url, model=model) as glm:
        if call == "task":
            glm.tasks.submit(messages, **options)
        elif stream:
            list(glm.stream(messages, **options))
        else:
            glm.chat(messages, **options)


def compact(body: bytes) -> bool:
    """Whether the bytes are JSON without spaces and without escaped letters."""
    return json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode() == body


def theirs(run: Any, official: str, sink: Sink, calls: list[tuple[str, Body]]) -> list[bytes]:
    run(official, "bodies.py", GLM_BASE=sink.base_url, GLM_KEY=KEY, CALLS=json.dumps(calls))
    return sink.bodies()


def made_like_ours(body: bytes, differences: tuple[str, ...]) -> Body:
    result: Body = json.loads(body)
    for name in differences:
        change, _ = DIFFERENCES[name]
        changed = change(result)
        assert changed != result, f"there is no difference {name!r}"
        result = changed
    return result


def test_chat_bodies_differ_from_those_of_the_official_clients_only_as_listed(
    run: Any, official: str, sink: Sink
) -> None:
    calls = [
        ("chat", {"model": model, "messages": messages, "request_id": "request-1", **options})
        for model, messages, options, _ in CHATS.values()
    ]
    official_bodies = theirs(run, official, sink, calls)
    for (name, (model, messages, options, differences)), body in zip(CHATS.items(), official_bodies, strict=True):
        before = copy.deepcopy(messages)
        try:
            call_glmv(model, messages, options, sink)
        except glmv.MalformedResponse:
            assert options.get("stream"), name  # the sink's stream is empty
        (ours,) = sink.bodies()
        assert messages == before, name
        assert compact(ours), name
        assert compact(body), name
        missing = tuple(name for name in ("nulls",) if b":null" in body)
        assert json.loads(ours) == made_like_ours(body, (*missing, *differences)), name


def test_only_glmv_sends_a_video_without_the_data_uri_prefix(run: Any, official: str, sink: Sink) -> None:
    box = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2\x00\x00\x00\x08moov"
    url = f"data:video/mp4;base64,{glmv.Video.from_bytes(box).base64().decode()}"
    messages = user(part("video_url", url), text("?"))
    (body,) = theirs(run, official, sink, [("chat", {"model": "glm-4v-plus", "messages": messages})])
    call_glmv("glm-4v-plus", messages, {}, sink)
    data = json.loads(sink.bodies()[0])
    del data["request_id"]
    assert data == made_like_ours(body, ("nulls", "video prefix"))


def test_bodies_for_other_endpoints_differ_from_official_ones_only_as_listed(
    run: Any, official: str, sink: Sink
) -> None:
    messages = user(text("?"), part("image_url", URL))
    calls: list[tuple[str, Body]] = [
        ("task", {"model": "glm-4.6v", "messages": messages, "request_id": "request-1", "temperature": 0.5}),
        ("embed", {"model": "embedding-3", "input": ["a", "b"], "dimensions": 256}),
        ("embed", {"model": "embedding-3", "input": ["a"]}),
        ("embed", {"model": "embedding-3", "input": "a"}),
        ("batch", {"completion_window": "24h", "endpoint": "/v4/chat/completions", "input_file_id": "f-in",
                   "metadata": {"job": "x"}}),
    ]  # fmt: skip
    task, two, one, single, batch = theirs(run, official, sink, calls)
    call_glmv("glm-4.6v", messages, {"temperature": 0.5}, sink, "task")
    with glmv.Client(KEY, base_url=sink.base_url) as glm:
        glm.embed(["a", "b"], dimensions=256)
        glm.embed(["a"])
        glm.embed("a")
        glm.batches.create("f-in", metadata={"job": "x"})
    requests = sink.bodies()
    assert all(map(compact, requests))
    bodies = [json.loads(body) for body in requests]
    assert bodies == [
        made_like_ours(task, ("nulls",) if b":null" in task else ()),
        made_like_ours(two, ()),
        made_like_ours(one, ("one input",)),
        made_like_ours(single, ()),
        made_like_ours(batch, ("batch defaults",)),
    ]


def test_file_uploads_have_the_same_parts_as_those_of_the_official_clients(run: Any, official: str, sink: Sink) -> None:
    calls = [("file", {"name": "lines.jsonl", "data": "{}\n", "purpose": "batch"})]
    run(official, "bodies.py", GLM_BASE=sink.base_url, GLM_KEY=KEY, CALLS=json.dumps(calls))
    with glmv.Client(KEY, base_url=sink.base_url) as glm:
        glm.files.upload(b"{}\n", purpose="batch", name="lines.jsonl")
    (_, their_type, their_body), (_, our_type, our_body) = sink.taken
    assert our_type.partition("boundary=")[0] == their_type.partition("boundary=")[0]

    def parts(content_type: str, body: bytes) -> list[bytes]:
        boundary = content_type.partition("boundary=")[2].encode()
        results = [piece.strip(b"\r\n") for piece in body.split(b"--" + boundary)]
        return sorted(b"\r\n".join(line for line in piece.split(b"\r\n") if not line.startswith(b"Content-Type"))
                      for piece in results)  # fmt: skip

    assert parts(our_type, our_body) == parts(their_type, their_body)


def test_a_line_of_a_batch_holds_the_same_body_as_a_chat() -> None:
    request = chat_request("hi", Options(), {"model": "glm-4", "temperature": 0.5})
    body = bytes(encode(request, DIALECTS["platform"], stream=False))
    assert json.loads(body) == {"model": "glm-4", "temperature": 0.5, "messages": [{"role": "user", "content": "hi"}]}


def test_every_listed_difference_from_official_clients_occurs_and_has_a_reason() -> None:
    used = {name for *_, differences in CHATS.values() for name in differences}
    assert DIFFERENCES.keys() - used == {"nulls", "video prefix", "one input", "batch defaults"}
    assert all(reason for _, reason in DIFFERENCES.values())
