"""Several processes on one account, and one process with a limit above the server's: are all calls answered, how soon?

The server answers a limited number of concurrent calls, each after half a second, and refuses further ones: our own
server with HTTP 429 and the platform's code 1302, nginx with `limit_conn` and `limit_conn_status 429`. The callers are
separate processes with default settings. "Ideal" is the time in which the server can answer all of the calls.
The tables go between the markers of docs/reliability.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from run import prepared

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "reliability.md"
BEGIN = "<!-- begin of processes, written by `make bench-processes` -->"
END = "<!-- end of processes, written by `make bench-processes` -->"
KEY = "bench.secret"
SECONDS = 0.5
MOST_REQUESTS, MOST_TIME = 1.3, 1.5
NGINX = """
daemon off;
{user}
worker_processes 1;
error_log stderr crit;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  log_format status "$status";
  access_log {folder}/access.log status;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  limit_conn_zone $server_port zone=calls:1m;
  server {{
    listen 127.0.0.1:{port} backlog=4096; limit_conn calls {slots}; limit_conn_status 429;
    location / {{ proxy_pass http://127.0.0.1:{origin}; }}
  }}
}}
"""


TEXT = """
## Several processes on one account

The platform counts the concurrent calls of an account, from all of its processes, and refuses calls above the limit
(codes 1302 and 1305; gateways answer HTTP 429). Each process has a gate for each key, host and model. The gate allows
as many concurrent calls as the model's row documents, or `max_concurrency`. If calls are refused nevertheless, it
adapts:

- Its width (the number of calls that it allows) shrinks at once, to 0.7 of the calls that were under way. It grows by
  one after a round of answers.
- It sends nothing during a pause: half a second, 1.5 times as long after each further refusal in a row, at most eight
  seconds, or what `Retry-After` asks for. An answer ends the pause, because it frees a slot of the server.
- A refused call keeps its place in the queue. Its refusals do not count against `max_retries` while other calls of the
  gate are answered, for at most five minutes. `deadline` limits the wait.
- If all calls are refused, each is sent at most `max_retries + 1` times. A call that has waited for a minute in which
  no call was answered raises `RateLimitError`, even if it was never sent. With `max_retries=0` a refused call raises at
  once and pauses no other call: the caller decides.

The retry budget is for outages: `retry_budget=35` retries of a client in a row after broken connections, timeouts and
errors of the server (HTTP 5xx). Each answer gives back a little; 490 answers refill an empty budget. Refusals because
of too many calls cost nothing. If the budget prevents a retry, the error says: "the retry budget of this client is used
up (retry_budget=35)". `retry_budget=None` sets no limit.

If a call waits for a slot that a stream of its own thread or task holds, it logs a warning after five seconds, which
names the stream (logger `glmv`).

