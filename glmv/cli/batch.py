"""`glmv batch photos "Describe it." -o out.jsonl`: one answer a picture, taken up again where it stopped."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

import glmv
from glmv.cli._rows import Item, Ledger, items, part_of
from glmv.cli._terminal import EMULATOR, err, failures_told, harmless
from glmv.cli.ask import Base, Emulated, Model, format_of
from glmv.cli.emulate import emulator_class

# Pictures that are read and encoded ahead of the gate's slots: enough to keep it busy, and no more in memory.
AHEAD = 2

Source = Annotated[Path, typer.Argument(help="A folder of pictures, or a CSV or JSONL file with a picture a row.")]
Prompt = Annotated[str, typer.Argument(help="What to ask about each picture.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="JSON lines; what is in it already is not asked again.")]
Column = Annotated[str | None, typer.Option("--column", help="The table's column with the path or URL.")]
Schema = Annotated[Path | None, typer.Option("--schema", help="A file with a JSON Schema that each answer has to fit.")]
Failed = Annotated[bool, typer.Option("--retry-failed", help="Ask again where a retryable error stands.")]
Width = Annotated[int | None, typer.Option("--concurrency", min=1, help="Calls at once; else the documented number.")]


def batch(
    source: Source,
    prompt: Prompt,
    out: Out,
    model: Model = None,
    base_url: Base = None,
    emulator: Emulated = False,
    column: Column = None,
    schema: Schema = None,
    retry_failed: Failed = False,
    concurrency: Width = None,
) -> None:
    """Ask the same of many pictures. Ctrl-C loses nothing: the same command goes on where it stopped."""
    options: dict[str, Any] = {"response_format": format_of(schema)} if schema else {}
    with failures_told(), _place(emulator, base_url) as (key, base), Ledger(out, retry_failed=retry_failed) as ledger:
        todo = [item for item in items(source, column) if item.key not in ledger.done]
        client = glmv.AsyncClient(
            key, base_url=base, max_concurrency=concurrency, **({"model": model} if model else {})
        )
        begun = time.monotonic()
        with _progress() as progress:
            tally = _Tally(progress, progress.add_task("asking", total=len(todo), facts=""))
            try:
                asyncio.run(_asked(client, todo, prompt, options, ledger, tally))
            except* glmv.GLMVError as group:
                raise group.exceptions[0] from None
        _tell(tally, len(ledger.done), time.monotonic() - begun, out, emulator=emulator)
    if tally.failed:
        raise typer.Exit(1)


async def _asked(
    client: glmv.AsyncClient, todo: list[Item], prompt: str, options: dict[str, Any], ledger: Ledger, tally: _Tally
) -> None:
    left = iter(todo)
    width = client.slots(client.settings.model).width + AHEAD

    async def worker() -> None:
        for item in left:
            row = await _answered(client, item, prompt, options)
            ledger.write(row)
            tally.count(row)

    async with client, asyncio.TaskGroup() as group:
        for _ in range(min(width, len(todo))):
            group.create_task(worker())


async def _answered(client: glmv.AsyncClient, item: Item, prompt: str, options: dict[str, Any]) -> dict[str, Any]:
    """One item -> its row: the answer, or the error that stands for it."""
    begun = time.monotonic()
    row: dict[str, Any] = {"key": item.key}
    try:
        part = await asyncio.to_thread(part_of, item)
        answer = await client.chat([part, prompt], **options)
    except glmv.AuthenticationError:
        raise  # it would be the same for every picture
    except glmv.GLMVError as error:
        row |= {"error": str(error), "class": type(error).__name__, "code": error.code, "retryable": error.retryable}
    else:
        row |= {"text": answer.text, "model": answer.model, "attempts": answer.attempts}
        if options:
            row["parsed"] = json.loads(answer.text)
        if answer.usage is not None:
            row |= {"prompt_tokens": answer.usage.prompt_tokens, "completion_tokens": answer.usage.completion_tokens}
        if answer.notes:
            row["notes"] = list(answer.notes)
    return {**row, "seconds": round(time.monotonic() - begun, 3)}


class _Tally:
    """What was asked so far, as the progress bar shows it."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self._begun = time.monotonic()
        self.good = self.failed = self.tokens = 0

    def count(self, row: dict[str, Any]) -> None:
        """One more row."""
        self.failed += "error" in row
        self.good += "error" not in row
        self.tokens += row.get("prompt_tokens", 0) + row.get("completion_tokens", 0)
        rate = (self.good + self.failed) / max(time.monotonic() - self._begun, 1e-6)
        failed = f", {self.failed} failed" if self.failed else ""
        self._progress.update(self._task, advance=1, facts=f"{rate:.1f}/s, {self.tokens:,} tokens{failed}")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}"),
        TimeRemainingColumn(),
        console=err,
    )


@contextmanager
def _place(emulator: bool, base_url: str | None) -> Iterator[tuple[str | None, str | None]]:
    if not emulator:
        yield None, base_url
        return
    with emulator_class()() as emu:
        yield emu.api_key, emu.base_url


def _tell(tally: _Tally, before: int, seconds: float, out: Path, *, emulator: bool) -> None:
    facts = f"{tally.good} answered, {tally.failed} failed, {before} were there already"
    facts += f"; {tally.tokens:,} tokens, {seconds:.1f} s"
    tag = Text.from_markup(f"  {EMULATOR}" if emulator else "")
    err.print(Text.assemble((f"{facts}; {harmless(str(out))}", "dim"), tag))
