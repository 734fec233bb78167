"""`glmv batch photos "Describe it." -o out.jsonl`: one answer for each picture; a stopped run can be continued."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column as TableColumn
from rich.text import Text

from glmv.cli.ask import Base, BaseModelName, Emulated, Model, format_of, server
from glmv.cli.sources import check_order, quoted
from glmv.cli.terminal import EMULATOR, err, harmless, print_note, say
from glmv.cli.words import in_words_of_the_shell

if TYPE_CHECKING:
    from glmv import ClientKeywords
    from glmv_batch import Job, Row

# Seconds between two lines of JSON about the progress.
TELL = 1.0


class Via(str, Enum):  # noqa: UP042 - Typer shows the values of a `str` enum
    """Whether each picture is sent as a call of its own or in a batch of the platform."""

    calls = "calls"
    platform = "platform"


class Order(str, Enum):  # noqa: UP042 - as above
    """The order of the rows in the output."""

    arrival = "arrival"
    input = "input"


class ProgressForm(str, Enum):  # noqa: UP042 - as above
    """How the progress is shown."""

    bar = "bar"
    json = "json"


Source = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="A folder of pictures or of Parquet files, a pattern, or a CSV, TSV, JSONL or Parquet file with one "
        "picture in each row.",
    ),
]
Prompt = Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask about each picture.")]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        help="The output file (.jsonl, .csv or .parquet). A ledger is written next to it.",
        dir_okay=False,
    ),
]
Column = Annotated[str | None, typer.Option("--column", help="The table's column with the path or URL of the picture.")]
KeepColumns = Annotated[
    str | None,
    typer.Option("--keep-columns", help="Columns to copy to the output, such as 'id,title'; '*' copies all."),
]
Schema = Annotated[Path | None, typer.Option("--schema", help="A file with a JSON Schema that each answer must fit.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Ask again for rows with a retryable error.")]
Width = Annotated[
    int | None, typer.Option("--concurrency", min=1, help="Concurrent calls, by default the model's limit.")
]
Spend = Annotated[
    str | None,
    typer.Option("--budget", help="Stop before more than this is spent: '10 CNY', '10元', '$3', '9000 tokens'."),
]
How = Annotated[
    Via,
    typer.Option(
        "--via",
        help="'platform' uses the platform's batches, which cost half and take about a day; "
        "for pictures they accept only glm-4v, glm-4v-plus and glm-4v-plus-0111.",
    ),
]
RowOrder = Annotated[
    Order, typer.Option("--order", help="The order of rows: as the answers arrive, or as in the input.")
]
ProgressOption = Annotated[
    ProgressForm, typer.Option("--progress", help="A bar for people, or JSON lines for programs.")
]


def batch(
    source: Source,
    prompt: Prompt,
    out: Out,
    model: Model = None,
    base_model: BaseModelName = None,
    base_url: Base = None,
    emulator: Emulated = False,
    column: Column = None,
    keep_columns: KeepColumns = None,
    schema: Schema = None,
    retry_failed: RetryFailed = False,
    concurrency: Width = None,
    budget: Spend = None,
    via: How = Via.calls,
    order: RowOrder = Order.arrival,
    progress: ProgressOption = ProgressForm.bar,
) -> None:
    """Ask the same question about many pictures. After Ctrl-C the same command continues where it stopped."""
    from glmv_batch import Job

    check_order("glmv batch", source, prompt, more=f" -o {quoted([str(out)])}", folders=True)
    with server(emulator, base_url) as (key, base):
        answer_schema = format_of(schema)["json_schema"]["schema"] if schema else None
        keywords: ClientKeywords = {"base_model": base_model, "base_url": base, "max_concurrency": concurrency}
        if model is not None:
            keywords["model"] = model
        job = Job(
            source[0] if len(source) == 1 else source,
            prompt,
            schema=answer_schema,
            column=column,
            via=via.value,
            api_key=key,
            budget=budget,
            **keywords,
        )
        try:
            with _display(job, progress) as on_row:
                job.write(
                    out, order=order.value, retry_failed=retry_failed, on_row=on_row, keep_columns=_names(keep_columns)
                )
        finally:
            if progress is ProgressForm.bar and (job.progress.done or job.progress.stopped):
                summary = harmless(f"{in_words_of_the_shell(str(job.progress))}; {out}")
                print_note(Text.assemble((summary, "dim"), Text.from_markup(f"  {EMULATOR}" if emulator else "")))
    if job.progress.failed or job.progress.known_failed or job.progress.stopped:
        raise typer.Exit(1)


def _names(value: str | None) -> list[str] | bool:
    """The columns that `--keep-columns` names; True for all, False for none."""
    if value is None or value == "*":
        return value == "*"
    return [name.strip() for name in value.split(",") if name.strip()]


@contextmanager
def _display(job: Job, how: ProgressForm) -> Iterator[Any]:
    """A context that shows the progress of the job. It yields a function to call with each row."""
    match how:
        case ProgressForm.json:
            last = 0.0
            ended = threading.Event()

            def print_note(row: Row) -> None:
                nonlocal last
                if time.monotonic() - last >= TELL:
                    last = time.monotonic()
                    say(job.progress.as_json())

            def print_waits() -> None:
                reason = None
                while not ended.wait(TELL):
                    reason, before = job.progress.waiting, reason
                    if reason != before:
                        say(job.progress.as_json())

            watching = threading.Thread(target=print_waits, name="glmv progress", daemon=True)
            watching.start()
            try:
                yield print_note
            finally:
                ended.set()
                watching.join()
            say(job.progress.as_json())
        case ProgressForm.bar:
            with _bar(job) as bar:
                task = bar.add_task("asking", total=None)

                def show(row: Row) -> None:
                    now = job.progress
                    bar.update(task, completed=now.done, total=now.total)

                yield show


def _facts(job: Job) -> str:
    """Rate, tokens, cost and the most frequent errors, as far as they are known; or the reason why the job waits."""
    now = job.progress
    if now.waiting:
        return harmless(in_words_of_the_shell(now.waiting))
    facts = [f"{now.rate:.1f}/s"] if now.rate is not None else []
    facts.append(f"{now.input_tokens + now.output_tokens:,} tokens")
    if now.spent is not None:
        facts.append("free" if now.spent.amount == 0 else f"{now.spent.amount:.3g} {now.spent.currency}")
    if now.width is not None:
        facts.append(f"{now.width} at once")
    facts += [f"{count} {name}" for name, count in now.errors.most_common(2)]
    return ", ".join(facts)


class _Facts(ProgressColumn):
    """The column that shows the text of `_facts`. It is redrawn even while no row arrives."""

    def __init__(self, job: Job, table_column: TableColumn) -> None:
        super().__init__(table_column)
        self._job = job

    def render(self, task: Task) -> Text:
        return Text(_facts(self._job))


def _bar(job: Job) -> Progress:
    """The progress bar, in one line; it is shorter in a narrow terminal."""
    facts = TableColumn(no_wrap=True, overflow="ellipsis")
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=min(40, max(4, err.width - 65))),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        _Facts(job, table_column=facts),
        TimeRemainingColumn(),
        console=err,
        # The summary has the same facts. In a file or a pipe the bar would be one more line.
        transient=True,
        disable=not err.is_terminal,
    )
