"""`python benchmarks/reliability.py`: how each client reacts to each of the 44 faults, and glmv to 30 abuses.

Each client runs in its own process and environment, against its own fake server. The faults are those of
`tests/support/faults.py`, the abuses those of `tests/abuses`; the same rule applies to all clients. The tables go to
docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import select
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import processes

from tests.support.fake_server import Server
from tests.support.faults import ELSEWHERE, FAULTS, LIMIT, TEXT, Fault, Good, well

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / ".contract"
PAGE = HERE.parent / "docs" / "reliability.md"
TIMEOUT = 2.0
STARTS_WITHIN = 120.0

OURS = ("glmv", "ChatGLMV", "GLMV")
# Client -> packages to install; zhipuai imports sniffio without listing it in its requirements.
OTHERS = {
    "openai": "openai",
    "zhipuai": "zhipuai sniffio",
    "zai-sdk": "zai-sdk",
    "ChatZhipuAI": "langchain-community pyjwt httpx-sse",
}
SHOWN = {
    "glmv": ("glmv", "httpx"),
    "ChatGLMV": ("langchain-core",),
    "GLMV": ("llama-index-core",),
    "openai": ("openai", "httpx", "httpx2"),
    "zhipuai": ("zhipuai", "httpx"),
    "zai-sdk": ("zai-sdk", "httpx"),
    "ChatZhipuAI": ("langchain-community", "langchain-core", "httpx"),
}


@dataclass(frozen=True)
class Outcome:
    """What one call caused: the output of the client's process, and the requests that the server received."""

    said: dict[str, Any]
    requests: int
    followed: int = 0
    closed: float | None = None
    stderr: int = 0

    def __getattr__(self, name: str) -> Any:
        return self.said.get(name)


def right(good: Good, got: Outcome) -> bool:
    """Whether a client behaved correctly."""
    if got.requests not in good.requests or got.followed or (good.quiet and got.stderr):
        return False
    if got.megabytes > good.megabytes or not good.least <= got.seconds <= good.most:
        return False
    match got.said:
        case {"left": _}:
            return got.closed is not None and got.closed <= 1
        case {"next": seconds}:
            return bool(seconds < 1)
        case {"failed": failed}:
            return bool(failed == 0)
        case {"text": text}:
            return bool(text == good.text)
        case {"error": _}:
            readable = got.length <= 600 and "\x1b" not in got.message
            has_code = good.code in (got.code or "") or good.code in got.message
            return good.text is None and bool(got.typed) and readable and has_code
    return False


class Worker:
    """A client in its process, which is restarted when it does not respond."""

    def __init__(self, name: str, python: Path) -> None:
        self.name, self._python = name, python
        self._process: subprocess.Popen[str] | None = None
        self._stderr: list[str] = []
        self.asynchronous = False

    def start(self) -> None:
        """Start it and let it make one call, which imports its libraries."""
        self.stop()
        command = [str(self._python), str(HERE / "reliability_clients.py"), self.name]
        bare = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
        process = self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=bare
        )
        self._stderr = []
        threading.Thread(target=self._listen, args=(process.stderr, self._stderr), daemon=True).start()
        self.asynchronous = json.loads(process.stdout.readline())["async"]  # type: ignore[union-attr] # it is a pipe
        server = Server().plays(well)
        output, _ = self.do(order_of("whole", server.base_url), STARTS_WITHIN)
        server.stop()
        assert output.get("text") == TEXT, f"{self.name} cannot make a call without a fault: {output}"

    @staticmethod
    def _listen(stderr: Any, lines: list[str]) -> None:
        lines.extend(stderr)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def do(self, order: dict[str, Any], seconds: float = LIMIT) -> tuple[dict[str, Any], int]:
        """Let the client carry out an order -> its output, and the number of lines that it wrote to standard error."""
        if self._process is None:
            self.start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        before = len(self._stderr)
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        line = process.stdout.readline() if ready else ""
        if not line:
            self.stop()
            what = "never" if not ready else "died"
            return {what: True, "seconds": LIMIT, "megabytes": 0}, 0
        return json.loads(line), len(self._stderr) - before


