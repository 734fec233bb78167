"""What becomes of keys and pictures that must not be shown: abuses 1 to 5 and 20. See `reliability_abuse.py`."""

from __future__ import annotations

import io
import logging
import os
import traceback
from contextlib import suppress

from langchain_core.load import dumps
from reliability_faces import (
    PROMPT,
    Check,
    LangChain,
    LlamaIndex,
    NotHere,
    World,
    Wrong,
    no_secret,
    noise,
)  # fmt: skip

import glmv


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
        world.ask("What is it?", noise())
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    no_secret(kept.getvalue(), "the log")
    picture = noise()["image_url"]["url"].partition(",")[2]
    if picture[100:164] in kept.getvalue():
        raise Wrong("the picture stands in the log")
    return f"{len(kept.getvalue())} characters of log, neither key nor picture"


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


CHECKS: tuple[tuple[int, str, Check], ...] = (
    (1, "the key in repr, str, vars, pickle, dumps", surfaces),
    (2, "the key in tracebacks with locals", errors),
    (3, "the key and a picture in logs at DEBUG", logs),
    (4, "the key in serialised and traced objects", tracing),
    (5, "malformed keys", malformed_keys),
    (20, "a proxy with a password", proxies),
)
