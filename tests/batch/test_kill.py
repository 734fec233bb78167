"""After kills at random moments, a job has all answers, and only calls that were running are paid for twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import PIL.Image
import pytest

from glmv_emulator import Emulator

ITEMS = 160
WIDTH = 4
KILLS = 20
# Calls that may be under way when a run is killed.
UNDER_WAY = WIDTH

RUN = """
import sys
from glmv_batch import Job
folder, out, base_url, key = sys.argv[1:]
job = Job(folder, "Which colour is it?", model="glm-4.6v-flash", thinking=False, max_concurrency={width},
          base_url=base_url, api_key=key)
print("begun", flush=True)
job.write(out, on_row=lambda row: print(row.key, flush=True))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is of Unix")
def test_killing_a_job_twenty_times_loses_no_answer_and_repeats_only_running_calls(tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "o.jsonl"
    folder.mkdir()
    for number in range(ITEMS):
        PIL.Image.new("RGB", (16, 16), (number, 255 - number, 128)).save(folder / f"{number:>03}.png")
    moment = random.Random(7)
    with Emulator() as emulator:
        command = [
            sys.executable,
            "-c",
            RUN.format(width=WIDTH),
            str(folder),
            str(out),
            emulator.base_url,
            emulator.api_key,
        ]
        kills = 0
        while kills < KILLS:
            run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            assert run.stdout is not None
            # After a few calls of this run, so that the job does not end before the last kill.
            answered = len(emulator.requests) + moment.randrange(1, ITEMS // KILLS)
            while len(emulator.requests) < answered and run.poll() is None:
                time.sleep(moment.random() / 500)
            os.kill(run.pid, signal.SIGKILL)
            run.communicate()
            kills += 1
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        count = len(emulator.requests)
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert sorted(row["key"] for row in rows) == [f"{number:>03}.png" for number in range(ITEMS)]
    assert all("text" in row for row in rows)
    assert len(done.stdout.split()) == ITEMS + 1
    assert count <= ITEMS + KILLS * UNDER_WAY