def order_of(use: str, base: str, *, asynchronous: bool = False, **options: Any) -> dict[str, Any]:
    """An order to a client's process: which call to make, where, and with which options."""
    options = {"timeout": TIMEOUT} | options
    return {"use": use, "async": asynchronous, "base": base, "options": options}


def outcomes_of(name: str, python: Path, faults: list[Fault]) -> list[list[Outcome]]:
    """Measure one client -> its outcomes for each fault, synchronous and asynchronous."""
    worker = Worker(name, python)
    worker.start()
    found: list[list[Outcome]] = []
    for fault in faults:
        modes = {"both": (False, True), "sync": (False,), "async": (True,)}[fault.only]
        if name not in OURS and fault.only == "both":
            modes = (False,)
        if name in fault.without:
            modes = ()
        found.append([outcome_of(worker, fault, mode) for mode in modes if worker.asynchronous or not mode])
        sys.stderr.write(
            f"{name}: {fault.number} {fault.title}: {[summary_of(one, fault.good.text) for one in found[-1]]}\n"
        )
    worker.stop()
    return found


def outcome_of(worker: Worker, fault: Fault, asynchronous: bool) -> Outcome:
    """Measure one client with one fault."""
    if fault.fresh:
        worker.start()
    server = Server().plays(*(fault.scripts or (well,)))
    try:
        use = fault.uses[0]
        with fault.target(server) as base:
            said, stderr = worker.do(order_of(use, base, asynchronous=asynchronous, **fault.options))
        time.sleep(0.05)
        followed = [body for head, body in server.requests if ELSEWHERE in head.partition("\r\n")[0]]
        requests = len(server.requests) - len(followed) - (use == "twice")
        closed = None
        if "left" in said and server.peers and server.peers[-1].left.is_set():
            closed = max(0.0, server.peers[-1].left_at - said["left"])
        return Outcome(said, requests, sum(map(len, followed)), closed, stderr)
    finally:
        server.stop()


def summary_of(got: Outcome, wanted: str | None = TEXT) -> str:
    """One outcome in a few words; `wanted` is the answer that a correct client returns."""
    count = f"{got.requests} request{'s' * (got.requests != 1)}"
    grown = f", +{got.megabytes:.0f} MB" if got.megabytes > 40 else ""
    elsewhere = f", {got.followed} bytes sent to another host" if got.followed else ""
    after = f"{count}, {got.seconds:.1f} s{grown}{elsewhere}"
    match got.said:
        case {"never": True}:
            return f"no end in {LIMIT:g} s, {count}"
        case {"died": True}:
            return "the process died"
        case {"error": str(kind), "module": module}:
            raw = "" if got.typed else f"raw {module}." if module != "builtins" else "raw "
            page = f", message of {got.length} characters" if got.length > 600 else ""
            return f"{raw}{kind}, {after}{page}"
        case {"left": _}:
            return f"closed after {got.closed:.2f} s" if got.closed is not None else "not closed in 1.2 s"
        case {"next": seconds}:
            return f"next call {seconds:.2f} s"
        case {"failed": failed, "of": number}:
            lines = f", {got.stderr} lines on stderr" if got.stderr else ""
            refused = f", {after}, {got.requests - number + failed} refused" if number == 100 else ""
            return f"{number - failed} of {number}{refused}{lines}"
        case {"text": text}:
            shown = ", U+FFFD shown" * ("\ufffd" in text)
            what = f"ok{shown}" if text == wanted else f"success: {text[:18]!r}"
            return f"{what}, {after}"
        case other:
            raise TypeError(other)


def cell(fault: Fault, outcomes: list[Outcome]) -> tuple[str, bool | None]:
    """The cell of the table, and whether it is correct."""
    if not outcomes:
        return "–", None
    marks = [right(fault.good, one) for one in outcomes]
    shown = [
        f"{'✓' if mark else '✗'} {summary_of(one, fault.good.text)}" for one, mark in zip(outcomes, marks, strict=True)
    ]
    kinds = {(one.error, one.text, mark) for one, mark in zip(outcomes, marks, strict=True)}
    return shown[0] if len(kinds) == 1 else "; async: ".join(shown), all(marks)


def interpreter_of(name: str, requirement: str) -> Path:
    """The interpreter of a client's environment, which is built once under .contract/."""
    folder = ENVIRONMENTS / f"reliability-{name}"
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.is_file() or ready.read_text() != requirement:
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", python, *requirement.split()], check=True)
        ready.write_text(requirement)
    return python


