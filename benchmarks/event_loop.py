"""How much pictures delay the other users of a server, and what a history with pictures costs in a later turn.

The server (uvicorn), its model server (benchmarks/server.py) and the users (httpx) are separate processes. Users send
photographs in a row as fast as they are answered: a JPEG with EXIF rotation, a HEIC and a WEBP, each with different
bytes at its end, so that none is in the cache. The tables go between the markers of docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from run import BEGIN, END, prepared, section

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"

TICK = 0.005  # seconds between two measurements of the loop's delay
KEY = "bench.secret"
DELAY_AIM, WAIT_AIM, HISTORY_AIM = 100.0, 150.0, 1.5
SERVER_ROUNDS = 3  # each with a new server; the table has the medians, and memory and open files of the last one
HISTORY_ROUNDS = 5  # both subjects in turns: the median of the ratios does not depend on a moment of a busy machine


def photographs(megapixels: float) -> list[bytes]:
    """A JPEG with EXIF rotation, a HEIC and a WEBP of this many pixels, in soft colours with noise."""
    import pillow_heif
    from PIL import Image

    pillow_heif.register_heif_opener()
    side = round((megapixels * 1e6 / 12) ** 0.5)
    size = (4 * side, 3 * side)
    chance = random.Random(7)
    picture = Image.frombytes("RGB", (400, 300), chance.randbytes(360_000)).resize(size, Image.Resampling.BICUBIC)
    turned = Image.Exif()
    turned[0x0112] = 6
    pictures = []
    for kind, options in (("JPEG", {"quality": 90, "exif": turned}), ("HEIF", {"quality": 60}), ("WEBP", {})):
        out = io.BytesIO()
        picture.save(out, kind, **options)
        pictures.append(out.getvalue())
    return pictures


def another(picture: bytes, number: int) -> bytes:
    """The same picture with different bytes at its end (a `free` box of ISO files), which readers ignore."""
    return picture + (24).to_bytes(4, "big") + b"free" + number.to_bytes(16, "big")


# ---- the server ------------------------------------------------------------------------------------------------------


def glmv_ask(upstream: str) -> Callable[[bytes], AsyncIterator[str]]:
    from langchain_core.messages import HumanMessage

    from langchain_glmv import ChatGLMV, aimage

    model = ChatGLMV(model="glm-4.6v", api_key=KEY, base_url=f"{upstream}/api/paas/v4", max_concurrency=200)

    async def ask(picture: bytes) -> AsyncIterator[str]:
        content: Any = ["What is this?", *([await aimage(picture)] if picture else [])]
        async for chunk in model.astream([HumanMessage(content)]):
            yield chunk.text

    return ask


def openai_ask(upstream: str) -> Callable[[bytes], AsyncIterator[str]]:
    from langchain_core.messages import HumanMessage
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="glm-4.6v", api_key=KEY, base_url=f"{upstream}/v1", max_retries=0)

    async def ask(picture: bytes) -> AsyncIterator[str]:
        content: list[Any] = [{"type": "text", "text": "What is this?"}]
        if picture:
            url = "data:image/jpeg;base64," + base64.b64encode(picture).decode()
            content.append({"type": "image_url", "image_url": {"url": url}})
        async for chunk in model.astream([HumanMessage(content)]):
            yield str(chunk.text)

    return ask


def used() -> dict[str, float]:
    """Megabytes of memory and open files of this process."""
    status = Path("/proc/self/status").read_text("utf-8")
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found is not None
    return {"rss": int(found[1]) / 1024, "fds": len(list(Path("/proc/self/fd").iterdir()))}


SUBJECTS = {"ChatGLMV": glmv_ask, "ChatOpenAI": openai_ask}


def serve(subject: str, upstream: str, port: int) -> None:
    """A server that forwards the model's stream; `/facts` returns measurements of its loop since the last request."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route

    ask = SUBJECTS[subject](upstream)
    delays: list[float] = []

    async def watch() -> None:
        while True:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            delays.append(time.perf_counter() - due)

    async def answer(request: Request) -> Response:
        return StreamingResponse(ask(await request.body()), media_type="text/plain")

    async def facts(_: Request) -> Response:
        measurements = {"delays": list(delays), **used()}
        delays.clear()
        return JSONResponse(measurements)

    async def run() -> None:
        watching = asyncio.create_task(watch())
        app = Starlette(routes=[Route("/ask", answer, methods=["POST"]), Route("/facts", facts)])
        await uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning")).serve()
        watching.cancel()

    asyncio.run(run())


# ---- the users -------------------------------------------------------------------------------------------------------


