"""Programs that `test_figures.py` runs in separate processes: `programs.py NAME BASE KEY` prints JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import glmv

MODEL = "glm-4v-plus-0111"
WHERE: dict[str, Any] = {"base_url": sys.argv[2], "api_key": sys.argv[3], "model": MODEL}


def megabytes() -> float:
    """The resident memory of this process now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def peak() -> float:
    """The peak of the resident memory of this process, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def clients() -> dict[str, Any]:
    """500 clients, each used once and closed; every second one is asynchronous. 50 others come first, as a warm-up."""

    def one(number: int) -> None:
        if number % 2:
            with glmv.Client(**WHERE) as glm:
                glm.chat("Hello")
        else:
            asyncio.run(awaited())

    async def awaited() -> None:
        async with glmv.AsyncClient(**WHERE) as glm:
            await glm.chat("Hello")

    for number in range(50):
        one(number)
    gc.collect()
    before, descriptors_before = megabytes(), descriptors()
    for number in range(500):
        one(number)
    gc.collect()
    return {"grown": megabytes() - before, "descriptors": descriptors() - descriptors_before}


def requests() -> dict[str, Any]:
    """5,000 requests by one client, after 300 others as a warm-up."""
    with glmv.Client(**WHERE) as glm:
        for _ in range(300):
            glm.chat("Hello")
        gc.collect()
        before, descriptors_before = megabytes(), descriptors()
        for _ in range(5000):
            glm.chat("Hello")
        gc.collect()
        return {"grown": megabytes() - before, "descriptors": descriptors() - descriptors_before}


def thousand() -> dict[str, Any]:
    """1,000 calls at once through ten slots."""

    async def all_at_once() -> tuple[float, int]:
        async with glmv.AsyncClient(**WHERE, max_concurrency=10) as glm:
            await glm.chat("Hello")
            before = peak()
            answers = await asyncio.gather(*[glm.chat("Hello") for _ in range(1000)])
            return peak() - before, len([answer for answer in answers if answer.text])

    growth, count = asyncio.run(all_at_once())
    return {"grown": growth, "answered": count}


def bomb() -> dict[str, Any]:
    """A plain call, and a call whose response is endless or decompresses to far too many bytes."""
    stream = os.environ["STREAM"] == "1"
    with glmv.Client(**WHERE) as glm:
        glm.chat("Hello")
        before = peak()
        try:
            for _ in glm.stream("Hello", extra_headers=FAULT) if stream else [glm.chat("Hello", extra_headers=FAULT)]:
                pass
        except glmv.MalformedResponse as error:
            return {"grown": peak() - before, "error": str(error)}
    return {"error": None}


FAULT = {"x-glmv-fault": os.environ.get("FAULT", "")}


def picture() -> dict[str, Any]:
    """A call with 200 MiB of base64 in its message, which the client refuses."""
    with glmv.Client(**WHERE) as glm:
        glm.chat("Hello")
        url = "data:image/png;base64," + "A" * (200 * 1024 * 1024)
        message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
        before = peak()
        try:
            glm.chat([message])
        except glmv.InvalidRequestError as error:
            return {"grown": peak() - before, "error": str(error)[:200]}
    return {"error": None}


def loops() -> dict[str, Any]:
    """One client is used in three event loops, one after the other."""
    glm = glmv.AsyncClient(**WHERE, max_retries=0)

    async def three() -> list[str]:
        whole = [(await glm.chat("Hello")).text for _ in range(2)]
        return [*whole, "".join([delta.text async for delta in glm.stream("Hello")])]

    return {"texts": len({text for _ in range(3) for text in asyncio.run(three())})}


def forks() -> dict[str, Any]:
    """Eight children of a process that has used its client, with fifty calls each."""
    warnings.simplefilter("ignore", DeprecationWarning)  # of forking a process that has threads
    glm = glmv.Client(**WHERE, max_retries=0)

    def ask() -> None:
        glm.chat("Hello", extra_headers={"x-process": str(os.getpid())})

    ask()
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            failed = 0
            for _ in range(50):
                try:
                    ask()
                except glmv.GLMVError:
                    failed += 1
            os._exit(failed)
        children.append(child)
    failed = sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    ask()
    return {"failed": failed}


PROGRAMS: dict[str, Callable[[], dict[str, Any]]] = {
    program.__name__: program for program in (clients, requests, thousand, bomb, picture, loops, forks)
}

if __name__ == "__main__":
    json.dump(PROGRAMS[sys.argv[1]](), sys.stdout)
