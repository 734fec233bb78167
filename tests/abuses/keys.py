"""Keys and pictures must not be shown: abuses 1 to 5 and 20. See `table.py`."""

from __future__ import annotations

import io
import logging
import os
import traceback
from contextlib import suppress

from langchain_core.load import dumps

import glmv
from tests.abuses.subjects import (
    PROMPT,
    Check,
    LangChain,
    LlamaIndex,
    NotApplicable,
    Setup,
    Wrong,
    no_secret,
    noise,
)  # fmt: skip


def surfaces(setup: Setup) -> str:
    model = setup.model()
    setup.subject.ask(model, PROMPT)
    shown = setup.subject.surfaces(model)
    for one in shown:
        no_secret(one, "a surface")
    return f"{len(shown)} surfaces, no key"


def errors(setup: Setup) -> str:
    names = ("busy", "arrears", "token-expired", "gateway-page", "login-page", "empty-body", "half-body", "redirect",
             "reset-in-headers", "error-in-200", "garbage", "content-filter")  # fmt: skip
    for name in names:
        setup.emu.reset()
        setup.emu.inject(name, None)
        error = setup.error(max_retries=0)
        trace = traceback.TracebackException.from_exception(error, capture_locals=True)
        no_secret("".join(trace.format()), f"the traceback of {name}")
    return f"{len(names)} errors with locals, no key"


def logs(setup: Setup) -> str:
    kept = io.StringIO()
    handler = logging.StreamHandler(kept)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        setup.ask("What is it?", noise())
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    no_secret(kept.getvalue(), "the log")
    picture = noise()["image_url"]["url"].partition(",")[2]
    if picture[100:164] in kept.getvalue():
        raise Wrong("the picture stands in the log")
    return f"{len(kept.getvalue())} characters of log, neither key nor picture"


def tracing(setup: Setup) -> str:
    match setup.subject:
        case LangChain():
            no_secret(dumps(setup.model()), "dumps")
            no_secret(dumps(setup.model().invoke(PROMPT)), "dumps of an answer")
            return "dumps holds no key; uploads are watched in tests/langchain"
        case LlamaIndex():
            no_secret(setup.model().to_dict(), "to_dict")
            return "to_dict holds no key; events are watched in tests/llama_index"
    raise NotApplicable


def malformed_keys(setup: Setup) -> str:
    for key in ("canary-nodot", "canary.a.b", "canary id.canary", "canary\nid.x", "канарейка.x", ""):
        with suppress(glmv.AuthenticationError):
            try:
                setup.ask(PROMPT, api_key=key)
            except glmv.GLMVError as error:
                if key and key in f"{error}{error!r}":
                    raise Wrong(f"the value of a key in {type(error).__name__}") from error
                if not isinstance(error, glmv.AuthenticationError):
                    raise Wrong(f"{type(error).__name__} for a malformed key") from error
                raise
            raise Wrong(f"sent with the key {key!r}")
    return "AuthenticationError, six shapes, no value"


def proxies(setup: Setup) -> str:
    os.environ["HTTPS_PROXY"] = os.environ["https_proxy"] = "http://user:canary-word@127.0.0.1:9"
    try:
        error = error_at(setup, "https://example.invalid/api/paas/v4")
    finally:
        del os.environ["HTTPS_PROXY"], os.environ["https_proxy"]
    if "canary-word" in "".join(traceback.format_exception(error)):
        raise Wrong("the message shows the proxy's password")
    return f"{type(error).__name__} of the proxy, no password"


def error_at(setup: Setup, base: str) -> Exception:
    try:
        setup.subject.ask(setup.subject.model(base, max_retries=0, timeout=2), PROMPT)
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
