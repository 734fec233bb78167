"""`glmv ask photo.jpg "What is in this picture?"`: the answer streams to the terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

import glmv
from glmv.cli._terminal import EMULATOR, err, failures_told, harmless, say
from glmv.cli.emulate import emulator_class

VIDEO_ENDINGS = frozenset({".mp4", ".mkv", ".mov"})


Words = Annotated[
    list[str],
    typer.Argument(metavar="[FILE|URL]... QUESTION", help="Pictures or videos, then the question."),
]
Model = Annotated[str | None, typer.Option("--model", "-m", help="Name of the model.")]
Base = Annotated[str | None, typer.Option("--base-url", help="The API's base: a proxy, a server of your own.")]
Emulated = Annotated[bool, typer.Option("--emulator", help="Ask the built-in emulator; no key is needed.")]


def ask(words: Words, model: Model = None, base_url: Base = None, emulator: Emulated = False) -> None:
    """Ask about pictures. The key is read from ZHIPUAI_API_KEY or ZAI_API_KEY."""
    *sources, question = words
    with failures_told(), _client(model, base_url, emulator) as client:
        begun = time.monotonic()
        last = _stream(client.stream([*map(_part, sources), question]))
        _tell(last, time.monotonic() - begun, emulator=emulator)


def _stream(deltas: Iterator[glmv.Delta]) -> glmv.Delta:
    """Print the text as it comes and return the last delta, which has the facts."""
    last = glmv.Delta()
    with err.status("waiting for the first word"):
        for last in deltas:
            if last.text:
                break
    say(last.text, end="")
    for last in deltas:
        say(last.text, end="")
    say("")
    return last


def _part(source: str) -> glmv.Image | glmv.Video:
    """What the person at the keyboard named -> a part. A path typed here is meant to be read."""
    kind = glmv.Video if Path(source).suffix.lower() in VIDEO_ENDINGS else glmv.Image
    return kind.from_url(source) if source.startswith(("http://", "https://")) else kind.from_path(source)


@contextmanager
def _client(model: str | None, base_url: str | None, emulator: bool) -> Iterator[glmv.Client]:
    named = {"model": model} if model else {}
    if emulator:
        with emulator_class()() as emu, glmv.Client(emu.api_key, base_url=emu.base_url, **named) as client:
            yield client
    else:
        with glmv.Client(base_url=base_url, **named) as client:
            yield client


def _tell(last: glmv.Delta, seconds: float, *, emulator: bool) -> None:
    facts = [f"{seconds:.1f} s"]
    if last.usage is not None:
        facts.insert(0, f"{last.usage.prompt_tokens} + {last.usage.completion_tokens} tokens")
    if last.model:
        facts.insert(0, harmless(last.model))
    for note in last.notes:
        err.print(Text(f"note: {harmless(note)}", "dim"))
    tag = Text.from_markup(f"  {EMULATOR}" if emulator else "")
    err.print(Text.assemble((", ".join(facts), "dim"), tag))