def versions(python: Path, packages: tuple[str, ...]) -> str:
    code = (
        "import importlib.metadata as m, sys\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, m.version(name))\n"
        "    except m.PackageNotFoundError: pass"
    )
    done = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    return ", ".join(done.stdout.split("\n")).strip(", ")


def table(faults: list[Fault], found: dict[str, list[list[Outcome]]]) -> list[str]:
    """The faults in rows, the clients in columns."""
    lines = ["| # | fault | " + " | ".join(found) + " |", "|--:|---|" + "---|" * len(found)]
    marks: dict[str, list[bool]] = {name: [] for name in found}
    for position, fault in enumerate(faults):
        row = []
        for name, outcomes in found.items():
            text, good = cell(fault, outcomes[position])
            marks[name] += [] if good is None else [good]
            row.append(text.replace("|", "\\|"))
        lines.append(f"| {fault.number} | {fault.title} | " + " | ".join(row) + " |")
    sums = " | ".join(f"**{sum(good)} of {len(good)}**" for good in marks.values())
    return [*lines, f"| | right | {sums} |"]


HEAD = """# What happens when things go wrong

Generated by `python benchmarks/reliability.py`; do not edit it here. Every client met the same faults, on loopback,
from a fake server (`tests/support/faults.py`), with a timeout of 2 s where it can be set, and default settings.
Nothing here was measured against the platform itself.

{machine}

| client | versions |
|---|---|
{versions}

## The faults

A cell says what the application saw, how many requests reached the server, and after how long. ✓ and ✗ follow one
rule for all clients, in `benchmarks/reliability.py`. If the fault passes, the client must return the whole answer. If
it does not, the client must raise an error of its own (not one of its HTTP library or JSON parser, which an application
would have to know), soon, and without requests that cannot help. The rules are ours, and so is the choice
of faults: `glmv` was built to handle these, and other applications may need other behaviour.

`glmv`, `ChatGLMV` and `GLMV` were run synchronously and asynchronously; one cell stands for both unless they differ.
"–" means that the client has no such call. "success" shows the beginning of a text that the client returned as the
answer, although it is not the right one. Only `glmv` has a deadline for a whole call and queues calls by itself. "+ MB"
is the memory that a fresh process needed beyond that of a call without a fault. A signed token (21, 39) is what the
platform's own clients send when they are set to cache it; openai can only send a plain key.

{faults}

{abuses}
"""


def page(names: list[str], pythons: dict[str, Path], faults: list[str], abuses: list[str]) -> str:
    return HEAD.format(
        machine=f"Python {platform.python_version()}, {os.cpu_count()} processors, {time.strftime('%Y-%m-%d')}.",
        versions="\n".join(f"| {name} | {versions(pythons[name], SHOWN[name])} |" for name in names),
        faults="\n".join(faults),
        abuses="\n".join(abuses),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", nargs="*", default=[*OURS, *OTHERS])
    parser.add_argument("--faults", nargs="*", type=int)
    parser.add_argument("--dry", action="store_true", help="print the table of faults, write nothing")
    arguments = parser.parse_args()
    faults = [one for one in FAULTS if one.compared and (not arguments.faults or one.number in arguments.faults)]
    pythons = {
        name: Path(sys.executable) if name in OURS else interpreter_of(name, OTHERS[name]) for name in arguments.clients
    }
    abused: list[str] = []
    if not arguments.dry:
        from tests.abuses.table import abuses

        abused = abuses()  # before threads start, because it forks
    with ThreadPoolExecutor(3) as threads:
        running = {name: threads.submit(outcomes_of, name, pythons[name], faults) for name in arguments.clients}
        outcomes = {name: future.result() for name, future in running.items()}
    lines = table(faults, outcomes)
    sys.stdout.write("\n".join(lines) + "\n")
    if not arguments.dry:
        text = page(arguments.clients, pythons, lines, abused)
        several = processes.section(PAGE.read_text("utf-8"))
        PAGE.write_text(f"{text.rstrip()}\n\n{several}\n" if several else text, "utf-8")


if __name__ == "__main__":
    main()
