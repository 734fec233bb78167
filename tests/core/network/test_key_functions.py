"""A function as `api_key`: called before each attempt, on the event loop or in a thread; its keys are never shown."""

from __future__ import annotations

import asyncio
import copy
import pickle
import re
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr

import glmv
from tests.support.fake_server import DONE, WHOLE, Peer, Server, chunk

BUSY = {"error": {"code": "1302", "message": "busy"}}


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glmv.exchange.retry.PAUSES", dict.fromkeys(glmv_retries(), (0.0, 0.0)))
    monkeypatch.setattr("glmv.exchange.gate.PAUSE", 0.0)


def glmv_retries() -> list[Any]:
    from glmv.wire.codes import Retry

    return list(Retry)


def says(payload: object, status: int = 200) -> Callable[[Peer], None]:
    return lambda peer: peer.say(payload, status)


def echoes_key(status: int) -> Callable[[Peer], None]:
    """Repeats the header with the key, as gateways do."""

    def script(peer: Peer) -> None:
        peer.say({"error": {"code": "1000", "message": f"no such key: {key_in(peer.request[0])}"}}, status)

    return script


def key_in(head: str) -> str:
    match = re.search(r"(?mi)^authorization: Bearer (\S+)", head)
    return match[1] if match else ""


def keys_at(server: Server) -> list[str]:
    return [key_in(head) for head, _ in server.requests]


class Rotating:
    """Returns another key each time."""

    def __init__(self) -> None:
        self.calls = 0
        self.threads: list[threading.Thread] = []

    def key(self) -> str:
        self.calls += 1
        self.threads.append(threading.current_thread())
        return f"id-{self.calls}.secret-number-{self.calls}"

    async def akey(self) -> SecretStr:
        await asyncio.sleep(0)
        return SecretStr(self.key())


KEYS = [f"id-{number}.secret-number-{number}" for number in range(1, 9)]


@pytest.mark.parametrize("refusal", [(BUSY, 429), ({"error": "down"}, 500), ({"error": "down"}, 503)], ids=str)
def test_each_attempt_calls_the_key_function(server: Server, refusal: tuple[Any, int]) -> None:
    server.plays(says(*refusal), says(*refusal), says(WHOLE))
    with glmv.Client(Rotating().key, base_url=server.base_url, max_retries=3) as glm:
        assert glm.chat("hello").text == "hello"
    assert keys_at(server) == KEYS[:3]


def test_a_call_is_not_retried_if_the_server_refuses_the_key_from_a_function(server: Server) -> None:
    server.plays(echoes_key(401))
    vault = Rotating()
    with glmv.Client(vault.key, base_url=server.base_url) as glm, pytest.raises(glmv.AuthenticationError) as caught:
        glm.chat("hello")
    assert vault.calls == 1
    assert "secret-number-1" not in str(caught.value)  # the server repeated it


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_asynchronous_key_function_is_awaited_at_each_attempt(server: Server, streamed: bool) -> None:
    answer = (lambda peer: peer.stream(chunk("hello", "stop"), DONE)) if streamed else says(WHOLE)
    server.plays(says(BUSY, 429), answer)
    vault = Rotating()
    async with glmv.AsyncClient(vault.akey, base_url=server.base_url) as glm:
        if streamed:
            text = "".join([delta.text or "" async for delta in glm.stream("hello")])
        else:
            text = (await glm.chat("hello")).text
    assert text == "hello"
    assert keys_at(server) == KEYS[:2]
    assert set(vault.threads) == {threading.current_thread()}


async def test_a_blocking_key_function_does_not_block_the_event_loop(server: Server) -> None:
    server.plays(says(WHOLE))
    started, go_on = threading.Event(), threading.Event()

    def key() -> str:
        started.set()
        assert go_on.wait(20)
        return KEYS[0]

    async with glmv.AsyncClient(key, base_url=server.base_url) as glm:
        call = asyncio.create_task(glm.chat("hello"))
        assert await asyncio.to_thread(started.wait, 20)
        go_on.set()  # the loop runs while the function waits for this
        assert (await call).text == "hello"
    assert keys_at(server) == KEYS[:1]


@pytest.mark.parametrize("wrap", [lambda vault: lambda: vault.akey(), lambda vault: partial(type(vault).akey, vault)])
async def test_an_awaitable_that_a_key_function_returns_is_awaited(server: Server, wrap: Any) -> None:
    server.plays(says(WHOLE))
    async with glmv.AsyncClient(wrap(Rotating()), base_url=server.base_url) as glm:
        await glm.chat("hello")
    assert keys_at(server) == KEYS[:1]


@pytest.mark.parametrize("wrap", [lambda vault: vault.akey, lambda vault: lambda: vault.akey()])
def test_a_blocking_client_refuses_an_asynchronous_key_function(server: Server, wrap: Any) -> None:
    server.plays(says(WHOLE))
    with (
        glmv.Client(wrap(Rotating()), base_url=server.base_url) as glm,
        pytest.raises(glmv.AuthenticationError, match="asynchronous"),
    ):
        glm.chat("hello")
    assert server.requests == []


