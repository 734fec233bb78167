"""`make bench`: cost of a call, a chunk and a picture, compared with bare httpx and other clients.

Every subject is a separate process; they are measured in turns (A B A B), so that a slower machine affects all of them.
A figure is the median of its rounds; a ratio is the median of the ratios of each round, because both figures of one
round were measured within seconds. The table goes to docs/performance.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import resource
import select
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parent / ".contract" / "bench"
PACKAGES = ("httpx", "openai", "zhipuai", "langchain-core", "langchain-openai", "langchain-community",
            "llama-index-core", "llama-index-llms-openai-like", "llama-index-llms-zhipuai", "pydantic")  # fmt: skip

# Another program writes the text between these markers.
BEGIN = "<!-- begin of event loop, written by `make bench-server` -->"
END = "<!-- end of event loop, written by `make bench-server` -->"

LIMIT = 120.0  # the longest time of one measurement in seconds
# (subject, beside, at most): the targets, each a ratio of one run.
TARGETS = {
    "whole": [
        ("glmv", "httpx", 1.25), ("glmv", "openai", 0.55), ("glmv", "zhipuai", 0.55),
        ("ChatGLMV", "LangChain floor + httpx", 1.3), ("ChatGLMV", "ChatOpenAI", 0.55),
        ("GLMV", "LlamaIndex floor + httpx", 1.3), ("GLMV", "OpenAILike", 0.55),
    ],
    "stream": [
        ("glmv", "httpx", 1.5), ("ChatGLMV", "LangChain floor + glmv", 1.4), ("ChatGLMV", "ChatOpenAI", 0.25),
        ("ChatGLMV", "ChatZhipuAI", 0.45), ("GLMV", "OpenAILike", 0.3), ("GLMV", "LlamaIndex ZhipuAI", 0.15),
    ],
    "picture": [("glmv", "raw socket", 1.3)],
    "video": [("glmv", "raw socket", 1.3)],
    # "What its new words cost plus one memory copy": as much, within what two runs differ by.
    "talk": [("glmv", "glmv without pictures + one copy and write", 1.1)],
    "calls": [("glmv, after 10,000 calls", "glmv, first calls", 1.1)],
    "bytes": [("glmv, 5 MB", "glmv, 1 MB", 1.1), ("glmv, 25 MB", "glmv, 5 MB", 1.1)],
    "many": [("glmv", "httpx", 0.9)],
    "import": [("glmv", "httpx, pydantic", 1.5),
               ("glmv, and a client made", "httpx, pydantic, one model declared", 1.5),
               ("langchain_glmv", "LangChain's chat models, httpx", 1.1),
               ("llama_index_glmv", "LlamaIndex's llms, httpx", 1.1)],
}  # fmt: skip
# (subject, beside, at most): by how much.
MORE = {"first": [("glmv", "httpx", 0.3), ("ChatGLMV", "httpx", 0.3), ("GLMV", "httpx", 0.3)]}
# The largest allowed memory.
MEMORY = {"picture": ("x base64", 2.2), "video": ("x base64", 2.2), "many": ("KB a stream", 60.0)}
IMPORTS = {
    "httpx, pydantic": "import httpx, pydantic",
    "httpx, pydantic, one model declared": (
        "import httpx, pydantic; type('M', (pydantic.BaseModel,), {'__annotations__': {'a': int}, '__module__': 'm'})"
    ),
    "glmv": "import glmv",
    "glmv, and a client made": "import glmv; glmv.Client('test-id.test-secret')",
    "LangChain's chat models, httpx": "import langchain_core.language_models.chat_models, httpx",
    "langchain_glmv": "from langchain_glmv import ChatGLMV",
    "langchain_glmv, and a model made": "from langchain_glmv import ChatGLMV; ChatGLMV()",
    "LlamaIndex's llms, httpx": "import llama_index.core.llms, httpx",
    "llama_index_glmv": "from llama_index_glmv import GLMV",
    "llama_index_glmv, and a model made": "from llama_index_glmv import GLMV; GLMV()",
}
PROFILES = (("glmv", "whole"), ("glmv", "stream"), ("ChatGLMV", "stream"), ("GLMV", "stream"))
TITLES = {
    "whole": ("One unstreamed call", "CPU µs"),
    "stream": ("One streamed chunk", "CPU µs"),
    "first": ("From the server's first event to the first text", "ms"),
    "picture": ("A call with a 5 MB picture as base64", "CPU ms"),
    "video": ("A call with a 20 MB video as base64", "CPU ms"),
    "talk": ("A turn of a 50-turn conversation about five pictures of 1 MB", "CPU ms"),
    "calls": ("Growth by calls: one unstreamed call", "CPU µs"),
    "bytes": ("Growth by bytes: a call with a picture", "CPU ms a MB"),
    "many": ("500 asynchronous streams at once", "streams a second"),
    "import": ("Imports, in a fresh interpreter", "CPU ms"),
}
SUBJECTS = {
    "whole": ("raw socket", "httpx", "glmv", "openai", "zhipuai", "LangChain floor + httpx", "ChatGLMV", "ChatOpenAI",
              "ChatZhipuAI", "LlamaIndex floor + httpx", "GLMV", "OpenAILike", "LlamaIndex ZhipuAI"),
    "stream": ("raw socket", "httpx", "glmv", "openai", "zhipuai", "LangChain floor + glmv", "ChatGLMV", "ChatOpenAI",
               "ChatZhipuAI", "LlamaIndex floor + httpx", "GLMV", "OpenAILike", "LlamaIndex ZhipuAI"),
    "first": ("httpx", "glmv", "openai", "zhipuai", "ChatGLMV", "ChatOpenAI", "ChatZhipuAI", "GLMV", "OpenAILike"),
    "picture": ("raw socket", "httpx", "glmv", "openai", "zhipuai"),
    "video": ("raw socket", "httpx", "glmv", "openai"),
    "talk": ("glmv without pictures", "glmv without pictures + one copy and write", "glmv"),
    "calls": ("glmv, first calls", "glmv, after 10,000 calls"),
    "bytes": ("glmv, 1 MB", "glmv, 5 MB", "glmv, 25 MB"),
    "many": ("httpx", "glmv"),
}  # fmt: skip
# Many rounds for subjects that take a tenth of a second and vary by a fifth, few rounds for subjects that take seconds.
ROUNDS = {"whole": 41, "stream": 15, "first": 5, "picture": 11, "video": 9, "talk": 9, "calls": 21, "bytes": 9,
          "many": 3, "import": 25}  # fmt: skip
CLEAR_CODE = "Clear code is preferred to a faster call: see decisions 0013 and 0014."


class Runner:
    """A subject in its process. If it fails or is silent for LIMIT seconds, its row says so."""

    def __init__(self, name: str, task: str, url: str) -> None:
        self.values: list[float] = []
        self.memory: list[float] = []
        self.failed = ""
        self.told = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process, see close()
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "subjects.py"), name, task, url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.told, text=True,
        )  # fmt: skip

    def answer(self) -> str:
        """The next line; "" at the end."""
        assert self.process.stdout is not None
        if select.select([self.process.stdout], [], [], LIMIT)[0] and (line := self.process.stdout.readline().strip()):
            return line
        self.told.seek(0)
        last = (self.told.read().strip().splitlines() or [f"no answer in {LIMIT:g} s"])[-1]
        self.failed = last[:100].replace("|", "/")
        return ""

    def measure(self) -> None:
        """Measure once."""
        if self.failed:
            return
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        result = json.loads(self.answer() or "{}")
        if "value" in result:
            self.values.append(result["value"])
        if "memory" in result:
            self.memory.append(result["memory"])

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self.told.close()


class Imports(Runner):
    """The time of a statement in a fresh interpreter."""

    def __init__(self, statement: str) -> None:
        self.values, self.memory, self.failed = [], [], ""
        self.statement = statement

    def measure(self) -> None:
        """Measure once, and subtract the time of a bare interpreter."""
        try:
            depth = len(self.values) * DEEPER % DEEPEST
            self.values.append((seconds(self.statement, depth) - seconds("pass", depth)) * 1000)
        except subprocess.CalledProcessError as error:
            self.failed = str(error)[:100]

    def close(self) -> None:
        """Do nothing: no process is left."""


# CPython keeps frames in chunks of 16 KiB (`_PyThreadState_BumpFramePointer`). Calls that cross the end of a chunk
# allocate and free one each time, which can add 100 ms to an import. So each round starts at another depth.
DEEPER, DEEPEST = 16, 200
AT_DEPTH = """
def at(depth):
    if depth:
        at(depth - 1)
    else:
        exec({statement!r}, {{}})
