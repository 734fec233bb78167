"""`glmv ask photo.jpg "What is in this picture?"`: the answer streams to the terminal."""

from __future__ import annotations

import dataclasses
import json
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
from glmv.cli.sources import check_order, parts, read_question
from glmv.cli.terminal import EMULATOR, encodes, err, harmless, out, print_note, say, say_json
from glmv.cli.words import in_words_of_the_shell
from glmv.cli.wrap import Wrap

Words = Annotated[
    list[str],
    typer.Argument(
        metavar="[FILE|URL|PATTERN|-]... QUESTION",
        help="Pictures or videos, then the question. '-' reads a picture or the question from standard input.",
    ),
]
Model = Annotated[str | None, typer.Option("--model", "-m", help="Name of the model.")]
BaseModelName = Annotated[
    str | None,
    typer.Option("--base-model", help="Name of the model in `glmv models`, if the server has a different name for it."),
]
Base = Annotated[str | None, typer.Option("--base-url", help="The base URL of the API, for a proxy or another server.")]
Emulated = Annotated[bool, typer.Option("--emulator", help="Ask the built-in emulator; no key is needed.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the whole answer as one JSON object.")]
Schema = Annotated[Path | None, typer.Option("--schema", help="A file with a JSON Schema that the answer must fit.")]
Preview = Annotated[bool, typer.Option("--preview/--no-preview", help="Show the pictures, if the terminal can.")]
System = Annotated[str | None, typer.Option("--system", help="Instructions for the model: the system message.")]
Thinking = Annotated[
    bool | None,
    typer.Option("--thinking/--no-thinking", help="Whether the model thinks first; the model decides by default."),
]
Effort = Annotated[
    str | None,
    typer.Option("--reasoning-effort", help="How much the model thinks, if it has this setting: low, high, ..."),
]
Most = Annotated[
    int | None, typer.Option("--max-tokens", min=1, help="Maximum tokens of the answer, including its reasoning.")
]
ShowThinking = Annotated[bool, typer.Option("--show-thinking", help="Show the reasoning, on standard error.")]


def ask(
    words: Words,
    model: Model = None,
    base_model: BaseModelName = None,
    base_url: Base = None,
    emulator: Emulated = False,
    system: System = None,
    thinking: Thinking = None,
    reasoning_effort: Effort = None,
    max_tokens: Most = None,
    show_thinking: ShowThinking = False,
    as_json: AsJson = False,
    schema: Schema = None,
    previews: Preview = True,
) -> None:
    """Ask about pictures. The key is read from ZHIPUAI_API_KEY or ZAI_API_KEY."""
    *sources, question = words
    check_order("glmv ask", sources, question)
    settings = {"thinking": thinking, "reasoning_effort": reasoning_effort, "max_tokens": max_tokens}
    options: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    if schema:
        options["response_format"] = format_of(schema)
    media = parts(sources)
    if question == "-":
        question = read_question()
    messages = [glmv.Message("user", [*media, question])]
    if system:
        messages.insert(0, glmv.Message("system", system))
    with client(model, base_url, emulator, base_model) as glm:
        if previews and not as_json:
            preview([part for part in media if isinstance(part, glmv.Image)])
        begun = time.monotonic()
        if as_json:
            say_json(_plain(glm.chat(messages, **options)))
            return
        last = _stream(glm.stream(messages, **options), show_thinking=show_thinking)
        _print_facts(last, time.monotonic() - begun, glm.address.base_url, base_model, emulator=emulator)


