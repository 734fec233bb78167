"""The sample messages of errors, each from a call that fails: `python docs/errors.py` writes them into the pages.

A sample is the message that a program prints, but for what differs from run to run: the address of the emulator reads
as the platform's, and request ids are cut.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import glmv
from glmv_emulator import Emulator

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "docs" / "errors.md", ROOT / "docs" / "zh" / "errors.md")
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
WIDTH = 88
SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
_SAMPLE = re.compile(r"(?<=<!-- sample: )(\w+)( -->\n).*?(?=<!-- /sample -->)", re.DOTALL)
_README = re.compile(r"(?<=<!-- errors: written by `python docs/errors.py` -->\n).*?(?=<!-- /errors -->)", re.DOTALL)


def picture() -> glmv.Image:
    return glmv.Image.from_path(ROOT / "examples" / "pictures" / "coffee.jpg")


@contextmanager
def client(emu: Emulator, key: str = "", **settings: object) -> Iterator[glmv.Client]:
    with glmv.Client(key or emu.api_key, base_url=emu.base_url, max_retries=0, **settings) as made:
        yield made


def refused(code: int) -> Callable[[Emulator], object]:
    """A call that the platform refuses with a business code."""

    def call(emu: Emulator) -> object:
        emu.fail(times=None, code=code)
        with client(emu) as glm:
            return glm.chat("What is in this picture?")

    return call


def asked(*messages: object, **options: object) -> Callable[[Emulator], object]:
    """A call that fails by what it asks."""

    def call(emu: Emulator) -> object:
        with client(emu) as glm:
            return glm.chat(list(messages), **options)

    return call


def wrong_key(emu: Emulator) -> object:
    with client(emu, "wrong-id.wrong-secret") as glm:
        return glm.chat("Hello")


def broken(fault: str) -> Callable[[Emulator], object]:
    """A stream that a fault ends."""

    def call(emu: Emulator) -> object:
        emu.inject(fault, after=2)
        with client(emu) as glm:
            return list(glm.stream([picture(), "Describe this picture."]))

    return call


def silent(**limits: float) -> Callable[[Emulator], object]:
    """A call that nobody answers in time."""

    def call(emu: Emulator) -> object:
        emu.stall()
        with client(emu) as glm:
            try:
                return glm.chat("Hello", **limits)
            finally:
                emu.release()

    return call


def nobody(emu: Emulator) -> object:
    emu.refuse()
    with client(emu) as glm:
        return glm.chat("Hello")


def no_slot(emu: Emulator) -> object:
    with client(emu, max_concurrency=1) as glm:
        stream = glm.stream([picture(), "Describe this picture."])
        next(stream)
        try:
            return glm.chat("Hello", timeout=0.5)
        finally:
            stream.close()


def not_json(emu: Emulator) -> object:
    emu.say("It is a receipt.", "It is a receipt.")
    wanted = {"type": "json_schema", "json_schema": {"name": "receipt", "schema": SCHEMA}}
    with client(emu) as glm:
        return glm.chat("Read it.", response_format=wanted)


# A class of error -> a call that raises it.
CALLS: dict[str, Callable[[Emulator], object]] = {
    "InvalidRequestError": asked("Hello", temperature=3),
    "LimitExceeded": asked(*[picture()] * 6, "Which is the largest?", model="glm-4v"),
    "UnsupportedContent": asked(glmv.Video.from_url("https://example.com/a.mp4"), "What happens?", model="glm-4v"),
    "ContextLengthError": refused(1261),
    "NotFoundError": asked("Hello", model="glm-9v"),
    "AuthenticationError": wrong_key,
    "PermissionDeniedError": refused(1220),
    "QuotaError": refused(1113),
    "ContentFilterError": refused(1301),
    "RateLimitError": refused(1302),
    "ServerError": refused(1234),
    "ConnectionFailed": nobody,
    "RequestTimeout": silent(timeout=0.5),
    "DeadlineExceeded": silent(deadline=0.5),
    "GateTimeout": no_slot,
    "MalformedResponse": not_json,
    "StreamTruncated": broken("truncated"),
    "StreamInterrupted": broken("cut"),
}
SHOWN_IN_README = ("LimitExceeded", "QuotaError")


def sample(name: str) -> str:
    """What a program prints of an error of this class: its class and its message."""
    with Emulator() as emu:
        try:
            CALLS[name](emu)
        except glmv.GLMVError as error:
            return f"{type(error).__name__}: {steady(str(error))}"
    raise AssertionError(f"{name}: the call raised nothing")


def steady(message: str) -> str:
    """A message without what differs from run to run."""
    message = re.sub(r"127\.0\.0\.1:\d+", "open.bigmodel.cn", message)
    message = re.sub(r"(request_id [0-9a-f]{4})[0-9a-f]+", "request_id 8a3f...", message)
    return re.sub(r"MainThread, for [\d.]+ s", "MainThread, for 0.5 s", message)


def block(*names: str) -> str:
    """Samples as a block of text, no line wider than a page."""
    lines = [
        line
        for name in names
        for line in textwrap.wrap(sample(name), WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    ]
    return "\n".join(("```text", *lines, "```", ""))


def filled(text: str) -> str:
    """A page with the samples in their places."""
    text = _SAMPLE.sub(lambda found: f"{found[1]}{found[2]}{block(found[1])}", text)
    return _README.sub(lambda _: block(*SHOWN_IN_README), text)


if __name__ == "__main__":
    for path in (*PAGES, *READMES):
        path.write_text(filled(path.read_text("utf-8")), "utf-8")
    sys.exit()
