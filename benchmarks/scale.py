"""Cost per picture in jobs of growing size: `python benchmarks/scale.py` writes docs/scale.md.

Each row is a separate job in a separate process: pictures are made one by one, a ledger and a JSONL file are written.
The emulator decodes and measures every picture, so it is slower than the client; from 10,000 pictures on, the fake
server answers instead (benchmarks/server.py: the same bytes for every request, without checks).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import glmv
from glmv_batch import Item, Job
from glmv_batch._prices import BATCH_SHARE

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "scale.md"
SIZES = (1_000, 10_000, 100_000)
EMULATED = 1_000
WIDTH = 10  # documented for the model
SIDE = 256  # pixels of each picture's sides

# Assumptions of the page about time and tokens of a call, because no measurement of all models exists.
MANY = 10_000_000
SECONDS, TOKENS_IN, TOKENS_OUT = 3.0, 1_200, 120
FILE_MB, LINE_KB, LINES = 100, 200, 50_000
DAY = 86_400


def pictures(count: int) -> Iterator[Item]:
    """Distinct pictures: one photograph-like JPEG with a number after its end."""
    from PIL import Image

    held = io.BytesIO()
    Image.effect_noise((SIDE, SIDE), 40).convert("RGB").save(held, "JPEG", quality=80)
    for number in range(count):
        yield Item(f"{number:>06}", held.getvalue() + number.to_bytes(8, "big"))


def job(count: int, base_url: str, key: str, out: Path) -> dict[str, Any]:
    """Run one job in this process and return its cost."""
    marks: list[float] = []
    rows, tenth = iter(range(1, count + 1)), count // 10

    def mark(row: Any) -> None:
        if next(rows) % tenth == 0:
            marks.append(time.process_time())

    running = Job(
        pictures(count),
        "Describe it.",
        model="glm-4.6v",
        max_concurrency=WIDTH,
        base_url=base_url,
        api_key=key,
        thinking=False,
    )
    begun, cpu = time.monotonic(), time.process_time()
    progress = running.write(out, on_row=mark)
    seconds = time.monotonic() - begun
    assert progress.answered == count, str(progress)
    return {
        "count": count,
        "seconds": seconds,
        "rate": count / seconds,
        "first": (marks[1] - marks[0]) / tenth * 1000,  # the first tenth includes imports and connections
        "last": (marks[-1] - marks[-2]) / tenth * 1000,
        "cpu": (time.process_time() - cpu) / count * 1000,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "ledger": sum(file.stat().st_size for file in out.parent.glob("*.ledger*")) / count,
    }


@contextmanager
def server_of(count: int) -> Iterator[tuple[str, str, str]]:
    """Run a server for a job of this many pictures -> its base URL, a key, and its name."""
    if count <= EMULATED:
        from glmv_emulator import Emulator

        with Emulator(concurrency={"glm-4.6v": WIDTH}) as emulator:
            yield emulator.base_url, emulator.api_key, "emulator"
        return
    server = subprocess.Popen([sys.executable, str(HERE / "server.py")], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/api/paas/v4", "test-id.test-secret", "fake server"
    finally:
        server.kill()
        server.wait()


def measured(count: int) -> dict[str, Any]:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as place, server_of(count) as (base_url, key, who):
        command = [sys.executable, __file__, "--job", str(count), base_url, str(Path(place) / "o.jsonl")]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "GLMV_KEY": key})
    return {**json.loads(done.stdout), "who": who}


PAGE_TEXT = """\
# A million pictures

Written by `python benchmarks/scale.py`; the figures are of one machine and one day: {machine}.

## From the first picture to the last

Each row is one job with {WIDTH} calls at once. All pictures differ ({SIDE} x {SIDE}, JPEG). The ledger is on disk
before an answer counts. CPU time is that of the job's process. The tenths show whether a picture costs more late in
a job. From 10,000 pictures on a fake server answers, because the emulator measures each picture and is slower.

{table}

## {MANY:,} pictures

The catalogue's values, times {MANY:,}. Nobody has measured all models, so the page assumes that a call takes
{SECONDS:.0f} s, a picture with its question {TOKENS_IN:,} tokens, and an answer {TOKENS_OUT}. Put in your own figures:

- days = pictures x seconds / concurrency / 86,400
- money = pictures x (tokens in x price in + tokens out x price out) / 1,000,000

The number of calls at once is that of an account of the lowest level. With a higher level, and a larger
`max_concurrency`, it takes fewer days. A dash means that no document gives the value.

{models}

A file for the platform's batches has at most {LINES:,} lines and {FILE_MB} MB (docs.bigmodel.cn, batch guide). With
pictures of {LINE_KB} kB of base64 each, a file holds {lines_of_a_file:,} of them, and {MANY:,} pictures need
{files:,.0f} files and {terabytes:,.1f} TB of uploads; pictures by URL need {url_files:,.0f} files. A batch takes no
slot and ends within about a day. Users report a queue of 10,000 requests for each model: then this queue, not the
number of files, decides how many days it takes.

By calls, the sending is no limit: at {LINE_KB} kB a picture and ten calls at once that is less than 1 MB a second. With
many slots the CPU of the table above becomes one; [Ray](ray.md) takes more machines with the same slots.
"""


def page(rows: list[dict[str, Any]]) -> str:
    """The text of docs/scale.md."""
    lines_of_a_file = FILE_MB * 1000 // LINE_KB
    return PAGE_TEXT.format(
        **globals(),
        machine=f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}, glmv {glmv.__version__}",
        table=_measurements(rows),
        models=_arithmetic(),
        lines_of_a_file=lines_of_a_file,
        files=MANY / lines_of_a_file,
        url_files=MANY / LINES,
        terabytes=MANY * LINE_KB / 1e9,
    )


def _measurements(rows: list[dict[str, Any]]) -> str:
    named = ("pictures", "answered by", "a second", "CPU a picture", "second tenth", "last tenth", "difference")
    lines = [f"| {' | '.join((*named, 'peak memory', 'ledger a picture'))} |", "| --- " * 2 + "| ---: " * 7 + "|"]
    lines += [
        f"| {row['count']:,} | {row['who']} | {row['rate']:.0f} | {row['cpu']:.2f} ms | {row['first']:.2f} ms "
        f"| {row['last']:.2f} ms | {row['last'] / row['first'] - 1:+.0%} | {row['peak']:.0f} MB "
        f"| {row['ledger'] / 1024:.1f} kB |"
        for row in rows
    ]
    return "\n".join(lines)


def _arithmetic() -> str:
    """Estimates for ten million pictures, by documented concurrency and listed prices of each model."""
    lines = [
        "| model | at once | days by calls | money by calls | money by batches | date of the price |",
        "| --- " * 6 + "|",
    ]
    for model in (model for model in glmv.models() if model.sees):
        days = f"{MANY * SECONDS / model.concurrency / DAY:,.0f}" if model.concurrency else "-"
        calls = batches = dated = "-"
        if model.prices:
            price = model.prices[0]
            money = MANY * price.amount(TOKENS_IN, TOKENS_OUT)
            calls = f"{money:,.0f} {price.currency}" if money else "free"
            batches, dated = f"{money * BATCH_SHARE:,.0f} {price.currency}", price.date
        batches = batches if model.batch else "not taken"
        lines.append(f"| `{model.name}` | {model.concurrency or '-'} | {days} | {calls} | {batches} | {dated} |")
    return "\n".join(lines)


def main() -> None:
    """Measure all sizes, or run one job of the measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", nargs=3, metavar=("COUNT", "URL", "OUT"))
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    arguments = parser.parse_args()
    if arguments.job is not None:
        count, base_url, out = arguments.job
        print(json.dumps(job(int(count), base_url, os.environ["GLMV_KEY"], Path(out))))
        return
    rows = []
    for count in arguments.sizes:
        rows.append(measured(count))
        print({name: round(value, 2) if isinstance(value, float) else value for name, value in rows[-1].items()})
    if tuple(arguments.sizes) == SIZES:
        PAGE.write_text(page(rows), "utf-8")


if __name__ == "__main__":
    main()