Processes share slots by refusals, which cost requests. If several machines must never exceed a number of slots
together, let one program assign them: [Ray](ray.md) divides the slots of an account among its workers, and
[LiteLLM's proxy](servers.md#litellm) counts the calls of all clients that use it (`max_parallel_requests` of a key or
a model).
""".strip().splitlines()


class Case(NamedTuple):
    """Number of processes, calls and `max_concurrency` of each process (0 is the default), and slots of the server."""

    processes: int
    calls: int
    at_once: int
    slots: int

    @property
    def ideal(self) -> float:
        """Seconds that the server needs to answer all calls."""
        return self.processes * self.calls * SECONDS / self.slots


SEVERAL = Case(4, 100, 0, 10)
ALONE = (Case(1, 200, 50, 3), Case(1, 300, 100, 1))


# ---- the server ------------------------------------------------------------------------------------------------------


async def serve(port: int, slots: int, seconds: float) -> None:
    """Answers calls after this many seconds, at most `slots` at once; without slots, all at once."""
    requests = refused = under_way = 0
    answer = json.dumps({"id": "1", "choices": [{"finish_reason": "stop", "message": {"content": "hello"}}]}).encode()
    busy = json.dumps({"error": {"code": "1302", "message": "Too many at once"}}).encode()

    def response(status: str, body: bytes) -> bytes:
        fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
        return f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode() + body

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests, refused, under_way
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                if head.startswith(b"GET "):
                    writer.write(response("200 OK", json.dumps([requests, refused]).encode()))
                    continue
                requests += 1
                if slots and under_way >= slots:
                    refused += 1
                    writer.write(response("429 Too Many Requests", busy))
                    continue
                under_way += 1
                try:
                    await asyncio.sleep(seconds)
                finally:
                    under_way -= 1
                writer.write(response("200 OK", answer))
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", port, backlog=4096) as server:
        await server.serve_forever()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def waits_for(port: int) -> None:
    """Wait until a server listens."""
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


@contextlib.contextmanager
def started(command: list[str], port: int) -> Iterator[None]:
    running = subprocess.Popen(command)
    try:
        waits_for(port)
        yield
    finally:
        running.terminate()
        running.wait()


@contextlib.contextmanager
def own(slots: int) -> Iterator[tuple[int, Any]]:
    """Our server: its port, and a function that returns the numbers of received and refused requests."""
    port = free_port()

    def count() -> tuple[int, int]:
        import urllib.request

        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/") as told:
            requests, refused = json.load(told)
        return requests, refused

    with started([sys.executable, __file__, "--serve", str(port), str(slots), str(SECONDS)], port):
        yield port, count


@contextlib.contextmanager
def nginx(slots: int) -> Iterator[tuple[int, Any]]:
    """nginx in front of a server that answers all calls; otherwise like `own`."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    assert program is not None, "nginx is not installed: apt-get install nginx-light"
    port = free_port()
    with own(0) as (origin, _), tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "nginx.conf")
        # As root, workers would run as another user without access to the folder.
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(NGINX.format(folder=folder, port=port, origin=origin, slots=slots, user=user))

        def count() -> tuple[int, int]:
            seen = Counter(Path(folder, "access.log").read_text().split())
            return seen["200"] + seen["429"], seen["429"]

        with started([program, "-e", "stderr", "-p", folder, "-c", str(config)], port):
            yield port, count


SERVERS = {"ours": own, "nginx": nginx}


# ---- the callers -----------------------------------------------------------------------------------------------------


async def calls(client: str, port: int, number: int, at_once: int) -> dict[str, Any]:
    """Make this many calls at the same time -> start, end, and the number of failures of each kind."""
    base_url = f"http://127.0.0.1:{port}/v1"
    ask: Any
    if client == "glmv":
        import glmv

        options: Any = {"max_concurrency": at_once} if at_once else {}
        ours = glmv.AsyncClient(KEY, base_url=base_url, model="glm-4.6v", **options)

        async def ask() -> None:
            await ours.chat("hello")

    else:
        import openai

        theirs = openai.AsyncOpenAI(api_key=KEY, base_url=base_url)
        gate = asyncio.Semaphore(at_once or 10)

        async def ask() -> None:
            async with gate:
                await theirs.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])

    began = time.time()
    found = await asyncio.gather(*(ask() for _ in range(number)), return_exceptions=True)
    failed = Counter(type(one).__name__ for one in found if isinstance(one, BaseException))
    return {"began": began, "ended": time.time(), "failed": failed}


class Result(NamedTuple):
    """The result of one run."""

    case: Case
    failed: Counter[str]
    requests: int
    refused: int
    seconds: float

    @property
    def requests_each(self) -> float:
        """Requests for each call."""
        return self.requests / (self.case.processes * self.case.calls)

    @property
    def holds(self) -> bool:
        """Whether all calls were answered, soon and with few requests."""
        alone = self.case.processes == 1
        soon = self.seconds <= MOST_TIME * self.case.ideal
        return not self.failed and soon and (alone or self.requests_each <= MOST_REQUESTS)

    def row(self, server: str, client: str) -> str:
        """The line of the table."""
        total = self.case.processes * self.case.calls
        lost = sum(self.failed.values())
        why = ", ".join(f"{number} {name}" for name, number in self.failed.items())
        cells = (
            server,
            client,
            f"{total - lost} of {total}{f' ({why})' if lost else ''}",
            f"{self.requests_each:.2f}",
            str(self.refused),
            f"{self.seconds:.1f} s",
            f"{self.seconds / self.case.ideal:.2f}",
            "✓" if self.holds else "✗",
        )
        return f"| {' | '.join(cells)} |"


