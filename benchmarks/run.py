"""`make bench`: what a call, a chunk and a picture cost beside bare httpx and the other clients.

Every subject is a process of its own; they are measured in turns (A B A B), so that a machine that slows down slows
all of them; the figures are medians. The table goes to docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parent / ".contract" / "bench"
PACKAGES = ("httpx", "openai", "zhipuai", "langchain-core", "langchain-openai", "langchain-community",
            "llama-index-core", "llama-index-llms-openai-like", "llama-index-llms-zhipuai", "pydantic")  # fmt: skip

# (subject, beside, at most): the targets, each a ratio of one run.
TARGETS = {
    "whole": [
        ("glmv", "httpx", 1.25), ("glmv", "openai", 0.55), ("glmv", "zhipuai", 0.55),
        ("ChatGLMV", "LangChain floor + httpx", 1.15), ("ChatGLMV", "ChatOpenAI", 0.55),
        ("GLMV", "LlamaIndex floor + httpx", 1.15), ("GLMV", "OpenAILike", 0.55),
    ],
    "stream": [
        ("glmv", "httpx", 1.5), ("ChatGLMV", "LangChain floor + glmv", 1.4), ("ChatGLMV", "ChatOpenAI", 0.25),
        ("ChatGLMV", "ChatZhipuAI", 0.45), ("GLMV", "OpenAILike", 0.3), ("GLMV", "LlamaIndex ZhipuAI", 0.15),
    ],
    "picture": [("glmv", "raw socket", 1.3)],
    "many": [("glmv", "httpx", 0.9)],
}  # fmt: skip
TITLES = {
    "whole": ("One unstreamed call", "CPU µs"),
    "stream": ("One streamed chunk", "CPU µs"),
    "first": ("From the server's first event to the first text", "ms"),
    "picture": ("A call with a 5 MB picture as base64", "CPU ms"),
    "many": ("500 asynchronous streams at once", "streams a second"),
}
SUBJECTS = {
    "whole": ("raw socket", "httpx", "glmv", "openai", "zhipuai", "LangChain floor + httpx", "ChatGLMV", "ChatOpenAI",
              "ChatZhipuAI", "LlamaIndex floor + httpx", "GLMV", "OpenAILike", "LlamaIndex ZhipuAI"),
    "stream": ("raw socket", "httpx", "glmv", "openai", "zhipuai", "LangChain floor + glmv", "ChatGLMV", "ChatOpenAI",
               "ChatZhipuAI", "LlamaIndex floor + httpx", "GLMV", "OpenAILike", "LlamaIndex ZhipuAI"),
    "first": ("httpx", "glmv", "openai", "zhipuai", "ChatGLMV", "ChatOpenAI", "ChatZhipuAI", "GLMV", "OpenAILike"),
    "picture": ("raw socket", "httpx", "glmv", "openai", "zhipuai"),
    "many": ("httpx", "glmv"),
}  # fmt: skip


class Runner:
    """A subject in its process."""

    def __init__(self, name: str, task: str, url: str) -> None:
        self.values: list[float] = []
        self.memory: list[float] = []
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "subjects.py"), name, task, url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.ready = self.process.stdout.readline().strip() == "ready"

    def measure(self) -> None:
        """Once more."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except BrokenPipeError:  # it failed in an earlier round: its row shows what it measured before, if anything
            return
        found = json.loads(self.process.stdout.readline() or "{}")
        if "value" in found:
            self.values.append(found["value"])
        if "memory" in found:
            self.memory.append(found["memory"])

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def measured(task: str, rounds: int, url: str) -> dict[str, Runner]:
    """All subjects of a task, in turns."""
    runners = {}
    for name in SUBJECTS[task]:
        runner = Runner(name, task, url)
        if runner.ready:
            runners[name] = runner
        else:
            print(f"  {name} cannot be measured here", file=sys.stderr)
            runner.close()
    for _ in range(rounds):
        for runner in runners.values():
            runner.measure()
    for runner in runners.values():
        runner.close()
    return runners


def table(task: str, runners: dict[str, Runner]) -> tuple[list[str], list[str]]:
    """A markdown table of one task, and what missed its target."""
    title, unit = TITLES[task]
    medians = {name: statistics.median(runner.values) for name, runner in runners.items() if runner.values}
    base = medians.get("httpx") or min(medians.values())
    memory = any(runner.memory for runner in runners.values())
    head, rule = f"| subject | {unit} | to httpx |", "|---|---:|---:|"
    if memory:
        head, rule = f"{head} memory |", f"{rule}---:|"
    lines = [f"## {title}", "", head, rule]
    for name, value in medians.items():
        shown = f"| {name} | {value:,.2f} | {value / base:.2f} |"
        if memory:
            unit_of = "KB a stream" if task == "many" else "x base64"
            shown += f" {max(runners[name].memory):.1f} {unit_of} |"  # memory once taken is seldom given back
        lines.append(shown)
    lines += ["", "| ratio | here | target |", "|---|---:|---:|"]
    missed = []
    for name, beside, bound in TARGETS.get(task, []):
        if name in medians and beside in medians:
            ratio = medians[name] / medians[beside]
            good = ratio >= bound if task == "many" else ratio <= bound
            sign = "≥" if task == "many" else "≤"
            lines.append(f"| {name} / {beside} | {ratio:.2f} | {sign} {bound}{'' if good else ' (missed)'} |")
            if not good:
                missed.append(f"{name} / {beside} is {ratio:.2f}, wanted {sign} {bound}")
    return [*lines, ""], missed


def prepared() -> None:
    """Run again in an environment that has the other clients."""
    if Path(sys.prefix).resolve() == ENVIRONMENT.resolve():
        return
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        uv = Path(sys.executable).with_name("uv")
        others = [name for name in PACKAGES if name not in ("httpx", "pydantic")]
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, ENVIRONMENT], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", python, "-e", f"{HERE.parent}[langchain,llama-index]"]
        subprocess.run([*install, *others, "sniffio", "pyjwt"], check=True)
    os.execv(python, [str(python), *sys.argv])


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--task", action="append", choices=list(TITLES))
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "performance.md")
    options = parser.parse_args()
    prepared()
    server = subprocess.Popen([sys.executable, str(HERE / "server.py")], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
    pages, missed = [], []
    try:
        for task in options.task or TITLES:
            print(f"measuring: {TITLES[task][0]}", file=sys.stderr)
            lines, misses = table(task, measured(task, options.rounds, url))
            print("\n".join(lines))
            pages += lines
            missed += misses
    finally:
        server.kill()
        server.wait()
    if not options.task:
        options.out.write_text("\n".join([*_head(options.rounds), *pages]), encoding="utf-8")
    for miss in missed:
        print(f"missed: {miss}", file=sys.stderr)


def _head(rounds: int) -> list[str]:
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
        f"subject is a process of its own; they are measured in turns, {rounds} rounds, medians. CPU time is that of",
        "the client's process. Absolute figures are of one small machine and drift; the ratios are what counts.",
        "",
        (
            f"Machine: {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
            f"Python {platform.python_version()}."
        ),
        f"Versions: {', '.join(versions)}.",
        "",
        '"Floor" is a chat model of that framework that returns a constant; "floor + httpx" runs both in turn.',
        "",
    ]


if __name__ == "__main__":
    main()