def fails(error: Exception) -> Callable[[], str]:
    def key() -> str:
        raise error

    return key


WRONG: list[tuple[Any, str]] = [
    (fails(OSError("the vault is sealed")), r"raised OSError: the vault is sealed"),
    (fails(KeyError()), r"raised KeyError \("),
    (fails(TimeoutError("too slow")), r"raised TimeoutError: too slow"),
    (lambda: None, "returned NoneType; it must return a string"),
    (lambda: b"id.secret", "returned bytes"),
    (lambda: "", "returned an empty string"),
    (lambda: " \n", "returned an empty string"),
    (lambda: SecretStr(""), "returned an empty string"),
    (lambda: "ключ", "non-ASCII"),
    (lambda one: one, "raised TypeError"),
]


@pytest.mark.parametrize(("function", "message"), WRONG, ids=[message for _, message in WRONG])
async def test_a_call_raises_authentication_error_if_its_key_function_gives_no_key(
    server: Server, function: Any, message: str
) -> None:
    server.plays(says(WHOLE))
    with (
        glmv.Client(function, base_url=server.base_url) as glm,
        pytest.raises(glmv.AuthenticationError, match=message) as caught,
    ):
        glm.chat("hello")
    assert not caught.value.retryable
    async with glmv.AsyncClient(function, base_url=server.base_url) as aglm:
        with pytest.raises(glmv.AuthenticationError, match=message):
            await aglm.chat("hello")

        async def awaited() -> Any:
            return function()

    async with glmv.AsyncClient(awaited, base_url=server.base_url) as aglm:
        with pytest.raises(glmv.AuthenticationError, match=message):
            async for _ in aglm.stream("hello"):
                pass
    assert server.requests == []


def test_a_glmv_error_that_the_key_function_raises_reaches_the_caller_unchanged(server: Server) -> None:
    problem = glmv.PermissionDeniedError("Ask an administrator.")
    with glmv.Client(fails(problem), base_url=server.base_url) as glm, pytest.raises(glmv.PermissionDeniedError) as got:
        glm.chat("hello")
    assert got.value is problem


async def test_a_deadline_covers_the_key_function(server: Server) -> None:
    server.plays(says(WHOLE))
    over = asyncio.Event()

    async def key() -> str:
        await over.wait()
        return KEYS[0]

    async with glmv.AsyncClient(key, base_url=server.base_url, deadline=0.05) as glm:
        with pytest.raises(glmv.DeadlineExceeded, match="api_key"):
            await glm.chat("hello")
    assert server.requests == []


async def test_a_cancelled_call_cancels_the_key_function_and_frees_its_slot(server: Server) -> None:
    server.plays(says(WHOLE))
    result = asyncio.Event()

    async def key() -> str:
        if not result.is_set():
            result.set()
            await asyncio.Event().wait()
        return KEYS[0]

    async with glmv.AsyncClient(key, base_url=server.base_url, max_concurrency=1) as glm:
        call = asyncio.create_task(glm.chat("hello"))
        await result.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await glm.chat("hello")).text == "hello"


def test_a_token_is_signed_again_only_for_a_new_key(server: Server) -> None:
    server.plays(says(WHOLE))
    current = [KEYS[0]]
    with glmv.Client(lambda: current[0], auth="token", base_url=server.base_url) as glm:
        glm.chat("one")
        glm.chat("two")
        current[0] = KEYS[1]
        glm.chat("three")
    one, two, three = keys_at(server)
    assert one == two != three
    assert one.count(".") == three.count(".") == 2


def test_clients_with_the_same_key_function_share_their_slots() -> None:
    vault, other = Rotating(), Rotating()
    base = "https://example.com/v1"

    def slots(function: Any, kind: Any = glmv.Client) -> object:
        return kind(function, base_url=base).slots("glm-4.6v")

    assert slots(vault.key) is slots(vault.key) is slots(vault.key, glmv.AsyncClient)
    assert slots(vault.key) is not slots(other.key)
    function = lambda: "id.secret"  # noqa: E731
    assert slots(function) is slots(function)
    assert slots(function) is not slots(lambda: "id.secret")
    client = glmv.Client(vault.key, base_url=base)
    for copied in (copy.copy(client), copy.deepcopy(client), glmv.Client.of(client.settings.model_copy(deep=True))):
        assert copied.slots("glm-4.6v") is slots(vault.key)