def _stream(deltas: Iterator[glmv.Delta], *, show_thinking: bool) -> glmv.Delta:
    """Print the text as it arrives. Return the last delta: it has the usage, the finish reason and the notes."""
    answer, thoughts = Wrap(out.width), Wrap(err.width)
    on_terminal = sys.stdout.isatty()
    last, begun, thinks, whole = glmv.Delta(), False, False, True
    # However this ends, later output begins in a new line.
    try:
        with err.status("waiting for the first word", spinner="dots" if err.encoding.startswith("utf") else "line"):
            last = next(
                (delta for delta in deltas if delta.text or delta.last or (show_thinking and delta.reasoning)), last
            )
        while True:
            if show_thinking and last.reasoning:
                text = harmless(last.reasoning)
                err.print(Text(thoughts.feed(text) if err.is_terminal else text, "dim"), end="", soft_wrap=True)
                thinks = True
            if last.text:
                if thinks:
                    err.print(Text(f"{thoughts.rest()}\n", "dim"), soft_wrap=True)
                    thinks = False
                text = harmless(last.text)
                whole &= encodes(text)
                begun = True
                say(answer.feed(text) if on_terminal else text, end="")
            if (following := next(deltas, None)) is None:
                break
            last = following
    finally:
        if thinks:
            err.print(Text(thoughts.rest(), "dim"), soft_wrap=True)
        if begun or last.last:
            say(answer.rest() if on_terminal else "")
    if not whole:
        print_note(
            f"note: {sys.stdout.encoding} cannot encode some characters of the answer; they became question marks. "
            "To keep these characters, set PYTHONUTF8=1 for an output in UTF-8, or use --json."
        )
    return last


def format_of(schema: Path) -> dict[str, Any]:
    """The `response_format` for the JSON Schema in a file."""
    try:
        described = json.loads(schema.read_bytes())
    except OSError as error:
        raise glmv.InvalidRequestError(f"The schema {schema} cannot be read: {error.strerror}.") from None
    except UnicodeError:
        raise glmv.InvalidRequestError(f"{schema} is not a JSON Schema: it is not text in UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise glmv.InvalidRequestError(f"{schema} is not a JSON Schema: {error}.") from None
    if not isinstance(described, dict):
        raise glmv.InvalidRequestError(f"{schema} is not a JSON Schema: it is not an object.")
    return {"type": "json_schema", "json_schema": {"name": schema.stem, "schema": described}}


def _plain(answer: glmv.Completion) -> dict[str, Any]:
    facts = {name: value for name, value in dataclasses.asdict(answer).items() if name != "raw" and value}
    return {**facts, "text": answer.text}


@contextmanager
def server(emulator: bool, base_url: str | None) -> Iterator[tuple[str | None, str | None]]:
    """The key and the base URL of the server that the options name; an emulator runs as long as the command.

    Raises:
        BadParameter: the options name the emulator and another server.
    """
    if not emulator:
        yield None, base_url
        return
    if base_url:
        raise typer.BadParameter("leave out --base-url: it has its own address.", param_hint="--emulator")
    with emulator_class()() as emu:
        yield emu.api_key, emu.base_url


@contextmanager
def client(
    model: str | None, base_url: str | None, emulator: bool, base_model: str | None = None
) -> Iterator[glmv.Client]:
    """A client for the server that the options name, see `server`."""
    names: dict[str, Any] = {name: value for name, value in (("model", model), ("base_model", base_model)) if value}
    with server(emulator, base_url) as (key, base), glmv.Client(key, base_url=base, **names) as glm:
        yield glm


def _print_facts(last: glmv.Delta, seconds: float, base_url: str, base_model: str | None, *, emulator: bool) -> None:
    facts = [f"{seconds:.1f} s"]
    if last.usage is not None:
        facts.insert(0, f"{last.usage.prompt_tokens} + {last.usage.completion_tokens} tokens")
        if cost := money(base_model or last.model, last.usage, base_url):
            facts.append(cost)
    if last.model:
        facts.insert(0, harmless(last.model))
    if last.finish_reason == "length":
        print_note("note: the answer ends here because its tokens are used up; --max-tokens allows more.")
    for note in last.notes:
        print_note(f"note: {in_words_of_the_shell(harmless(note))}")
    tag = Text.from_markup(f"  {EMULATOR}" if emulator else "")
    print_note(Text.assemble((", ".join(facts), "dim"), tag))
