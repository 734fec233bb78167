"""`python benchmarks/reliability.py`: what each client does about each of the 44 faults, and glmv about 30 abuses.

Each client runs in a process and an environment of its own, against an emulator of its own. The same order is given
to all, and one rule judges all. The table goes to docs/reliability.md.
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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glmv_emulator import Emulator

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / ".contract"
PAGE = HERE.parent / "docs" / "reliability.md"
MODEL = "glm-4v-flash"
TIMEOUT = 2.0
PATIENCE = 25.0
STARTS_WITHIN = 120.0

OURS = ("glmv", "ChatGLMV", "GLMV")
# Client -> what is installed for it; zhipuai imports sniffio without saying so in its requirements.
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
    """What came of one order."""

    said: dict[str, Any]
    requests: int
    calm: str
    followed: int = 0
    closed: float | None = None
    refused: int = 0
    stderr: int = 0

    def __getattr__(self, name: str) -> Any:
        return self.said.get(name)

    @property
    def whole(self) -> bool:
        return self.said.get("text") == self.calm

    @property
    def typed(self) -> bool:
        return bool(self.said.get("typed"))


Rule = Callable[[Outcome], bool]


def answers(most: float = PATIENCE, least: float = 0.0, requests: int = 99) -> Rule:
    """A whole answer, after so many seconds and requests."""
    return lambda got: got.whole and least <= got.seconds <= most and got.requests <= requests


def fails(most: float = PATIENCE, requests: range = range(100), rule: Rule = lambda got: True) -> Rule:
    """An error of the client's own."""
    return lambda got: got.typed and got.seconds <= most and got.requests in requests and rule(got)


@dataclass(frozen=True)
class Case:
    """One fault: how it is caused, what is asked for, and what is right."""

    number: int
    title: str
    right: Rule
    fault: str = ""
    times: int | None = None
    deed: str = "whole"
    cause: Callable[[Emulator], Any] = lambda emu: None
    base: Callable[[Emulator], str] = lambda emu: emu.base_url
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    fresh: bool = False
    only: str = "both"
    without: tuple[str, ...] = ()

    def prepare(self, emu: Emulator) -> None:
        emu.reset()
        if self.fault:
            name, *rest = self.fault.split("; ")
            emu.inject(name, self.times, **dict(knob.split("=") for knob in rest))
        self.cause(emu)


def within(megabytes: float) -> Rule:
    return lambda got: got.megabytes <= megabytes


def short(got: Outcome) -> bool:
    return got.length <= 600 and "\x1b" not in got.message


def tells(code: str) -> Rule:
    return lambda got: got.code == code or code in got.message