async def use(url: str, users: int, requests: int, pictures: list[bytes], looks: int) -> dict[str, Any]:
    """Users send requests with pictures until all are answered, while one more user repeatedly sends text only.

    With `users=0` the text-only user is alone. Returns the waits of the text-only user ("waits") and of the others
    ("picture_waits") in seconds, the delays of the event loop, and memory and open files.
    """
    import httpx

    waits: list[float] = []
    picture_waits: list[float] = []
    delays: list[float] = []
    memory: list[tuple[int, float, int]] = []
    numbers = iter(range(requests))
    done = 0
    async with httpx.AsyncClient(base_url=url, timeout=600) as http:

        async def once(body: bytes) -> float:
            started = time.perf_counter()
            answer = await http.post("/ask", content=body)
            assert answer.status_code == 200, answer.text
            assert answer.text, "no answer"
            return time.perf_counter() - started

        async def look() -> None:
            facts = (await http.get("/facts")).json()
            delays.extend(facts["delays"])
            memory.append((done, facts["rss"], facts["fds"]))

        async def user() -> None:
            nonlocal done
            for number in numbers:
                body = another(pictures[number % len(pictures)], number) if pictures else b""
                picture_waits.append(await once(body))
                done += 1
                if done % max(requests // looks, 1) == 0:
                    await look()

        async def send_text(stop: asyncio.Event) -> None:
            while not stop.is_set():
                waits.append(await once(b""))
                await asyncio.sleep(0.05)

        await once(b"")
        await http.get("/facts")  # resets the measurements of the start
        stop = asyncio.Event()
        one = asyncio.create_task(send_text(stop))
        if users:
            await asyncio.gather(*(user() for _ in range(users)))
        else:
            await asyncio.sleep(10)
        stop.set()
        await one
        await look()
    return {"waits": waits, "picture_waits": picture_waits, "delays": delays, "memory": memory}


LOOKS = 20


def load(url: str, users: int, requests: int, megapixels: float) -> None:
    pictures = photographs(megapixels) if megapixels else []
    print(json.dumps(asyncio.run(use(url, users, requests, pictures, LOOKS))))


# ---- a history of pictures -------------------------------------------------------------------------------------------

PICTURES, TURNS = 10, 7


def history(subject: str, upstream: str) -> None:
    """CPU milliseconds of a later turn of a conversation about ten rotated photographs of 3 MB; prints the median.

    httpx sends the same body, which is ready as bytes.
    """
    from langchain_core.messages import HumanMessage

    import glmv
    from langchain_glmv import ChatGLMV, image

    (turned, *_) = photographs(12)
    pictures = [another(turned, number) for number in range(PICTURES)]
    base_url = f"{upstream}/api/paas/v4"
    words = "What is this?"
    given: Callable[[], Any]
    turn: Callable[[Any], Awaitable[Any]]
    if subject == "ChatGLMV":
        model = ChatGLMV(model="glm-4.6v", api_key=KEY, base_url=base_url)
        stored = [json.dumps([image(picture), words]) for picture in pictures]

        def given() -> Any:  # other objects of equal content, as from a checkpoint store
            return [HumanMessage(json.loads(content)) for content in stored]

        async def turn(messages: Any) -> Any:
            return await model.ainvoke(messages)
    else:
        import httpx

        http = httpx.AsyncClient(timeout=60)
        row = glmv.find_model("glm-4.6v")
        assert row is not None
        fitted = [glmv.Image.from_bytes(picture).fitted_for(row)[0].base64().decode() for picture in pictures]
        question = {"type": "text", "text": words}
        asked = [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": one}}, question]} for one in fitted
        ]
        body = json.dumps({"model": "glm-4.6v", "messages": asked}).encode()

        def given() -> Any:
            return body

        async def turn(content: Any) -> Any:
            return (await http.post(f"{base_url}/chat/completions", content=content)).json()

    async def turns() -> list[float]:
        spent = []
        for _ in range(2 + TURNS):
            at_hand = given()
            started = time.process_time()
            await turn(at_hand)
            spent.append(time.process_time() - started)
        return spent[2:]

    print(json.dumps(statistics.median(asyncio.run(turns())) * 1000))


# ---- the tables ------------------------------------------------------------------------------------------------------


def share(values: list[float], part: float) -> float:
    """The quantile of this fraction, in milliseconds."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] * 1000


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def started(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=environment)


def role(*arguments: object) -> Any:
    """Run this program with other arguments in a new process -> the JSON that it prints."""
    process = started(str(Path(__file__)), *map(str, arguments))
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{arguments} failed")
    return json.loads(out)


def measured(subject: str, upstream: str, runs: list[tuple[int, int, float]]) -> list[dict[str, Any]]:
    """Measure each run, (users, requests, megapixels), against one new server."""
    port = free_port()
    server = started(str(Path(__file__)), "--serve", subject, upstream, str(port))
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url)
        return [role("--load", url, *run) for run in runs]
    finally:
        server.terminate()
        server.wait()


def _wait_for(url: str) -> None:
    import httpx

    for _ in range(300):
        try:
            httpx.get(f"{url}/facts", timeout=5)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the server did not start")


_ABOUT = """\
{users} users at once send {requests:,} photographs of {megapixels:g} megapixels (JPEG with EXIF rotation, HEIC,
WEBP) to a server of one process that calls the model by `astream`, and one more user sends text only. Memory and open
files are measured after a fifth of the requests, and at the end. Delays are medians of three rounds. ChatOpenAI sends
each file unchanged, even if the model does not accept its format."""


def target(what: str, here: float, wanted: float, unit: str = "") -> str:
    """A row of the table of targets."""
    met = "met" if here <= wanted else "**missed**"
    return f"| {what} | {here:.{0 if unit else 2}f}{unit} | ≤ {wanted:g}{unit} | {met} |"


def tables(users: int, requests: int, megapixels: float) -> list[str]:
    upstream = started(str(HERE / "server.py"))
    assert upstream.stdout is not None
    base = f"http://127.0.0.1:{int(upstream.stdout.readline())}/first"
    lines = [
        "## Pictures beside other users of a server",
        "",
        _ABOUT.format(users=users, requests=requests, megapixels=megapixels),
        "",
        "| | loop's delay, p99.9 | without pictures | text-only user's wait, p95 | wait alone | memory | open files |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    targets = []
    try:
        for subject in SUBJECTS:
            rounds = []
            for _ in range(SERVER_ROUNDS):
                words, alone, loaded = measured(
                    subject, base, [(users, requests * 5, 0), (0, 0, 0), (users, requests, megapixels)]
                )
                rounds.append((
                    share(loaded["delays"], 0.999), share(words["delays"], 0.999),
                    share(loaded["waits"], 0.95), share(alone["waits"], 0.95),
                ))  # fmt: skip
            delay, calm, wait, single = map(statistics.median, zip(*rounds, strict=True))
            late = loaded["memory"][len(loaded["memory"]) // 5 :]
            (_, early_rss, early_fds), (_, last_rss, last_fds) = late[0], late[-1]
            lines.append(
                f"| {subject} | {delay:.0f} ms | {calm:.0f} ms | {wait:.0f} ms | {single:.0f} ms | "
                f"{early_rss:.0f} to {last_rss:.0f} MB | {early_fds} to {last_fds} |"
            )
            print(lines[-1], file=sys.stderr)
            if subject == "ChatGLMV":
                targets.append(target("the loop's delay, beyond that without pictures", delay - calm, DELAY_AIM, " ms"))
                targets.append(target("the text-only user's wait, beyond that alone", wait - single, WAIT_AIM, " ms"))
        turns = [
            [role("--history", subject, base.removesuffix("/first")) for subject in ("ChatGLMV", "httpx")]
            for _ in range(HISTORY_ROUNDS)
        ]
    finally:
        upstream.kill()
        upstream.wait()
    theirs = statistics.median(theirs for _, theirs in turns)
    what = f"CPU of a later turn about ten 3 MB photographs, to httpx with the same body as bytes ({theirs:.0f} ms)"
    targets.append(target(what, statistics.median(ours / theirs for ours, theirs in turns), HISTORY_AIM))
    return [*lines, "", "| target | here | wanted | |", "|---|---:|---:|---|", *targets]


def leaks(users: int, requests: int, megapixels: float) -> list[str]:
    """Memory and open files of a server with ChatGLMV at ten points of a run."""
    upstream = started(str(HERE / "server.py"))
    assert upstream.stdout is not None
    base = f"http://127.0.0.1:{int(upstream.stdout.readline())}/first"
    try:
        (run,) = measured("ChatGLMV", base, [(users, requests, megapixels)])
    finally:
        upstream.kill()
        upstream.wait()
    rows = [f"| {done:,} | {rss:.0f} MB | {fds} |" for done, rss, fds in run["memory"][1 : LOOKS + 1 : 2]]
    return [f"| pictures of {megapixels:g} megapixels | memory | open files |", "|---:|---:|---:|", *rows]


def written(page: Path, lines: list[str]) -> None:
    """Put lines between the markers of a page, or at its end if it has no markers."""
    text = page.read_text("utf-8")
    part = "\n".join([BEGIN, "", *lines, "", END])
    old = section(text)
    page.write_text(text.replace(old, part) if old else f"{text.rstrip()}\n\n{part}\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, help="number of pictures to send; default 120, with --leaks 10000")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--print", action="store_true", help="write no page")
    parser.add_argument("--leaks", action="store_true", help="only show memory and open files at ten points")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--load", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--history", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve[0], arguments.serve[1], int(arguments.serve[2]))
    elif arguments.load:
        url, users, requests, megapixels = arguments.load
        load(url, int(users), int(requests), float(megapixels))
    elif arguments.history:
        history(*arguments.history)
    elif arguments.leaks:
        prepared("uvicorn", "starlette", "pillow", "pillow-heif")
        print("\n".join(leaks(arguments.users, arguments.requests or 10_000, arguments.megapixels)))
    else:
        prepared("uvicorn", "starlette", "pillow", "pillow-heif")
        lines = tables(arguments.users, arguments.requests or 120, arguments.megapixels)
        print("\n".join(lines))
        if not arguments.print:
            written(PAGE, lines)


if __name__ == "__main__":
    main()