class Locked:
    """Holds a key and a lock, which cannot be copied or pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value = "id.a-secret-in-a-vault-1"

    def __call__(self) -> str:
        return self.value


def test_pickles_of_a_client_hold_neither_the_key_function_nor_a_key(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.plays(says(WHOLE))
    monkeypatch.setenv("ZHIPUAI_API_KEY", "id.of-the-environment")
    glm = glmv.Client(Locked(), base_url=server.base_url)
    glm.chat("hello")
    for thing in (glm, glm.settings):
        data = pickle.dumps(thing)
        assert b"a-secret-in-a-vault" not in data
        assert b"Locked" not in data
    with pickle.loads(pickle.dumps(glm)) as other:
        other.chat("hello")
    glm.close()
    assert keys_at(server) == ["id.a-secret-in-a-vault-1", "id.of-the-environment"]


@pytest.mark.parametrize("status", [200, 400])
def test_keys_from_a_function_are_masked_when_the_server_repeats_them(server: Server, status: int) -> None:
    vault = Rotating()
    text = f"you sent {KEYS[0]}, before {KEYS[1]}"
    answer = {**WHOLE, "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": text}}]}
    server.plays(
        says(BUSY, 429), says(answer if status == 200 else {"error": {"code": "1210", "message": text}}, status)
    )
    with glmv.Client(vault.key, base_url=server.base_url, default_headers={"x-team": "one"}) as glm:
        try:
            message = glm.chat("hello", extra_headers={"x-secret": "a-further-secret-1"}).text
        except glmv.InvalidRequestError as error:
            message = str(error)
    assert "you sent ***" in message
    assert "secret-number" not in message


def test_no_traceback_shows_a_key_that_a_function_returned(server: Server) -> None:
    server.plays(says({"error": {"code": "1210", "message": "no"}}, 400))
    with glmv.Client(Locked(), base_url=server.base_url) as glm, pytest.raises(glmv.GLMVError) as caught:
        glm.chat("hello")
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    texts = [str(frame.locals) for frame in trace.stack if "/glmv/" in frame.filename]
    assert not [text for text in [*texts, repr(glm), repr(glm.address), repr(glm.settings)] if "in-a-vault" in text]


BIGMODEL, ZAI = "https://open.bigmodel.cn/api/paas/v4", "https://api.z.ai/api/paas/v4"


@pytest.mark.parametrize(
    ("environment", "argument", "expected"),
    [
        ({}, None, BIGMODEL),
        ({}, "https://example.com/v1", "https://example.com/v1"),
        ({"GLMV_BASE_URL": "https://example.com/v2"}, None, "https://example.com/v2"),
        ({"GLMV_BASE_URL": "https://example.com/v2"}, "https://example.com/v1", "https://example.com/v1"),
        ({"ZAI_BASE_URL": "https://example.com/v3"}, None, "https://example.com/v3"),
        ({"ZAI_API_KEY": "k.k"}, None, ZAI),
        ({"ZHIPUAI_API_KEY": "k.k"}, None, BIGMODEL),
        ({"ZAI_API_KEY": "k.k", "ZHIPUAI_BASE_URL": "https://example.com/v4"}, None, "https://example.com/v4"),
    ],
)
def test_the_base_url_is_resolved_without_calling_the_key_function(
    environment: dict[str, str], argument: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GLMV_BASE_URL", "ZAI_BASE_URL", "ZAI_API_KEY", "ZHIPUAI_BASE_URL", "ZHIPUAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    vault = Rotating()
    assert glmv.Client(vault.key, base_url=argument).address.base_url == expected
    assert vault.calls == 0


def test_a_key_that_is_neither_a_string_nor_a_function_is_refused_at_once() -> None:
    for wrong in (5, ["id.secret"], {"key": "id.secret"}):
        with pytest.raises(glmv.InvalidRequestError, match="api_key"):
            glmv.Client(wrong)  # type: ignore[arg-type]  # on purpose


def test_the_json_schema_of_settings_includes_api_key() -> None:
    assert "api_key" in glmv.Settings.model_json_schema()["properties"]


@pytest.mark.parametrize(
    "bad", [b"a-key-in-a-vault", ["a-key-in-a-vault"], "a-key-in-a-vault\n x", "a-key-in-a-vault\u4e2d"]
)
def test_no_traceback_shows_what_a_function_returned_in_place_of_a_key(server: Server, bad: Any) -> None:
    async def later() -> Any:
        return bad

    async def ask(function: Any) -> None:
        async with glmv.AsyncClient(function, base_url=server.base_url) as glm:
            await glm.chat("hello")

    for call in (
        lambda: glmv.Client(lambda: bad, base_url=server.base_url).chat("hello"),
        lambda: asyncio.run(ask(lambda: bad)),
        lambda: asyncio.run(ask(later)),
    ):
        with pytest.raises(glmv.AuthenticationError) as caught:
            call()
        frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
        assert not [frame for frame in frames if "/glmv/" in frame.filename and "in-a-vault" in str(frame.locals)]


def test_an_asynchronous_function_that_returns_another_awaitable_is_refused(server: Server) -> None:
    class Later:
        def __await__(self) -> Iterator[Any]:
            yield from ()

    async def later() -> Any:
        return Later()

    async def ask() -> None:
        async with glmv.AsyncClient(later, base_url=server.base_url) as glm:
            await glm.chat("hello")

    with pytest.raises(glmv.AuthenticationError, match="returned Later"):
        asyncio.run(ask())
