"""Keys are not shown, messages open no files, and requests go only to the base URL."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import logging
import pickle
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import glmv
from glmv.credentials import SecretBytes
from glmv.transport.address import address_of
from glmv.transport.auth import Signer

KEY = "canary-id.canary-secret"
CANARY = "canary"
PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde"
    b"\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00\x00\x00IEND\xaeB`\x82"
)


def chunk(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "delta": {"role": "assistant", "content": text}}
    return {"id": "1", "choices": [choice | ({"finish_reason": finish_reason} if finish_reason else {})]}


def texts_of(thing: object, depth: int = 6, ids: set[int] | None = None) -> Iterator[str]:
    """All text in repr, str, attributes, causes, contexts and arguments of an object."""
    ids = set() if ids is None else ids
    if id(thing) in ids or depth == 0:
        return
    ids.add(id(thing))
    yield from (repr(thing), str(thing), f"{thing}")
    match thing:
        case dict():
            inner: list[object] = [*thing.keys(), *thing.values()]
        case list() | tuple() | set():
            inner = list(thing)
        case BaseException():
            inner = [thing.args, vars(thing), thing.__cause__, thing.__context__]
            yield from locals_of(thing)
        case _ if dataclasses.is_dataclass(thing):
            inner = [getattr(thing, field.name) for field in dataclasses.fields(thing)]
        case _:
            inner = []
    for part in inner:
        yield from texts_of(part, depth - 1, ids)


def locals_of(error: BaseException) -> Iterator[str]:
    """Text of a traceback with locals, without the tests' own frames, which do hold the key."""
    for frame in traceback.TracebackException.from_exception(error, capture_locals=True).stack:
        if frame.filename.partition("site-packages")[1] or "/glmv/" in frame.filename:
            yield from (
                f"{frame.filename}:{frame.lineno} {name}={value}" for name, value in (frame.locals or {}).items()
            )


def leaks(*things: object) -> list[str]:
    return [text[:500] for thing in things for text in texts_of(thing) if CANARY in text]


@pytest.mark.parametrize("auth", ["key", "token"])
@pytest.mark.parametrize("kind", [glmv.Client, glmv.AsyncClient, glmv.Clients])
def test_no_repr_or_copy_or_pickle_of_a_client_shows_the_key(kind: Any, auth: Any) -> None:
    settings = glmv.Settings(api_key=KEY, auth=auth, default_headers={"authorization": KEY})  # type: ignore[arg-type]  # pydantic makes a secret of it
    client = kind(settings) if kind is glmv.Clients else kind.of(settings)
    where = address_of(settings, {})
    dumps = [settings.model_dump(), settings.model_dump_json(), settings.model_dump(exclude_unset=True)]
    copies = [copy.copy(client), copy.deepcopy(client), settings.model_copy(deep=True)]
    pickled = [pickle.dumps(thing, number) for thing in (client, settings) for number in range(6)]
    assert leaks(client, settings, where, where.signer, where.account, dumps, copies) == []
    assert leaks([data.decode("latin-1") for data in pickled], pickle.loads(pickled[-1])) == []
    assert leaks(f"{settings!s:>10}", f"{client!r} {client}", vars(settings)["api_key"], kind.__init__) == []


def test_a_copied_client_keeps_its_key_and_an_unpickled_one_reads_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = glmv.Client(KEY)
    account = client.address.account
    assert copy.copy(client).address.account == copy.deepcopy(client).address.account == account
    with pytest.raises(glmv.AuthenticationError):
        _ = pickle.loads(pickle.dumps(client)).address
    monkeypatch.setenv("ZHIPUAI_API_KEY", KEY)
    assert pickle.loads(pickle.dumps(client)).address.account == account


@pytest.mark.parametrize(
    "key",
    [
        "canary",
        "canary.a.b",
        "canary id.x",
        "canary\n.x",
        "canary\r\nx-evil: 1.x",
        "canary南.x",
        ".canary",
        "canary.",
        "  ",
        "canary\0.x",
    ],
)
@pytest.mark.parametrize("auth", ["key", "token"])
def test_the_error_of_a_malformed_key_does_not_show_the_key(server: Any, key: str, auth: Any) -> None:
    sendable = auth == "key" and re.fullmatch("[!-~]+", key.strip())  # a proxy's key needs no dot
    with glmv.Client(key, base_url=server.base_url, auth=auth) as glm:
        if sendable:
            glm.chat("hi")
            return
        with pytest.raises(glmv.AuthenticationError) as raised:
            glm.chat("hi")
    assert leaks(raised.value) == []
    assert server.requests == []