CASES = (
    Case(1, "nobody listens", fails(10), cause=Emulator.refuse),
    Case(2, "no such host", fails(1), base=lambda emu: "https://host.invalid/api/paas/v4"),
    Case(3, "connection is never made", fails(20), base=lambda emu: emu.trap("blackhole")),
    Case(4, "self-signed certificate", fails(1), base=lambda emu: emu.trap("tls-self-signed")),
    Case(5, "reset in the TLS handshake", fails(20), base=lambda emu: emu.trap("tls-reset")),
    Case(6, "reset in the head, once", answers(), "reset-in-headers", 1),
    Case(7, "reset in the body, once", answers(), "reset-in-body", 1),
    Case(7, "half a body, once", answers(), "half-body", 1),
    Case(8, "kept connection closed when used again", answers(2), "stale-connection", 1, "twice"),
    Case(9, "idle connection closed", answers(2), "idle-close", 1, "twice"),
    Case(10, "nothing comes", fails(20), "stall-before-headers"),
    Case(11, "body stops half-way", fails(20), "stall-in-body"),
    Case(11, "stream stops after 3 chunks", fails(20), "stall", deed="streamed"),
    Case(12, "body byte by byte, deadline 4 s", fails(4.25), "drip; every=0.25", options={"deadline": 4.0}),
    Case(
        13, "stream byte by byte, deadline 4 s", fails(4.25), "drip-stream; every=0.25", deed="streamed",
        options={"deadline": 4.0},
    ),
    Case(14, "429, Retry-After: 3, once", answers(3.9, 2.99, 2), "retry-after", 1),
    Case(15, "429, Retry-After: inf, once", answers(10, 0, 2), "odd-retry-after", 1),
    Case(15, "429, retry-after-ms: 1500, once", answers(2.2, 1.49, 2), "odd-retry-after; value=; ms=1500", 1),
    Case(16, "429, Retry-After: 3600", fails(2, range(1, 2)), "long-retry-after"),
    Case(17, "429 code 1302, always", fails(PATIENCE, range(2, 7), tells("1302")), "busy"),
    Case(18, "429 code 1305, always", fails(PATIENCE, range(2, 7), tells("1305")), "overloaded"),
    Case(19, "429 code 1113, arrears", fails(2, range(1, 2), tells("1113")), "arrears"),
    Case(20, "400 code 1301, content filter", fails(2, range(1, 2), tells("1301")), "content-filter"),
    Case(
        21, "401 code 1003 for a signed token, once", answers(3), "token-expired", 1, options={"auth": "token"},
        without=("openai",),
    ),
    Case(22, "502 and 20 KB of HTML, always", fails(20, range(2, 7), short), "gateway-page"),
    Case(23, "200 with an error body", fails(20, rule=tells("1302")), "error-in-200"),
    Case(24, "200 with a login page", fails(2), "login-page"),
    Case(25, "200 with nothing", fails(20), "empty-body"),
    Case(25, "200 with null", fails(20), "empty-body; text=null"),
    Case(
        26, "JSON error for a stream, code 1113", fails(2, range(1, 2), tells("1113")), "error-for-stream",
        deed="streamed",
    ),
    Case(27, "stream ends before its end", fails(2), "truncated", deed="streamed"),
    Case(28, "stream closed without terminator", fails(2), "cut", deed="streamed"),
    Case(28, "stream reset", fails(2), "cut; how=rst", deed="streamed"),
    Case(29, "no [DONE] after the finish reason", answers(2), "no-done", deed="streamed"),
    Case(30, "code 1301 inside the stream", fails(2, rule=tells("1301")), "filtered-midway", deed="streamed"),
    Case(30, "finish_reason sensitive", fails(2), "withdrawn", deed="streamed"),
    Case(31, "code 1302 as the first event, once", answers(10, 0, 2), "busy-event", 1, "streamed"),
    Case(32, "invalid UTF-8 in the stream", lambda got: "\ufffd" in (got.text or ""), "invalid-utf8", deed="streamed"),
    Case(33, "invalid JSON in the stream", fails(2), "invalid-json", deed="streamed"),
    Case(34, "[DONE] twice, a chunk between", answers(2), "double-done", deed="streamed"),
    Case(35, "open after [DONE]", answers(1), "open-after-done", deed="streamed"),
    Case(36, "BOM first", answers(2), "odd-framing; what=bom", deed="streamed"),
    Case(36, "lines end with CR and CRLF", answers(2), "odd-framing; what=ends", deed="streamed"),
    Case(36, "comments, id and retry", answers(2), "odd-framing; what=comments", deed="streamed"),
    Case(36, "JSON over several data lines", answers(2), "odd-framing; what=lines", deed="streamed"),
    Case(36, "U+2028, U+2029, U+0085 in JSON", answers(2), "odd-framing; what=unicode", deed="streamed"),
    Case(37, "gzip bomb, 0.26 to 256 MB", fails(8, rule=within(64)), "gzip-bomb", fresh=True),
    Case(37, "body of 100 MB", fails(8, rule=within(64)), "huge-body", fresh=True),
    Case(37, "line of 64 MiB in a stream", fails(8, rule=within(64)), "endless-line", deed="streamed", fresh=True),
    Case(38, "307 to another origin", fails(2, rule=lambda got: got.followed == 0), "redirect"),
    Case(39, "clock an hour off, 401 code 1003", fails(6, range(1, 3)), "clock-skew", options={"auth": "token"}),
    Case(
        40, "loop over a stream left early", lambda got: got.closed is not None and got.closed <= 1,
        deed="early_break", cause=lambda emu: emu.slow(between=0.2),
    ),
    Case(
        41, "90 tasks cancelled, then a call", lambda got: got.next is not None and got.next < 1,
        deed="cancelled", cause=lambda emu: emu.slow(first=0.25), only="async",
    ),
    Case(42, "8 forks x 20 calls after a call", lambda got: got.failed == 0, deed="forked", only="sync"),
    Case(
        43, "three event loops, one client", lambda got: got.failed == 0 and not got.stderr, deed="loops", only="async"
    ),
    Case(
        44, "100 calls, 10 at once allowed", lambda got: got.failed == 0 and got.requests == 100,
        deed="hundred", settings={"concurrency": {MODEL: 10}}, cause=lambda emu: emu.slow(first=0.3),
    ),
)  # fmt: skip