def run(server: str, client: str, case: Case) -> Result:
    """Measure one case with a new server."""
    with SERVERS[server](case.slots) as (port, count):
        command = [sys.executable, __file__, "--call", client, str(port), str(case.calls), str(case.at_once)]
        callers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(case.processes)]
        results = [json.loads(caller.communicate()[0]) for caller in callers]
        requests, refused = count()
    failed = sum((Counter(one["failed"]) for one in results), Counter())
    seconds = max(one["ended"] for one in results) - min(one["began"] for one in results)
    return Result(case, failed, requests, refused, seconds)


HEAD = [
    "| server | client | answered | requests a call | refused | time | to ideal | |",
    "|---|---|---:|---:|---:|---:|---:|---|",
]


def measured(rounds: int, clients: list[str], servers: list[str]) -> list[str]:
    """The tables; rows are printed as they are measured."""
    today = time.strftime("%Y-%m-%d")
    paragraph = (
        f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, {today}. {SEVERAL.processes} processes of "
        f"{SEVERAL.calls} calls of {SECONDS:g} s, default settings, {SEVERAL.slots} at once allowed (ideal "
        f"{SEVERAL.ideal:g} s). openai is used with `asyncio.Semaphore(10)` in each process. ✓: all are answered, with "
        f"at most {MOST_REQUESTS} requests a call and in at most {MOST_TIME} times the ideal time."
    )
    lines = [*TEXT, "", paragraph, "", *HEAD]
    for server in servers:
        for client in clients:
            for _ in range(rounds if client == "glmv" else 1):
                lines.append(run(server, client, SEVERAL).row(server, client))
                print(lines[-1], flush=True)
    for case in ALONE if "glmv" in clients else ():
        paragraph = (
            f"One process, {case.calls} calls, `max_concurrency={case.at_once}`, {case.slots} at once allowed (ideal "
            f"{case.ideal:.1f} s; at most {MOST_TIME} times that):"
        )
        lines += ["", paragraph, "", *HEAD]
        lines.append(run("ours", "glmv", case).row("ours", "glmv"))
        print(lines[-1], flush=True)
    return lines


def section(text: str) -> str:
    """The text between the markers of the page, including them; "" if there are no markers."""
    match = re.search(f"{re.escape(BEGIN)}.*?{re.escape(END)}", text, re.DOTALL)
    return match.group() if match else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--client", action="append", choices=["glmv", "openai"])
    parser.add_argument("--server", action="append", choices=list(SERVERS))
    parser.add_argument("--print", action="store_true", help="write no page")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--call", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        port, slots, seconds = arguments.serve
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(int(port), int(slots), float(seconds)))
        return
    if arguments.call:
        client, *numbers = arguments.call
        print(json.dumps(asyncio.run(calls(client, *map(int, numbers)))))
        return
    clients = arguments.client or ["glmv", "openai"]
    if "openai" in clients and importlib.util.find_spec("openai") is None:
        prepared()
    lines = measured(arguments.rounds, clients, arguments.server or list(SERVERS))
    if not arguments.print:
        text = PAGE.read_text("utf-8")
        old = section(text)
        part = "\n".join([BEGIN, "", *lines, "", END])
        PAGE.write_text(text.replace(old, part) if old else f"{text.rstrip()}\n\n{part}\n", "utf-8")


if __name__ == "__main__":
    main()