FAULTS: dict[str, Callable[[Any], None]] = {
    "400": lambda peer: peer.say({"error": {"code": "1210", "message": "m"}}, 400),
    "401": lambda peer: peer.say({"error": {"code": "1003", "message": "m"}}, 401),
    "429": lambda peer: peer.say({"error": {"code": "1302", "message": "m"}}, 429),
    "500 page": lambda peer: peer.say(b"<html>", 500),
    "redirect": lambda peer: peer.say(b"", 307, "location: https://elsewhere.example/"),
    "no json": lambda peer: peer.say(b"{"),
    "odd head": lambda peer: peer.send(b"HTTP/9.9 what\r\n\r\n") or peer.close(),
    "not http": lambda peer: peer.send(b"SSH-2.0-hello\r\n") or peer.close(),
    "huge head": lambda peer: peer.send(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n") or peer.close(),
    "reset": lambda peer: peer.reset(),
    "close": lambda peer: peer.close(),
    "stall": lambda peer: peer.stall(),
    "half body": lambda peer: peer.head(200, "content-length: 9") or peer.reset(),
    "odd chunk": lambda peer: peer.stream(chunk("x"), b"data: {\n\n"),
    "truncated": lambda peer: peer.stream(chunk("x")),
    "broken stream": lambda peer: peer.stream(chunk("x"), end=False) or peer.reset(),
    "sensitive": lambda peer: peer.stream(chunk("x"), chunk("", "sensitive")),
    "error event": lambda peer: peer.stream(chunk("x"), {"error": {"code": "1301", "message": "m"}}),
    "compressed": lambda peer: peer.say(b"xx", 200, "content-encoding: gzip"),
    "bad chunked": lambda peer: peer.head(200, "transfer-encoding: chunked") or peer.send(b"zz\r\n") or peer.close(),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("auth", ["key", "token"])
def test_an_error_and_its_locals_and_cause_and_context_do_not_show_the_key(
    ask: Any, server: Any, no_pauses: list[float], name: str, stream: bool, auth: str
) -> None:
    server.plays(FAULTS[name])
    results: list[str] = []
    sign = Signer.header

    def signed(self: Signer, now: float) -> str:
        results.append(sign(self, now))
        return results[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Signer, "header", signed)
        outcome = ask(stream=stream, api_key=KEY, auth=auth, max_retries=0, timeout=0.1)
    if isinstance(outcome, glmv.GLMVError):
        token = results[-1].removeprefix("Bearer ")
        texts = [*texts_of(outcome), pickle.dumps(outcome).decode("latin-1")]
        assert [text for text in texts if CANARY in text or token in text] == []


@pytest.mark.parametrize("turns", [0, 1, 5, 50])
async def test_the_traceback_of_a_cancelled_call_shows_no_key_in_its_locals(server: Any, turns: int) -> None:
    server.plays(lambda peer: peer.stall())
    async with glmv.AsyncClient(KEY, base_url=server.base_url) as glm:
        task = asyncio.create_task(glm.chat("hi"))
        for _ in range(turns):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
        assert [text for text in locals_of(raised.value) if CANARY in text] == []


def test_the_error_of_an_invalid_header_does_not_show_the_header_value(ask: Any) -> None:
    for headers in ({"x-evil": "canary\r\nx: 1"}, {"x-evil": "canary南"}, {"x evil\n": "canary"}):
        outcome = ask(default_headers=headers)
        assert isinstance(outcome, glmv.InvalidRequestError)
        assert leaks(outcome) == []


def test_logs_at_debug_show_neither_key_nor_pictures(ask: Any, server: Any, caplog: pytest.LogCaptureFixture) -> None:
    for name in (None, "httpx", "httpcore", "asyncio", "glmv"):
        caplog.set_level(logging.DEBUG, name)
    picture = glmv.Image.from_bytes(PNG)
    ask(messages=[picture, "hi"], api_key=KEY)
    ask(messages=[picture, "hi"], api_key=KEY, stream=True)
    server.plays(lambda peer: peer.reset())
    ask(api_key=KEY, max_retries=0)
    text = caplog.text
    assert "httpcore" in text or "send_request_headers" in text  # it did log
    assert CANARY not in text
    assert not re.search(r"[A-Za-z0-9+/]{64,}", text)


def test_the_repr_of_secret_bytes_does_not_show_the_value() -> None:
    secret = SecretBytes("Bearer canary", "ascii")
    assert bytes(secret) == b"Bearer canary"
    assert leaks(secret, [secret], {"authorization": secret}, f"{secret}") == []


def test_the_key_is_sent_in_the_authorization_header(ask: Any, server: Any) -> None:
    ask(api_key=KEY)
    assert f"authorization: bearer {KEY}" in server.requests[0][0].lower()


_watched: list[tuple[str, str]] | None = None


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if _watched is not None and event in (
        "open",
        "socket.connect",
        "socket.getaddrinfo",
        "subprocess.Popen",
        "os.listdir",
    ):
        _watched.append((event, str(args[:2])))


sys.addaudithook(_watch)

UNTRUSTED = [
    "http://169.254.169.254/latest/meta-data",
    "http://127.0.0.1:1/x.png",
    "http://[::ffff:127.0.0.1]/x.png",
    "http://2130706433/x.png",
    "https://localhost./x.png",
    "https://example.org/x.png",
    "file:///etc/passwd",
    "file://localhost/etc/passwd#x.jpg",
    "/etc/passwd",
    "..\\..\\x.png",
    "~/.ssh/id_rsa",
    "C:\\secret.png",
    "\\\\server\\share\\x.png",
    "ftp://example.org/x.png",
    "gopher://example.org/",
    "javascript:alert(1)",
    "data:text/html,<b>x</b>",
    "data:image/png;base64,aGVsbG8=",
    "/dev/zero",
    "x\0y",
    "",
]


@pytest.mark.parametrize("kind", ["image_url", "video_url", "file_url"])
@pytest.mark.parametrize("url", UNTRUSTED)
def test_urls_in_a_message_dict_are_neither_opened_nor_fetched(kind: str, url: str) -> None:
    global _watched
    glm = glmv.Client(KEY)
    message = {"role": "user", "content": [{"type": kind, kind: {"url": url}}, {"type": "text", "text": url}]}
    _watched = []
    try:
        request = glm.request([message])
        glm._context().chat(request)[0].body("request-id")
    except glmv.InvalidRequestError:
        refused = True
    else:
        refused = False
    finally:
        opened, _watched = _watched, None
    assert opened == []
    assert refused or url.startswith(("http", "data:image/png") if kind == "file_url" else "http")


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/meta-data", "https://example.org/x.png"])
def test_a_picture_url_is_sent_to_the_server_and_not_fetched(ask: Any, server: Any, url: str) -> None:
    ask(messages=[glmv.Image.from_url(url), "hi"])
    assert url.encode() in server.requests[0][1]
    assert server.connections == 1


@pytest.mark.parametrize(
    "host",
    [
        "vllm",
        "10.0.0.5",
        "192.168.1.2",
        "example.org",
        "127.0.0.1.example.org",
        "0.0.0.0",
        "localhost.evil.org",
    ],
)
def test_an_unencrypted_base_url_is_refused_unless_allow_http_is_set(host: str) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="allow_http=True") as raised:
        glmv.Client(KEY, base_url=f"http://{host}:8000/v1").chat("hi")
    assert host in str(raised.value)
    assert leaks(raised.value.message) == []
    assert glmv.Client(KEY, base_url=f"http://{host}:8000/v1", allow_http=True).address.host == f"{host}:8000"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.8.8.8", "glm.localhost"])
def test_an_unencrypted_base_url_on_this_machine_is_allowed(host: str) -> None:
    assert glmv.Client(KEY, base_url=f"http://{host}:8000/v1").address.base_url == f"http://{host}:8000/v1"


@pytest.mark.parametrize(
    "url",
    [
        "https://user:canary@example.org/v1",
        "ftp://example.org",
        "example.org/v1",
        "https://",
        "https://[canary/v1",
    ],
)
def test_an_invalid_base_url_is_refused(url: str) -> None:
    with pytest.raises(glmv.InvalidRequestError) as raised:
        glmv.Client(KEY, base_url=url).chat("hi")
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize("status", [301, 307, 308])
def test_the_target_of_a_redirect_receives_neither_key_nor_picture(ask: Any, server: Any, status: int) -> None:
    server.plays(lambda peer: peer.say(b"", status, f"location: http://127.0.0.1:{server.port}/elsewhere"))
    outcome = ask(messages=[glmv.Image.from_bytes(PNG), "hi"], api_key=KEY)
    assert isinstance(outcome, glmv.MalformedResponse)
    assert len(server.requests) == 1


def test_a_passed_http_client_with_follow_redirects_does_not_follow_a_redirect(server: Any) -> None:
    import httpx

    server.plays(lambda peer: peer.say(b"", 307, f"location: http://127.0.0.1:{server.port}/elsewhere"))
    with httpx.Client(follow_redirects=True) as http:
        glm = glmv.Client(KEY, base_url=server.base_url, http_client=http)
        with pytest.raises(glmv.MalformedResponse):
            glm.chat("hi")
    assert len(server.requests) == 1


def test_the_error_of_an_unusable_proxy_does_not_show_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://user:canary@proxy.example:1")
    with pytest.raises(glmv.InvalidRequestError) as raised:
        glmv.Client("test-id.test-secret").chat("hi")
    assert leaks(raised.value) == []


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 50_000,
        b'{"a":' * 20_000,
        b'{"choices": [{"message": {"content": "' + b"\\u0000" * 10 + b'"}}]}',
    ],
)
def test_deeply_nested_json_gives_an_answer_or_malformed_response(ask: Any, server: Any, data: bytes) -> None:
    server.plays(lambda peer: peer.say(data))
    assert isinstance(ask(), glmv.Completion | glmv.MalformedResponse)


@pytest.mark.parametrize("kind", [glmv.Client, glmv.AsyncClient])
def test_a_password_in_the_base_url_is_not_in_the_variables_of_the_error(kind: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="user name or password") as raised:
        _ = kind("test-id.test-secret", base_url="https://user:canary@api.example/v4").address
    assert leaks(raised.value) == []
