"""`glmv ask photo.jpg "What is in this picture?"`: the answer streams to the terminal."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

import glmv
from glmv.cli.cost import money
from glmv.cli.emulate import emulator_class
from glmv.cli.preview import preview
from glmv.cli.sources import parts
from glmv.cli.terminal import EMULATOR, err, failures_told, harmless, out, say
from glmv.cli.wrap import Wrap

Words = Annotated[
    list[str],
    typer.Argument(
        metavar="[FILE|URL|PATTERN|-]... QUESTION",
        help="Pictures or videos ('-' is a picture on standard input), then the question ('-' reads it there).",
    ),
]
Model = Annotated[str | None, typer.Option("--model", "-m", help="Name of the model.")]
Known = Annotated[
    str | None, typer.Option("--base-model", help="The model that it is, where a server's name does not tell.")
]
Base = Annotated[str | None, typer.Option("--base-url", help="The API's base: a proxy, a server of your own.")]
Emulated = Annotated[bool, typer.Option("--emulator", help="Ask the built-in emulator; no key is needed.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the whole answer as one JSON object.")]
Schema = Annotated[Path | None, typer.Option("--schema", help="A file with a JSON Schema that the answer has to fit.")]
Shown = Annotated[bool, typer.Option("--preview/--no-preview", help="Show the pictures in terminals that can.")]


def ask(
    words: Words,
    model: Model = None,
    base_model: Known = None,
    base_url: Base = None,
    emulator: Emulated = False,
    as_json: AsJson = False,
    schema: Schema = None,
    shown: Shown = True,
) -> None:
    """Ask about pictures. The key is read from ZHIPUAI_API_KEY or ZAI_API_KEY."""
    with failures_told(), client(model, base_url, emulator, base_model) as glm:
        sources, question = _question_of(words)
        media = parts(sources)
        if question == "-":
            question = sys.stdin.read()
        if shown and not as_json:
            preview([part for part in media if isinstance(part, glmv.Image)])
        options: dict[str, Any] = {"response_format": format_of(schema)} if schema else {}
        begun = time.monotonic()
        if as_json:
            answer = glm.chat([*media, question], **options)
            say(json.dumps(_plain(answer), ensure_ascii=False, indent=2))
            return
        last = _stream(glm.stream([*media, question], **options))
        _tell(last, time.monotonic() - begun, glm.address.base_url, base_model, emulator=emulator)


def _question_of(words: list[str]) -> tuple[list[str], str]:
    """The words typed -> what to look at, and the question: the last of them, unless that is a file."""
    *sources, question = words
    if question != "-" and Path(question).is_file():
        like = shlex.join(word for word in words if Path(word).exists())
        raise glmv.InvalidRequestError(
            f'The question comes last, and {question} is a file. Write: glmv ask {like} "What is in this picture?"'
        )
    return sources, question


def _stream(deltas: Iterator[glmv.Delta]) -> glmv.Delta:
    """Print the text as it comes and return the last delta, which has the facts."""
    wrap = Wrap(out.width) if sys.stdout.isatty() else None
    last = glmv.Delta()
    with err.status("waiting for the first word"):
        first = next((delta for delta in deltas if delta.text or delta.last), last)
    for last in itertools.chain([first], deltas):
        text = harmless(last.text)
        say(wrap.feed(text) if wrap else text, end="")
    say(wrap.rest() if wrap else "")
    return last


def format_of(schema: Path) -> dict[str, Any]:
    """A file with a JSON Schema -> the `response_format` that asks for it."""
    try:
        described = json.loads(schema.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise glmv.InvalidRequestError(f"{schema} is no JSON Schema: {error}") from None
    return {"type": "json_schema", "json_schema": {"name": schema.stem, "schema": described}}


def _plain(answer: glmv.Completion) -> dict[str, Any]:
    facts = {name: value for name, value in dataclasses.asdict(answer).items() if name != "raw" and value}
    return {**facts, "text": answer.text}


@contextmanager
def client(
    model: str | None, base_url: str | None, emulator: bool, base_model: str | None = None
) -> Iterator[glmv.Client]:
    """The client that the options ask for: the platform's, or one at an emulator made for this command."""
    named: dict[str, Any] = {name: value for name, value in (("model", model), ("base_model", base_model)) if value}
    if emulator:
        with emulator_class()() as emu, glmv.Client(emu.api_key, base_url=emu.base_url, **named) as glm:
            yield glm
    else:
        with glmv.Client(base_url=base_url, **named) as glm:
            yield glm


def _tell(last: glmv.Delta, seconds: float, base_url: str, base_model: str | None, *, emulator: bool) -> None:
    facts = [f"{seconds:.1f} s"]
    if last.usage is not None:
        facts.insert(0, f"{last.usage.prompt_tokens} + {last.usage.completion_tokens} tokens")
        if cost := money(base_model or last.model, last.usage, base_url):
            facts.append(cost)
    if last.model:
        facts.insert(0, harmless(last.model))
    for note in last.notes:
        err.print(Text(f"note: {harmless(note)}", "dim"))
    tag = Text.from_markup(f"  {EMULATOR}" if emulator else "")
    err.print(Text.assemble((", ".join(facts), "dim"), tag))