class Worker:
    """A client in its process, which is started anew when it does not come back."""

    def __init__(self, name: str, python: Path) -> None:
        self.name, self._python = name, python
        self._process: subprocess.Popen[str] | None = None
        self._noise: list[str] = []
        self.abilities: dict[str, Any] = {}

    def start(self) -> None:
        self.stop()
        command = [str(self._python), str(HERE / "reliability_clients.py"), self.name]
        bare = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=bare
        )
        self._noise = []
        threading.Thread(target=self._listen, args=(self._process.stderr, self._noise), daemon=True).start()
        self.abilities = json.loads(self._process.stdout.readline())  # type: ignore[union-attr] # it is a pipe

    @staticmethod
    def _listen(stderr: Any, noise: list[str]) -> None:
        noise.extend(stderr)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def do(self, order: dict[str, Any], patience: float = PATIENCE) -> tuple[dict[str, Any], int]:
        """What came of an order, and how many lines were written to standard error."""
        if self._process is None:
            self.start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        before = len(self._noise)
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], patience)
        line = process.stdout.readline() if ready else ""
        if not line:
            self.stop()
            what = "never" if not ready else "died"
            return {what: True, "seconds": PATIENCE, "megabytes": 0}, 0
        return json.loads(line), len(self._noise) - before


def suffer(name: str, python: Path, cases: list[Case]) -> dict[int, list[Outcome | None]]:
    """All cases of one client: position -> the outcomes, synchronous and asynchronous."""
    worker = Worker(name, python)
    found: dict[int, list[Outcome | None]] = {}
    for position, case in enumerate(cases):
        with Emulator(keep_alive=30, **case.settings) as emu:
            calm = calm_text(worker, case, emu)
            modes = {"both": (False, True), "sync": (False,), "async": (True,)}[case.only]
            found[position] = []
            if name in case.without:
                continue
            for asynchronous in modes:
                if asynchronous and (not worker.abilities["async"] or (name not in OURS and case.only == "both")):
                    continue
                if case.fresh:
                    worker.start()
                    calm_text(worker, case, emu)
                case.prepare(emu)
                found[position].append(observed(worker, case, emu, calm, asynchronous))
        sys.stderr.write(f"{name}: {case.number} {case.title}: {[told(one) for one in found[position] if one]}\n")
    worker.stop()
    return found


def calm_text(worker: Worker, case: Case, emu: Emulator) -> str:
    """What the answer is when nothing goes wrong; a new process imports its libraries meanwhile."""
    if not worker.abilities:
        worker.start()
    return str(worker.do(order_of(case, emu, emu.base_url, "whole", asynchronous=False), STARTS_WITHIN)[0].get("text"))


def order_of(case: Case, emu: Emulator, base: str, deed: str, *, asynchronous: bool) -> dict[str, Any]:
    options = {"timeout": TIMEOUT} | case.options
    return {"deed": deed, "async": asynchronous, "base": base, "key": emu.api_key, "model": MODEL, "options": options}


def observed(worker: Worker, case: Case, emu: Emulator, calm: str, asynchronous: bool) -> Outcome:
    said, noise = worker.do(order_of(case, emu, case.base(emu), case.deed, asynchronous=asynchronous))
    time.sleep(0.05)
    seen = [one for one in emu.requests if one.method == "POST"]
    followed = [one for one in seen if one.path == "/redirected"]
    closed = None
    if "left" in said and seen and seen[-1].ended_by == "client":
        closed = max(0.0, (seen[-1].ended or 0) - said["left"])
    refused = sum(one.code == "1302" and one.fault is None for one in seen)
    requests = len(seen) - len(followed) - (case.deed == "twice")
    return Outcome(said, requests, calm, sum(one.size for one in followed), closed, refused, noise)


