"""Thirty abuses, tried on `glmv`, `ChatGLMV` and `GLMV`, and on the emulator: what each does about them.

Used by `reliability.py`; `python benchmarks/reliability_abuse.py` prints the table alone. A check returns what it saw
in a few words; it raises `Wrong` with what it should not have seen.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import socket
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from llama_index.core.llms import ChatMessage, ImageBlock
from llama_index.core.schema import ImageDocument
from PIL import Image as Pictures
from reliability_faces import (
    CANARY,
    FACES,
    PROMPT,
    Core,
    Face,
    LangChain,
    LlamaIndex,
    NotHere,
    World,
    Wrong,
    no_secret,
    not_visited,
    peak,
    port,
    trap,
    watched,
)  # fmt: skip

import glmv
from glmv_emulator import Emulator

os.environ["LANGSMITH_TRACING"] = "false"


def surfaces(world: World) -> str:
    model = world.model()
    world.face.ask(model, PROMPT)
    shown = world.face.surfaces(model)
    for one in shown:
        no_secret(one, "a surface")
    return f"{len(shown)} surfaces, no key"


def errors(world: World) -> str:
    names = ("busy", "arrears", "token-expired", "gateway-page", "login-page", "empty-body", "half-body", "redirect",
             "reset-in-headers", "error-in-200", "garbage", "content-filter")  # fmt: skip
    for name in names:
        world.emu.reset()
        world.emu.inject(name, None)
        error = world.error(max_retries=0)
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        no_secret("".join(told.format()), f"the traceback of {name}")
    return f"{len(names)} errors with locals, no key"


def logs(world: World) -> str:
    kept = io.StringIO()
    handler = logging.StreamHandler(kept)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        world.ask("What is it?", data_uri(os.urandom(1)))
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    no_secret(kept.getvalue(), "the log")
    picture = data_uri(b"")["image_url"]["url"].partition(",")[2]
    if picture[100:164] in kept.getvalue():
        raise Wrong("the picture stands in the log")
    return f"{len(kept.getvalue())} characters of log, neither key nor picture"


def data_uri(salt: bytes) -> dict[str, Any]:
    made = io.BytesIO()
    Pictures.effect_noise((600, 600), 80).save(made, "PNG")
    kept = base64.b64encode(_kept_picture(made.getvalue())).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{kept}"}}


_picture: list[bytes] = []


def _kept_picture(data: bytes) -> bytes:
    if not _picture:
        _picture.append(data)
    return _picture[0]


def tracing(world: World) -> str:
    match world.face:
        case LangChain():
            no_secret(dumps(world.model()), "dumps")
            no_secret(dumps(world.model().invoke(PROMPT)), "dumps of an answer")
            return "dumps holds no key; uploads are watched in tests/langchain"
        case LlamaIndex():
            no_secret(world.model().to_dict(), "to_dict")
            return "to_dict holds no key; events are watched in tests/llama_index"
    raise NotHere


def malformed_keys(world: World) -> str:
    for key in ("canary-nodot", "canary.a.b", "canary id.canary", "canary\nid.x", "канарейка.x", ""):
        with suppress(glmv.AuthenticationError):
            try:
                world.ask(PROMPT, api_key=key)
            except glmv.GLMVError as error:
                if key and key in f"{error}{error!r}":
                    raise Wrong(f"the value of a key in {type(error).__name__}") from error
                if not isinstance(error, glmv.AuthenticationError):
                    raise Wrong(f"{type(error).__name__} for a malformed key") from error
                raise
            raise Wrong(f"sent with the key {key!r}")
    return "AuthenticationError, six shapes, no value"


def _as_picture(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def internal_urls(world: World) -> str:
    urls = ("http://169.254.169.254/latest", "http://127.1/x.png", "http://[::ffff:127.0.0.1]/x.png",
            "http://2130706433/x.png", "http://0x7f000001/x.png", "http://localhost./x.png")  # fmt: skip
    model = world.model()
    world.face.ask(model, PROMPT)
    with watched() as found:
        for url in urls:
            with suppress(glmv.InvalidRequestError):
                world.face.ask(model, "What is it?", _as_picture(url))
    strange = [one for one in found if "connect" in one and str(port(world.emu)) not in one]
    if strange or any(exchange.media and exchange.media[0] is not None for exchange in world.emu.requests):
        raise Wrong(f"fetched: {strange}")
    return "handed on, never fetched; the emulator does not either"


def rebinding(world: World) -> str:
    with trap() as listening:
        with suppress(glmv.GLMVError):
            world.ask("What is it?", _as_picture(f"http://localhost:{listening.getsockname()[1]}/x.png"))
        not_visited(listening)
    return "nobody looks the name up, so nothing can be rebound"


def redirected_picture(world: World) -> str:
    with trap() as listening:
        host = f"http://127.0.0.1:{listening.getsockname()[1]}/redirect?to=http://169.254.169.254/"
        with suppress(glmv.GLMVError):
            world.ask("What is it?", _as_picture(host))
        not_visited(listening)
    return "not fetched, so not followed"


def _refused_unopened(world: World, urls: tuple[str, ...]) -> str:
    model = world.model()
    world.face.ask(model, PROMPT)
    kinds = set()
    for url in urls:
        with watched() as found:
            try:
                world.face.ask(model, "What is it?", _as_picture(url))
            except glmv.GLMVError as error:
                kinds.add(type(error).__name__)
            except Exception as error:  # noqa: BLE001 - frameworks check their own types first
                kinds.add(f"{type(error).__name__} of the framework")
            else:
                raise Wrong(f"{url!r} was sent")
        opened = [one for one in found if "open" in one and ".py" not in one]
        if opened:
            raise Wrong(f"{url!r}: {opened}")
    return f"{', '.join(sorted(kinds))}; nothing opened"


def schemes(world: World) -> str:
    return _refused_unopened(
        world,
        ("file:///etc/passwd", "file://localhost/etc/passwd#x.jpg", "ftp://example.org/x.png", "gopher://example.org/",
         "data:text/html,<b>x</b>", "javascript:alert(1)"),
    )  # fmt: skip


def paths(world: World) -> str:
    return _refused_unopened(world, ("/etc/passwd", "..\\..\\x.png", "~/.ssh/id_rsa", "C:\\secret.png", "x\0y"))


def strange_files(world: World) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "text.png").write_text("no picture at all")
        os.mkfifo(folder / "fifo.png")
        with (folder / "sparse.png").open("wb") as sparse:
            sparse.truncate(2 * 1024**3)
        began, grown = time.monotonic(), peak()
        for path in (folder / "text.png", folder / "fifo.png", Path("/dev/zero"), folder, folder / "sparse.png"):
            try:
                world.ask("What is it?", world.face.trusted(path))
            except (glmv.GLMVError, ValueError, OSError):
                continue
            raise Wrong(f"{path.name or path} was sent")
        if time.monotonic() - began > 2 or peak() - grown > 64:
            raise Wrong(f"{time.monotonic() - began:.1f} s, +{peak() - grown:.0f} MB")
    return "five refused, none hangs"


def llama_documents(world: World) -> str:
    match world.face:
        case LlamaIndex():
            model = world.model()
            with watched() as found, suppress(Exception):
                model.complete("What is it?", image_documents=[ImageDocument(metadata={"file_path": "/etc/passwd"})])
            if any("passwd" in one for one in found):
                raise Wrong("metadata was read")
            with trap() as listening:
                url = f"http://127.0.0.1:{listening.getsockname()[1]}/x.png"
                with suppress(glmv.GLMVError):
                    world.face.ask(model, "What is it?", ImageBlock(url=url))
                not_visited(listening)
            with tempfile.TemporaryDirectory() as ours, tempfile.NamedTemporaryFile(suffix=".png") as theirs:
                Pictures.new("RGB", (32, 32), "red").save(theirs, "PNG")
                theirs.flush()
                link = Path(ours, "link.png")
                link.symlink_to(theirs.name)
                for allowed, path in (([ours], theirs.name), ([ours], link), (False, link)):
                    confined = world.model(local_files=allowed)
                    with watched() as found, suppress(glmv.InvalidRequestError):
                        world.face.ask(confined, "What is it?", ImageBlock(path=path))
                        raise Wrong(f"{path} was sent with local_files={allowed}")
                    if any(str(path) in one or theirs.name in one for one in found):
                        raise Wrong(f"{path} was opened with local_files={allowed}")
            return "metadata is not read, a URL not fetched, a path outside local_files not opened"
    raise NotHere


def templates(world: World) -> str:
    match world.face:
        case LangChain():
            with watched() as found:
                try:
                    part = {"type": "image_url", "image_url": {"path": "{picture}"}}
                    chain = ChatPromptTemplate.from_messages([("user", [part])]) | world.model()
                    chain.invoke({"picture": "/etc/passwd"})
                except Exception as error:
                    if any("passwd" in one for one in found):
                        raise Wrong("the file was opened") from error
                    return f"{type(error).__name__}, nothing opened"
            raise Wrong("was sent")
    raise NotHere


def svg(world: World) -> str:
    text = b"<?xml version='1.0'?><!DOCTYPE s [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg>&x;</svg>"
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "drawing.png"
        path.write_bytes(text)
        error = None
        try:
            world.ask("What is it?", world.face.trusted(path))
        except (glmv.GLMVError, ValueError) as caught:
            error = caught
    if error is None:
        raise Wrong("was sent")
    return f"{type(error).__name__}"


def bombs(world: World) -> str:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    side = 20_000
    header = side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1024 * 1024)))
    with tempfile.TemporaryDirectory() as name:
        grown, kinds = peak(), set()
        for suffix, data in ((".png", bomb), (".tiff", b"II*\0" + bytes(99)), (".ico", b"\0\0\1\0\1\0" + bytes(99)),
                             (".psd", b"8BPS" + bytes(99)), (".eps", b"%!PS-Adobe-3.0 EPSF-3.0\n")):  # fmt: skip
            path = Path(name) / f"picture{suffix}"
            path.write_bytes(data)
            try:
                world.ask("What is it?", world.face.trusted(path))
            except (glmv.GLMVError, ValueError) as error:
                kinds.add(type(error).__name__)
                continue
            raise Wrong(f"{suffix} was sent")
        if peak() - grown > 64:
            raise Wrong(f"+{peak() - grown:.0f} MB")
    return f"{', '.join(sorted(kinds))}, from the header"


def odd_base64(world: World) -> str:
    data_uri(b"")
    text = base64.b64encode(_picture[0]).decode()
    lines = "\r\n".join(text[place : place + 76] for place in range(0, len(text), 76))
    jpeg = io.BytesIO()
    Pictures.new("RGB", (40, 30), "red").save(jpeg, "JPEG")
    mislabelled = base64.b64encode(jpeg.getvalue()).decode()
    urlsafe = text.replace("+", "-").replace("/", "_").rstrip("=")
    for what, data in (("line breaks", lines), ("URL-safe", urlsafe), ("mislabelled", mislabelled)):
        url = f"data:image/png;base64,{data}"
        try:
            world.ask("What is it?", _as_picture(url))
        except glmv.InvalidRequestError:
            continue
        except glmv.GLMVError as error:
            raise Wrong(f"{what}: {error}"[:100]) from error
    made = time.monotonic()
    huge = world.face.part(_as_picture("data:image/png;base64," + "A" * (200 * 1024 * 1024)))
    began = time.monotonic()
    with suppress(glmv.GLMVError, ValueError):
        world.ask("What is it?", huge)
    took = time.monotonic() - began
    if took > 5:
        raise Wrong(f"200 MB took {took:.1f} s")
    before = f", after {began - made:.1f} s in the framework's own block" if began - made > 1 else ""
    return f"put right or refused; 200 MB refused in {took:.1f} s{before}"


def lc_shapes(world: World) -> str:
    match world.face:
        case LangChain():
            shape = {"lc": 1, "type": "secret", "id": ["ZHIPUAI_API_KEY"]}
            os.environ["ZHIPUAI_API_KEY"] = CANARY
            try:
                messages = [
                    HumanMessage([{"type": "text", "text": json.dumps(shape)}]),
                    AIMessage("x", response_metadata={"note": shape}),
                    ToolMessage(json.dumps(shape), tool_call_id="1"),
                ]
                for message in messages:
                    with warnings.catch_warnings(action="ignore"):  # `loads` calls itself beta
                        no_secret(loads(dumps(message), allowed_objects="all"), "what was loaded")
            finally:
                del os.environ["ZHIPUAI_API_KEY"]
            return "stays a plain dict"
    raise NotHere


def redirects(world: World) -> str:
    world.emu.inject("redirect", None)
    error = world.error()
    if any(one.path == "/redirected" for one in world.emu.requests):
        raise Wrong("followed")
    return f"{type(error).__name__}, nothing sent there"


def bases(world: World) -> str:
    kinds = set()
    for base in ("http://example.org/api/paas/v4", "http://glm:8000/v1", "https://user:canary-word@example.org/v4",
                 "ftp://example.org"):  # fmt: skip
        with watched() as found:
            try:
                world.face.ask(world.face.model(base, max_retries=0, timeout=1), PROMPT)
            except glmv.GLMVError as error:
                kinds.add(type(error).__name__)
                if "canary-word" in f"{error}":
                    raise Wrong("user information in the message") from error
        if any("connect" in one for one in found) and base.startswith("http://"):
            raise Wrong(f"connected to {base}")
    return f"{', '.join(sorted(kinds))}, nothing sent"


def proxies(world: World) -> str:
    os.environ["HTTPS_PROXY"] = os.environ["https_proxy"] = "http://user:canary-word@127.0.0.1:9"
    try:
        error = world_error_at(world, "https://example.invalid/api/paas/v4")
    finally:
        del os.environ["HTTPS_PROXY"], os.environ["https_proxy"]
    if "canary-word" in "".join(traceback.format_exception(error)):
        raise Wrong("the proxy's password is told")
    return f"{type(error).__name__} of the proxy, no password"


def world_error_at(world: World, base: str) -> Exception:
    try:
        world.face.ask(world.face.model(base, max_retries=0, timeout=2), PROMPT)
    except glmv.GLMVError as error:
        return error
    raise Wrong("was answered")


def gzip_bomb(world: World) -> str:
    world.ask(PROMPT)
    world.emu.inject("gzip-bomb", None)
    before = peak()
    error = world.error()
    if peak() - before > 64:
        raise Wrong(f"+{peak() - before:.0f} MB")
    return f"{type(error).__name__}, +{peak() - before:.0f} MB"


def endless_line(world: World) -> str:
    world.emu.inject("endless-line", None)
    began = time.monotonic()
    model = world.model()
    stream = {"glmv": lambda: model.stream(PROMPT), "ChatGLMV": lambda: model.stream(PROMPT),
              "GLMV": lambda: model.stream_complete(PROMPT)}[world.face.name]  # fmt: skip
    try:
        list(stream())
    except glmv.GLMVError as error:
        return f"{type(error).__name__} after {time.monotonic() - began:.1f} s"
    raise Wrong("ended as if nothing were")


def odd_json(world: World) -> str:
    message = {"role": "assistant", "content": "x"}
    body = json.dumps({"id": "1", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]})
    kinds = set()
    for odd in ("[" * 20_000 + "]" * 20_000, "9" * 5_000, "NaN", '"\\ud800"', '{"a":1,"a":2}'):
        world.emu.reset()
        world.emu.inject("empty-body", None, text=f'{body[:-1]}, "odd": {odd}}}')
        try:
            world.ask(PROMPT, max_retries=0)
            kinds.add("answered")
        except glmv.GLMVError as error:
            kinds.add(type(error).__name__)
        except Exception as error:
            raise Wrong(f"raw {type(error).__name__} for {odd[:12]}") from error
    return ", ".join(sorted(kinds))


def escapes(world: World) -> str:
    world.emu.inject("gateway-page", None)
    error = world.error(max_retries=0)
    if {"\x1b", "\r", "\u202e"} & set(str(error)):
        raise Wrong("control characters in the message")
    return "none in the message"


def odd_arguments(world: World) -> str:
    broken = '{"path": "/", "mor'
    function = {"name": "wipe", "description": "Wipe it.", "parameters": {"type": "object", "properties": {}}}
    call = {"id": "call_1", "type": "function", "function": {"name": "wipe", "arguments": broken}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    world.emu.inject("empty-body", None, text=json.dumps({"id": "1", "choices": [choice]}))
    model, tools = world.model(model="glm-4.6v"), [{"type": "function", "function": function}]
    match world.face:
        case Core():
            shown: Any = model.chat(PROMPT, tools=tools).tool_calls[0].arguments
        case LangChain():
            answer = model.bind_tools(tools).invoke(PROMPT)
            if answer.tool_calls:
                raise Wrong(f"a tool call to be run: {answer.tool_calls}")
            shown = answer.invalid_tool_calls[0]["args"]
        case LlamaIndex():
            answer = model.chat([ChatMessage(role="user", content=PROMPT)], tools=tools)
            shown = answer.message.blocks
            try:
                calls = model.get_tool_calls_from_response(answer)
            except ValueError:
                calls = []
            if any(call.tool_kwargs for call in calls):
                raise Wrong(f"a tool call to be run: {calls}")
    if broken not in str(shown):
        raise Wrong(f"the raw arguments are not shown: {str(shown)[:60]}")
    return "raw arguments shown, none run"


def odd_schemas(world: World) -> str:
    big = {f"field{number}": {"type": "string"} for number in range(10_000)}
    kinds = set()
    began = time.monotonic()
    schemas: list[dict[str, Any]] = [
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"type": "object", "properties": {"x": {"$ref": "http://169.254.169.254/schema"}}, "required": ["x"]},
        {"type": "object", "properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}, "required": ["x"]},
        {"type": "object", "properties": big},
    ]
    for schema in schemas:
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        with watched() as found:
            try:
                model = world.model(model="glm-4.6v")
                match world.face:
                    case Core():
                        model.chat(PROMPT, response_format=form)
                    case LangChain():
                        model.invoke(PROMPT, response_format=form)
                    case LlamaIndex():
                        model.complete(PROMPT, response_format=form)
                kinds.add("answered")
            except glmv.GLMVError as error:
                kinds.add(type(error).__name__)
        if any("169.254" in one for one in found):
            raise Wrong("a remote schema was fetched")
    if time.monotonic() - began > 20:
        raise Wrong(f"{time.monotonic() - began:.0f} s")
    return f"{', '.join(sorted(kinds))} in {time.monotonic() - began:.1f} s, nothing fetched"


def web_page(world: World) -> str:
    url = f"{world.emu.base_url}/chat/completions"
    key = {"authorization": CANARY}
    got = [httpx.post(url, json={}, headers=key | more) for more in
           ({"host": "evil.example"}, {"origin": "https://evil.example"})]  # fmt: skip
    got.append(httpx.options(url, headers=key | {"origin": "https://evil.example"}))
    if {one.status_code for one in got} != {403} or any("access-control-allow-origin" in one.headers for one in got):
        raise Wrong(f"{[one.status_code for one in got]}")
    return "403 for Host, Origin and preflight; faults need the key of the run"


def other_bind(world: World) -> str:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port(world.emu)), timeout=2):
        raise Wrong("it listens elsewhere")
    return "there is no such flag; it listens on 127.0.0.1 alone"


def floods(world: World) -> str:
    address = ("127.0.0.1", port(world.emu))
    idle = [socket.create_connection(address) for _ in range(300)]
    try:
        for one in idle[:100]:
            one.sendall(b"POST /api/paas/v4/chat/completions HTTP/1.1\r\nx: ")
        world.ask(PROMPT)
    finally:
        for one in idle:
            one.close()
    return "served beside 300 silent connections; heads and bodies have limits of time and size"


def journal(world: World) -> str:
    world.ask(f"My key is {CANARY}", data_uri(b""))
    no_secret(world.emu.requests, "the journal")
    if base64.b64encode(_picture[0]).decode()[:64] in repr(world.emu.requests):
        raise Wrong("a picture in the journal")
    return "no key, no picture; in memory, bounded"


Check = Callable[[World], str]
OF_THE_CLIENT: tuple[tuple[int, str, Check], ...] = (
    (1, "the key in repr, str, vars, pickle, dumps", surfaces),
    (2, "the key in tracebacks with locals", errors),
    (3, "the key and a picture in logs at DEBUG", logs),
    (4, "the key in serialised and traced objects", tracing),
    (5, "malformed keys", malformed_keys),
    (6, "picture URLs of internal addresses", internal_urls),
    (7, "a name that changes its address", rebinding),
    (8, "a picture URL that redirects inwards", redirected_picture),
    (9, "file:, ftp:, javascript: and HTML as a picture", schemes),
    (10, "a path as a picture in a message", paths),
    (11, "a text file, FIFO, /dev/zero, folder, 2 GB as a picture", strange_files),
    (12, "metadata and URLs of LlamaIndex documents", llama_documents),
    (13, "a template variable in a picture's path", templates),
    (14, "SVG with an external entity, named .png", svg),
    (15, "picture of 400 MP, TIFF, ICO, PSD, EPS", bombs),
    (16, "odd base64, 200 MB of it", odd_base64),
    (17, "objects that look like LangChain's own", lc_shapes),
    (18, "307 to another host", redirects),
    (19, "http:// beyond this machine, user information", bases),
    (20, "a proxy with a password", proxies),
    (21, "gzip bomb", gzip_bomb),
    (22, "a line of 64 MiB", endless_line),
    (23, "deep JSON, long numbers, NaN, lone surrogates", odd_json),
    (24, "terminal escapes in an error", escapes),
    (25, "broken arguments of a tool call", odd_arguments),
    (26, "schemas with cycles, remote parts, 10,000 fields", odd_schemas),
)
OF_THE_EMULATOR: tuple[tuple[int, str, Check], ...] = (
    (27, "a web page talks to the emulator", web_page),
    (28, "the emulator listens beyond this machine", other_bind),
    (29, "slow and idle connections, endless bodies", floods),
    (30, "secrets in the journal", journal),
)


def tried(check: Check, face: Face) -> str:
    """A check in a child of its own, so that memory is measured from where it stands."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as told:
            told.write(_tried(check, face))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(child, 0)
    return (text or "✗ the process died").replace("|", "\\|").replace("\n", " ")


def _tried(check: Check, face: Face) -> str:
    with Emulator(api_key=CANARY) as emu:
        try:
            return f"✓ {check(World(face, emu))}"
        except NotHere:
            return "–"
        except Wrong as wrong:
            return f"✗ {wrong}"
        except Exception as problem:  # noqa: BLE001 - an abuse that ends in any other way is wrong, too
            return f"✗ raw {type(problem).__name__}: {str(problem)[:80]}"


def abuses() -> list[str]:
    """The section of the page."""
    lines = [
        "## The abuses",
        "",
        "| # | abuse | " + " | ".join(face.name for face in FACES) + " |",
        "|--:|---|---|---|---|",
    ]
    for number, title, check in OF_THE_CLIENT:
        cells = [tried(check, face) for face in FACES]
        lines.append(f"| {number} | {title} | " + " | ".join(cells) + " |")
        sys.stderr.write(lines[-1] + "\n")
    lines += ["", "| # | abuse | the emulator |", "|--:|---|---|"]
    for number, title, check in OF_THE_EMULATOR:
        lines.append(f"| {number} | {title} | {tried(check, FACES[0])} |")
        sys.stderr.write(lines[-1] + "\n")
    return lines


if __name__ == "__main__":
    abuses()
