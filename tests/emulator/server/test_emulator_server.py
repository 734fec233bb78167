"""The emulator as a server on this machine: allowed clients, response headers, and its journal."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import time
import warnings
from typing import Any

import httpx
import pytest

from glmv_emulator import Emulator
from glmv_emulator.http import playback


def test_every_response_says_that_it_comes_from_an_emulator(glm: Any) -> None:
    answers = [
        glm.chat("Hello"),
        glm.chat("Hello", stream=True),
        glm.chat("Hello", model="no-such-model"),
        glm.get("/models"),
        glm.get("/no/such/path"),
        httpx.get(glm.emu.base_url, headers={"host": "evil.example"}),
    ]
    assert [answer.headers["x-glmv-emulator"] for answer in answers] == ["1"] * 6
    assert answers[0].json()["id"].startswith("emu-")


def test_the_emulator_listens_on_loopback_only(glm: Any) -> None:
    port = int(glm.emu.base_url.split(":")[2].split("/")[0])
    listening = socket.socket()
    # Another address of the same machine is free: the emulator does not listen on all addresses.
    listening.bind(("127.0.0.2", port))
    listening.close()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "0.0.0.0:80"])
def test_a_request_with_a_foreign_host_header_is_refused(glm: Any, host: str) -> None:
    assert glm.get("/models", headers={"host": host}).status_code == 403


def test_a_request_from_a_web_page_is_refused_and_gets_no_cors_header(glm: Any) -> None:
    answer = glm.post({}, headers={"origin": "https://evil.example"})
    result = glm.http.options(f"{glm.emu.base_url}/chat/completions", headers={"origin": "https://evil.example"})
    assert (answer.status_code, result.status_code) == (403, 403)
    assert not [name for name in [*answer.headers, *result.headers] if name.startswith("access-control")]


def test_a_request_that_is_too_large_is_refused_with_or_without_content_length(emulate: Any) -> None:
    glm = emulate(largest_body=10_000)
    announced = glm.post({"model": "x" * 20_000})
    chunked = glm.http.post(f"{glm.emu.base_url}/chat/completions", content=iter([b"x" * 6_000] * 3))
    assert (announced.status_code, chunked.status_code) == (413, 413)


def test_hosted_pictures_are_served_and_other_picture_urls_get_status_404(glm: Any) -> None:
    picture = glm.drawn()
    url = glm.emu.host(picture)
    served = httpx.get(url)
    assert (served.content, served.headers["content-type"]) == (picture, "image/png")
    assert httpx.get(url + "x").status_code == 404


def test_the_emulator_measures_hosted_pictures_and_fetches_no_other_urls(glm: Any) -> None:
    trap = socket.create_server(("127.0.0.1", 0))
    trap.settimeout(0.5)
    elsewhere = f"http://127.0.0.1:{trap.getsockname()[1]}/picture.png"
    seen = glm.chat((glm.emu.host(glm.drawn(size=(123, 45))),), "What size is it?")
    unseen = glm.chat((elsewhere,), "What size is it?")
    with pytest.raises(TimeoutError):
        trap.accept()
    trap.close()
    assert "123" in seen.json()["choices"][0]["message"]["content"]
    assert [exchange.media[0] is None for exchange in glm.emu.requests] == [False, True]
    assert unseen.status_code == 200


def test_the_journal_stores_each_request_but_neither_its_key_nor_its_picture(glm: Any) -> None:
    picture = glm.drawn(size=(320, 200))
    glm.chat((glm.base64(picture),), f"Is {glm.emu.api_key} a key?", model="glm-4v")
    (exchange,) = glm.emu.requests
    text = repr(exchange)
    assert glm.emu.api_key not in text
    assert glm.emu.api_key.partition(".")[2] not in text
    assert "authorization" not in exchange.headers
    assert glm.base64(picture)[:64] not in text
    assert f"{len(picture)} bytes" in exchange.body["messages"][0]["content"][0]["image_url"]["url"]
    assert (exchange.method, exchange.path, exchange.status) == ("POST", "/api/paas/v4/chat/completions", 200)
    assert (exchange.media[0].width, exchange.media[0].height) == (320, 200)


def test_the_journal_keeps_at_most_1000_requests(glm: Any) -> None:
    for _ in range(1_010):
        glm.get("/models")
    assert len(glm.emu.requests) == 1_000


def test_a_second_emulator_starts_quickly(glm: Any) -> None:
    before = time.perf_counter()
    with Emulator():
        took = time.perf_counter() - before
    assert took < 0.3


def test_each_emulator_generates_a_key_in_the_format_of_the_platform() -> None:
    one, other = Emulator(), Emulator()
    assert one.api_key != other.api_key
    assert [emu.api_key.count(".") for emu in (one, other)] == [1, 1]
    assert one.api_key not in repr(one)


def test_the_error_of_a_port_in_use_names_the_port(glm: Any) -> None:
    port = int(glm.emu.base_url.split(":")[2].split("/")[0])
    with pytest.raises(OSError, match=f"port {port} .* port=0 uses a free one"):
        Emulator(port=port).start()


def test_reading_the_base_url_raises_if_the_emulator_is_not_running() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        _ = Emulator().base_url


def test_stopping_the_emulator_ends_open_streams(emulate: Any) -> None:
    glm = emulate(pace=60.0)
    body = {"model": "glm-4v", "messages": [glm.user("Hello")], "stream": True}
    url = f"{glm.emu.base_url}/chat/completions"
    with glm.http.stream("POST", url, json=body) as answer:
        pieces = answer.iter_raw()
        next(pieces)
        glm.emu.stop()
        with pytest.raises(httpx.TransportError):
            next(pieces)


@pytest.mark.parametrize("turns", range(6))
def test_stopping_the_emulator_closes_connections_that_were_just_opened(turns: int) -> None:
    with warnings.catch_warnings(record=True) as caught_warnings:
        warnings.simplefilter("always")
        gc.collect()  # what other tests left is not of this one
        caught_warnings.clear()
        _end_while_somebody_comes(turns)
        gc.collect()
    assert [str(warning.message) for warning in caught_warnings if warning.category is ResourceWarning] == []


def _end_while_somebody_comes(turns: int) -> None:
    emulator = Emulator().start()
    server = emulator._server
    assert server is not None

    async def come_and_end() -> None:
        came.connect(("127.0.0.1", server.port))  # it is in the listener's queue, and the loop has not looked yet
        for _ in range(turns):
            await asyncio.sleep(0)
        assert server._ending is not None
        server._ending.set()

    with socket.socket() as came:
        server.call(come_and_end)
        emulator.stop()


def test_unimplemented_paths_get_status_404_so_that_clients_do_not_retry(glm: Any) -> None:
    answer = glm.post({"model": "cogview-3"}, "/images/generations")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "1222")
    assert "docs/fidelity.md" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/images/generations", "/v1/no/such/path", "/no/such/path"])
def test_a_path_outside_the_platforms_base_urls_gets_status_404(glm: Any, path: str) -> None:
    answer = glm.http.post(glm.emu.origin + path, json={})
    assert answer.status_code == 404
    assert answer.json()["error"].keys() >= {"message", "code"}
    assert ("type" in answer.json()["error"]) == path.startswith("/v1/")


@pytest.mark.parametrize(("method", "path"), [("GET", "/chat/completions"), ("PUT", "/files"), ("POST", "/models")])
def test_a_request_with_an_unsupported_method_gets_status_404(glm: Any, method: str, path: str) -> None:
    url = f"{glm.emu.base_url}{path}"
    answer = glm.http.request(method, url, headers={"authorization": f"Bearer {glm.emu.api_key}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "1222")


def test_the_command_prints_the_base_url_and_the_key_and_the_word_emulator() -> None:
    command = [sys.executable, "-m", "glmv_emulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        results = [process.stdout.readline() for _ in range(4)]
        process.terminate()
    assert results[0].startswith("EMULATOR")
    assert "/api/paas/v4" in results[1]
    assert results[3].split()[-1].count(".") == 1


def test_the_error_of_start_without_starlette_names_the_extra_to_install() -> None:
    code = (
        "import sys; sys.modules['starlette'] = None; import glmv_emulator, glmv_emulator.pytest_plugin\n"
        "try: glmv_emulator.Emulator().start()\n"
        "except ImportError as missing: print(missing)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "glmv[emulator]"' in done.stdout


def test_the_fixture_gives_a_running_emulator(glmv_emulator: Emulator) -> None:
    answer = httpx.get(f"{glmv_emulator.base_url}/models", headers={"Authorization": glmv_emulator.api_key})
    assert answer.status_code == 200


def test_an_unexpected_exception_causes_an_error_response_and_no_crash(emulate: Any) -> None:
    def broken(ask: Any) -> Any:
        raise ZeroDivisionError

    glm = emulate()
    glm.emu.answer(broken)
    answer = glm.chat("Hello")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "500")
    assert glm.get("/models").status_code == 200


def test_a_client_that_never_finishes_its_request_head_is_disconnected(
    monkeypatch: pytest.MonkeyPatch, emulate: Any
) -> None:
    monkeypatch.setattr("glmv_emulator.server.connection.HEAD_WITHIN", 0.2)
    glm = emulate()
    with socket.create_connection(("127.0.0.1", int(glm.emu.origin.rpartition(":")[2])), timeout=5) as dripping:
        dripping.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: ")
        assert glm.chat("Hello").status_code == 200
        assert dripping.recv(100) == b""


@pytest.mark.parametrize("stream", [False, True])
def test_a_concurrency_slot_is_free_as_soon_as_the_client_has_read_the_answer(emulate: Any, stream: bool) -> None:
    """After the last byte is sent, the request no longer counts, even if the emulator's event loop is busy."""
    glm = emulate(concurrency={"glm-4v-plus-0111": 1})
    released: list[int] = []
    state = glm.emu._state
    assert state is not None
    send, counts = playback.Response.play, state.busy

    async def observed(self: Any, scope: Any, sends: Any, exchange: Any) -> None:
        async def send_observed(message: dict[str, Any]) -> None:
            body = message.get("body", b"")
            if body and (body.endswith(b"[DONE]\n\n") or not stream):
                released.append(counts["glm-4v-plus-0111"])
            await sends(message)

        await send(self, scope, send_observed, exchange)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(playback.Response, "play", observed)
        assert glm.post(glm.hello(stream=stream)).status_code == 200
    assert released == [0]


@pytest.mark.parametrize("module", ["uvicorn", "glmv_emulator.platform.state"])
def test_the_error_for_a_missing_package_of_the_emulator_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'pip install "glmv\[emulator\]"'):
        Emulator().start()