def told(got: Outcome) -> str:
    """One outcome in a few words."""
    count = f"{got.requests} request{'s' * (got.requests != 1)}"
    after = f"{count}, {got.seconds:.1f} s"
    grown = f", +{got.megabytes:.0f} MB" if got.megabytes > 40 else ""
    match got.said:
        case {"never": True}:
            return f"no end in {PATIENCE:g} s, {count}"
        case {"died": True}:
            return "the process died"
        case {"error": str(kind), "module": module}:
            raw = "" if got.typed else f"raw {module}." if module != "builtins" else "raw "
            followed = f", {got.followed} bytes went elsewhere" if got.followed else ""
            page = f", message of {got.length} characters" if got.length > 600 else ""
            return f"{raw}{kind}, {after}{grown}{page}{followed}"
        case {"left": _}:
            return f"closed after {got.closed:.2f} s" if got.closed is not None else "not closed in 1.2 s"
        case {"next": seconds}:
            return f"next call {seconds:.2f} s"
        case {"failed": failed, "of": number}:
            noise = f", {got.stderr} lines on stderr" if got.stderr else ""
            much = f", {after}, {got.refused} refused" if number == 100 else ""
            return f"{number - failed} of {number}{much}{noise}"
        case {"text": text}:
            elsewhere = f", {got.followed} bytes went elsewhere" if got.followed else ""
            what = "ok" if got.whole else "ok, U+FFFD shown" if "\ufffd" in text else f"success: {text[:18]!r}"
            return f"{what}, {after}{grown}{elsewhere}"
        case other:
            raise TypeError(other)


def cell(case: Case, outcomes: list[Outcome]) -> tuple[str, bool | None]:
    """What stands in the table, and whether it is right."""
    if not outcomes:
        return "–", None
    marks = [case.right(one) for one in outcomes]
    kinds = {(one.said.get("error"), "text" in one.said, mark) for one, mark in zip(outcomes, marks, strict=True)}
    if len(kinds) == 1:
        return f"{'✓' if marks[0] else '✗'} {told(outcomes[0])}", all(marks)
    both = [f"{'✓' if mark else '✗'} {told(one)}" for one, mark in zip(outcomes, marks, strict=True)]
    return f"{both[0]}; async: {both[1]}", all(marks)


def built(name: str, requirement: str) -> Path:
    """The Python of a client's environment, which is made once under .contract/."""
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


def table(names: list[str], cases: list[Case], found: dict[str, dict[int, list[Any]]]) -> list[str]:
    lines = ["| # | fault | " + " | ".join(names) + " |", "|--:|---|" + "---|" * len(names)]
    right = dict.fromkeys(names, 0)
    judged = dict.fromkeys(names, 0)
    for position, case in enumerate(cases):
        row = []
        for name in names:
            text, good = cell(case, found[name][position])
            right[name] += bool(good)
            judged[name] += good is not None
            row.append(text.replace("|", "\\|"))
        lines.append(f"| {case.number} | {case.title} | " + " | ".join(row) + " |")
    sums = " | ".join(f"**{right[name]} of {judged[name]}**" for name in names)
    return [*lines, f"| | right | {sums} |"]


HEAD = """# What happens when things go wrong

Generated by `python benchmarks/reliability.py`; do not edit it here. Every client met the same faults, on loopback,
from [the emulator's fault lab](testing.md), with a timeout of 2 s where it can be set and all else as it comes.
Nothing here was measured against the platform itself.

{machine}

| client | versions |
|---|---|
{versions}

## The faults

A cell says what the application saw, how many requests reached the server, and after how long. ✓ and ✗ follow one
rule for all clients, in `benchmarks/reliability.py`: where the fault passes, the right thing is the whole answer;
where it does not, an error of the client's own (not one of the HTTP library or of the JSON parser under it, which an
application would have to know), soon, and without requests that cannot help. The rules are ours, and so is the choice
of faults: they are what `glmv` was built to stand, and others may want other things.

`glmv`, `ChatGLMV` and `GLMV` were run synchronously and asynchronously; one cell stands for both unless they differ.
"–" means that the client has no such call. "success" shows the beginning of a text that was handed over as the answer
and is not the one that was asked for. Only `glmv` has a deadline for a whole call and queues calls by itself. "+ MB"
is memory that a fresh process came to need beyond what a calm call had taken. A signed token (21, 39) is what the
platform's own clients send when they are told to keep one; openai has a plain key only.

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
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="print the tables, write nothing")
    given = parser.parse_args()
    cases = [case for case in CASES if not given.faults or case.number in given.faults]
    pythons = {name: Path(sys.executable) if name in OURS else built(name, OTHERS[name]) for name in given.clients}
    abused: list[str] = []
    if not given.dry:
        from reliability_abuse import abuses

        abused = abuses()  # before there are threads: it forks
    with ThreadPoolExecutor(given.at_once) as threads:
        running = {name: threads.submit(suffer, name, pythons[name], cases) for name in given.clients}
        found = {name: future.result() for name, future in running.items()}
    faults = table(given.clients, cases, found)
    sys.stdout.write("\n".join(faults) + "\n")
    if not given.dry:
        PAGE.write_text(page(given.clients, pythons, faults, abused), "utf-8")


if __name__ == "__main__":
    main()
