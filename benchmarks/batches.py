"""Batch runs under random kills, with a full disk, through an outage and under rate limits, against the emulator.

    python benchmarks/batches.py                        # all four; about ten minutes, one of them for the outage
    python benchmarks/batches.py evening --rows 700

Each run prints the outcome of the rows. The exit code is 1 if a row is missing, occurs twice, or failed for a reason
that the user cannot change.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import PIL.Image

from glmv_emulator import Emulator

WIDTH = 4
KILLS = 20
MODEL = "glm-4.6v-flash"
# Errors with a remedy: free disk space, run again, check that picture.
ACTIONABLE = {"RateLimitError", "ServerError", "ConnectionFailed", "RequestTimeout", "LimitExceeded", "GateTimeout"}

RUN = f"""
import resource, sys
from glmv_batch import Job
folder, out, base_url, key, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
job = Job(folder, "Which colour is it?", model={MODEL!r}, thinking=False, max_concurrency={WIDTH}, base_url=base_url,
          api_key=key)
try:
    job.write(out)
finally:
    print(job.progress, flush=True)
"""


class Place:
    """A folder with pictures, the output next to it, and runs of the same job in separate processes."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.photos, self.out, self.rows = folder / "photos", folder / "out" / "o.jsonl", rows
        self.photos.mkdir()
        self.out.parent.mkdir()
        for number in range(rows):
            color = (number % 256, 255 - number % 256, number // 256)
            PIL.Image.new("RGB", (16, 16), color).save(self.photos / f"{number:>04}.png")

    def begin(self, emulator: Emulator, *, limit: int = 0) -> subprocess.Popen[str]:
        """Start a run. `limit` is the largest file size in bytes; 0 means no limit."""
        words = [str(self.photos), str(self.out), emulator.base_url, emulator.api_key, str(limit)]
        return subprocess.Popen(
            [sys.executable, "-c", RUN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, emulator: Emulator, *, limit: int = 0) -> tuple[int, str]:
        """Run the job to its end -> exit code and last line of output."""
        run = self.begin(emulator, limit=limit)
        said, wrong = run.communicate()
        return run.returncode, (said + wrong).strip().splitlines()[-1][:160]

    def verdict(self) -> tuple[bool, str]:
        """Whether every row occurs once, answered or failed for a reason that the user can act on."""
        lines = [json.loads(line) for line in self.out.read_text("utf-8").splitlines()]
        failed = Counter(line["error_class"] for line in lines if "error" in line)
        unhelpful = [line for line in lines if "error" in line and line["error_class"] not in ACTIONABLE]
        whole = sorted(line["key"] for line in lines) == sorted(path.name for path in self.photos.iterdir())
        counts = (
            f"{len(lines)} rows of {self.rows}, {len(lines) - failed.total()} answered, failed: {dict(failed) or 0}"
        )
        return whole and not unhelpful, counts


def kills(place: Place, arguments: argparse.Namespace) -> str:
    """Kill several runs at random moments, then let one run end by itself."""
    chance = random.Random(arguments.seed)
    with Emulator() as emulator:
        for _ in range(KILLS):
            run = place.begin(emulator)
            reached = len(emulator.requests) + chance.randrange(1, max(2, place.rows // (KILLS + 5)))
            while len(emulator.requests) < reached and run.poll() is None:
                time.sleep(chance.random() / 200)
            os.kill(run.pid, signal.SIGKILL)
            run.communicate()
        _, said = place.run(emulator)
        bound = place.rows + KILLS * WIDTH
        sent = len(emulator.requests)
        assert sent <= bound, f"{sent} requests, expected at most {bound}"
        return f"{KILLS} kills, {sent} requests (at most {bound}); {said}"


def disk(place: Place, arguments: argparse.Namespace) -> str:
    """No space for the ledger: once by a limit of file sizes, once by a full disk."""
    reports = []
    with Emulator() as emulator:
        code, said = place.run(emulator, limit=150_000)
        assert code != 0, "a file of 150 KB was large enough: more rows are needed"
        _, after = place.run(emulator)
        good, rows = place.verdict()
        assert good, rows
        reports.append(f"a file of limited size:  {said}; then: {after}, {len(emulator.requests)} requests")
    with Emulator() as emulator, small_disk(place.out.parent) as grow:
        if grow is None:
            return f"{reports[0]}; no small disk: mounting is not allowed"
        code, said = place.run(emulator)
        assert code != 0, "the disk was large enough: more rows are needed"
        grow()
        _, after = place.run(emulator)
        good, rows = place.verdict()
        assert good, rows
        reports.append(f"a full disk: {said}; then: {after}, {len(emulator.requests)} requests; {rows}")
    return "; ".join(reports)


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[], None] | None]:
    """A disk with 64.5 MiB of free space; yields a function that frees space, or None if mounting is not allowed."""
    if os.geteuid() != 0 or subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=66000k", "tmpfs", folder], capture_output=True
    ).returncode:  # fmt: skip
        yield None
        return
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=200m", folder], check=True) and None
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def outage(place: Place, arguments: argparse.Namespace) -> str:
    """The server is unreachable for a while in the middle of a run."""
    first = Emulator(port=0).start()
    run = place.begin(first)
    while len(first.requests) < place.rows // 3:
        time.sleep(0.01)
    reached, port, key = len(first.requests), int(first.origin.rpartition(":")[2]), first.api_key
    first.stop()
    time.sleep(arguments.outage)
    with Emulator(port=port, api_key=key) as second:
        said, _ = run.communicate()
        return (
            f"server stopped for {arguments.outage:.0f} s after {reached} requests, "
            f"{len(second.requests)} requests after it; {said.strip()}"
        )


def evening(place: Place, arguments: argparse.Namespace) -> str:
    """The platform refuses calls by its rate limit, and the run is killed twice."""
    with Emulator(profile="busy evening", seed=arguments.seed) as emulator:
        for part in (4, 2):
            run = place.begin(emulator)
            while len(emulator.requests) < place.rows // part and run.poll() is None:
                time.sleep(0.05)
            os.kill(run.pid, signal.SIGKILL)
            run.communicate()
        code, said = place.run(emulator)
        refused = sum(entry.status != 200 for entry in emulator.requests)
        return f"{len(emulator.requests)} requests, {refused} refused; exit {code}, {said}"


SCENARIOS = {"kills": kills, "disk": disk, "outage": outage, "evening": evening}


def main() -> int:
    """Run the named scenarios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", choices=[*SCENARIOS, []], help="the scenarios to run; without any, all")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--outage", type=float, default=60.0, help="seconds")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    wrong = 0
    for name in arguments.scenario or SCENARIOS:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            place = Place(Path(folder), arguments.rows)
            try:
                report = SCENARIOS[name](place, arguments)
                good, rows = (True, "") if name == "disk" else place.verdict()
            except AssertionError as error:
                report, good, rows = str(error), False, ""
        wrong += not good
        print(f"{name:8} {'good' if good else 'BAD '} {time.monotonic() - begun:6.1f} s  {report}  {rows}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