at({depth})
"""


def seconds(statement: str, depth: int = 0) -> float:
    """Processor time of a fresh interpreter that runs `statement` at this call depth."""
    # Byte code of installed packages is cached, even if this shell switches that off.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = AT_DEPTH.format(statement=statement, depth=depth)
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(task: str, rounds: int, url: str) -> dict[str, Runner]:
    """All subjects of a task, in this many rounds."""
    runners: dict[str, Runner] = {}
    try:
        if task == "import":
            runners |= {name: Imports(statement) for name, statement in IMPORTS.items()}
            for statement in IMPORTS.values():
                with contextlib.suppress(subprocess.CalledProcessError):
                    seconds(statement)  # writes the byte code
        else:
            for name in SUBJECTS[task]:
                runners[name] = Runner(name, task, url)
                # "ready"; one after the other, so that they do not warm up on one another's time
                runners[name].answer()
        for _ in range(rounds):
            for runner in runners.values():
                runner.measure()
    finally:
        for runner in runners.values():
            runner.close()
    return runners


def ratio(runner: Runner, beside: Runner) -> float:
    """The ratio of two subjects, round by round."""
    return statistics.median(ours / theirs for ours, theirs in zip(runner.values, beside.values, strict=False))


def table(task: str, runners: dict[str, Runner]) -> tuple[list[str], list[str]]:
    """Markdown tables of one task, and the figures that missed their target."""
    title, unit = TITLES[task]
    medians = {name: statistics.median(runner.values) for name, runner in runners.items() if runner.values}
    first = next(iter(medians), None)
    to = "httpx" if "httpx" in medians else first
    head, rule = f"| subject | {unit} | to {to} |", "|---|---:|---:|"
    if task in MEMORY:
        head, rule = f"{head} memory |", f"{rule}---:|"
    lines = [f"## {title}", "", head, rule]
    for name, runner in runners.items():
        if name not in medians or to is None:
            lines.append(f"| {name} | failed: {runner.failed} | |{' |' * (task in MEMORY)}")
            continue
        row = f"| {name} | {medians[name]:,.2f} | {ratio(runner, runners[to]):.2f} |"
        if task in MEMORY:
            # A process seldom returns memory to the system.
            row += f" {max(runner.memory):.1f} {MEMORY[task][0]} |"
        lines.append(row)
    checks = list(_checks(task, medians, runners))
    if checks:
        lines += ["", "| target | here | wanted | |", "|---|---:|---:|---|"]
        lines += [
            f"| {what} | {here} | {wanted} | {'met' if good else '**missed**'} |" for what, here, wanted, good in checks
        ]
    return [*lines, ""], [f"{what} is {here}, wanted {wanted}" for what, here, wanted, good in checks if not good]


def _checks(task: str, medians: dict[str, float], runners: dict[str, Runner]) -> Iterator[tuple[str, str, str, bool]]:
    """(subject, figure, target, whether it is met) for each target of a task."""
    for name, beside, bound in TARGETS.get(task, []):
        sign = "≥" if task == "many" else "≤"
        if name not in medians or beside not in medians:
            yield f"{name} / {beside}", "not measured", f"{sign} {bound}", False
            continue
        here = ratio(runners[name], runners[beside])
        yield f"{name} / {beside}", f"{here:.2f}", f"{sign} {bound}", here >= bound if sign == "≥" else here <= bound
    for name, beside, bound in MORE.get(task, []):
        if name in medians and beside in medians:
            more = medians[name] - medians[beside]
            yield f"{name}, more than {beside}", f"{more:.2f} ms", f"≤ {bound} ms", more <= bound
    if task in MEMORY and "glmv" in medians:
        unit, bound = MEMORY[task]
        most = max(runners["glmv"].memory)
        yield "glmv, memory", f"{most:.1f} {unit}", f"≤ {bound:g} {unit}", most <= bound


def profiles(url: str) -> list[str]:
    """Profile of glmv's subjects."""
    lines = [
        "## Where the time goes",
        "",
        "By `cProfile`, which makes calls of Python functions look more expensive than they are.",
    ]
    for name, task in PROFILES:
        runner = Runner(name, f"profile {task}", url)
        shares = json.loads(runner.answer() or "[]")
        lines += ["", f"{name}, {TITLES[task][0].lower()}:", "", "| where | of the time |", "|---|---:|"]
        lines += [f"| {where} | {share:.0%} |" for where, share in shares[:10]] or [f"| failed: {runner.failed} | |"]
        runner.close()
    return [*lines, ""]


def section(text: str) -> str:
    """The text between the markers of the page, including them; "" if there are no markers."""
    match = re.search(f"{re.escape(BEGIN)}.*?{re.escape(END)}", text, re.DOTALL)
    return match.group() if match else ""


def prepared(*more: str) -> None:
    """Run again in an environment with the other clients and the packages that some benchmarks need."""
    if Path(sys.prefix).resolve() == ENVIRONMENT.resolve():
        return
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        uv = Path(sys.executable).with_name("uv")
        others = [name for name in PACKAGES if name not in ("httpx", "pydantic")]
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, ENVIRONMENT], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", python, "-e", f"{HERE.parent}[langchain,llama-index]"]
        subprocess.run([*install, *others, "sniffio", "pyjwt"], check=True)
    if more:
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *more], check=True)
    os.execv(python, [str(python), *sys.argv])


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="rounds of every task; without it, each task has its own number")
    parser.add_argument("--task", action="append", choices=list(TITLES))
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "performance.md")
    options = parser.parse_args()
    if options.task != ["import"]:
        prepared()
    server = subprocess.Popen([sys.executable, str(HERE / "server.py")], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
    pages, missed = [], []
    try:
        for task in options.task or TITLES:
            print(f"measuring: {TITLES[task][0]}", file=sys.stderr)
            lines, misses = table(task, measured(task, options.rounds or ROUNDS[task], url))
            print("\n".join(lines))
            pages += lines
            missed += misses
        if not options.task:
            pages += profiles(url)
    finally:
        server.kill()
        server.wait()
    if not options.task:
        other_part = section(options.out.read_text("utf-8")) if options.out.exists() else ""  # of `make bench-server`
        options.out.write_text(
            "\n".join([*_head(missed), *pages, *([other_part, ""] if other_part else [])]), encoding="utf-8"
        )
    for miss in missed:
        print(f"missed: {miss}", file=sys.stderr)


def _head(missed: list[str]) -> list[str]:
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} (not installed)")
    return [
        "# What a call and a chunk cost",
        "",
        "Written by `make bench` (benchmarks/run.py). A server in its own process writes pre-rendered bytes; every",
        "subject is a process of its own; they are measured in turns; figures are medians of 3 to 41 rounds; a ratio",
        "is the median of the ratios of each round. CPU time is that of the client's process.",
        "Absolute figures are of one small machine and vary between runs; compare the ratios.",
        "",
        (
            f"Machine: {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
            f"Python {platform.python_version()}."
        ),
        f"Versions: {', '.join(versions)}.",
        "",
        f"Missed in this run: {'; '.join(missed)}. {CLEAR_CODE}" if missed else "All targets are met in this run.",
        "",
        '"Floor" is a chat model of that framework that returns a constant; "floor + httpx" runs both in turn.',
        "",
    ]


if __name__ == "__main__":
    main()
