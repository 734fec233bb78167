"""Runs each framework in a separate environment: `make test-frameworks`.

WRITE=1 writes the table of docs/frameworks.md. Arguments are names of frameworks to run; the other rows are kept. A
program (ask_NAME.py) starts an emulator, asks, checks what was sent and answered, and prints the versions as JSON in
its last line.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venv-frameworks"
UV = Path(sys.executable).with_name("uv")
PAGE = ROOT / "docs" / "frameworks.md"
BEGIN, END = (f"<!-- {word} of frameworks, written by `make test-frameworks WRITE=1` -->" for word in ("begin", "end"))
HEAD = ["| framework | connects by | versions | a picture, and a tool call in between |", "|---|---|---|---|"]
INSTALLS_WITHIN, RUNS_WITHIN = 900, 300  # seconds


@dataclass(frozen=True)
class Framework:
    """A framework, as it is shown and installed.

    Attributes:
        title: its name, as its users write it.
        connects_by: how it uses our model, in Markdown.
        packages: the packages that are installed in addition to glmv.
        proxied: whether it uses LiteLLM's proxy instead of the library.
    """

    title: str
    connects_by: str
    packages: Sequence[str]
    proxied: bool = False


FRAMEWORKS = {
    "crewai": Framework("CrewAI", "`LLM`, with a subclass for pictures", ["crewai[file-processing]"]),
    "smolagents": Framework("smolagents", "`LiteLLMModel`", ["smolagents[litellm]"]),
    "dspy": Framework("DSPy", "`dspy.LM`", ["dspy"]),
    "openai_agents": Framework("openai-agents", "`LitellmModel`", ["openai-agents[litellm]"]),
    "agno": Framework("Agno", "`LiteLLM`", ["agno"]),
    "haystack": Framework("Haystack", "`LiteLLMChatGenerator`", ["haystack-ai", "litellm-haystack"]),
    "browser_use": Framework("browser-use", "`ChatLiteLLM`", ["browser-use"]),
    "pydantic_ai": Framework("pydantic-ai", "LiteLLM's proxy", ["pydantic-ai-slim[openai]"], proxied=True),
    "autogen": Framework("AutoGen", "LiteLLM's proxy", ["autogen-ext[openai]", "autogen-agentchat"], proxied=True),
}
PROXY = ["litellm[proxy]>=1.91.5"]


def installed(name: str, extras: str, packages: Sequence[str]) -> str:
    """Create an environment. Returns "" if that succeeded, else the last line of the error."""
    folder = ENVIRONMENTS / name
    commands: list[list[str | Path]] = [[UV, "pip", "install", "--quiet", "--python", folder / "bin" / "python"]]
    commands[0] += ["-e", f"{ROOT}[{extras}]", *packages]
    if not (folder / "bin" / "python").exists():
        commands.insert(0, [UV, "venv", "--quiet", "--python", sys.executable, folder])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLS_WITHIN, check=False)
        if done.returncode:
            return _last_line(done.stderr)
    return ""


def row(name: str, framework: Framework) -> tuple[str, bool]:
    """Install and run one framework. Returns its row of the table, and whether everything succeeded."""
    extras = "emulator,images" if framework.proxied else "litellm,emulator,images"
    problem = installed(name, extras, framework.packages)
    if problem:
        return _line(framework, "", f"does not install: {problem}"), False
    program = [ENVIRONMENTS / name / "bin" / "python", Path(__file__).with_name(f"ask_{name}.py")]
    # Nothing is fetched from elsewhere, and nothing goes through a proxy of this machine.
    settings = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "*", "PYTHONWARNINGS": "ignore"}
    try:
        done = subprocess.run(
            program, capture_output=True, text=True, timeout=RUNS_WITHIN, check=False, env=settings, cwd=ENVIRONMENTS
        )
    except subprocess.TimeoutExpired:
        return _line(framework, "", f"no: it took more than {RUNS_WITHIN} s"), False
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
        return _line(framework, "", f"no: {_last_line(done.stderr)}"), False
    # Not the last line: CrewAI writes what it does from another thread, also after the report.
    report = next(line for line in reversed(done.stdout.splitlines()) if line.startswith('{"versions"'))
    versions = json.loads(report)["versions"]
    return _line(framework, ", ".join(f"{package} {number}" for package, number in versions.items()), "yes"), True


def _line(framework: Framework, versions: str, outcome: str) -> str:
    return f"| {framework.title} | {framework.connects_by} | {versions} | {outcome} |"


def _last_line(text: str) -> str:
    line = next((line for line in reversed(text.splitlines()) if line.strip()), "no word on it")
    return re.sub(r"\s+", " ", line).replace("|", "/").strip()[:200]


def write(rows: dict[str, str]) -> None:
    """Write rows into the table of the page; the rows of frameworks that did not run are kept."""
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    old, end, after = rest.partition(END)
    assert end, f"{PAGE} has no marks"
    kept = {line.split("|")[1].strip(): line for line in old.splitlines() if line.startswith("| ")}
    lines = [rows.get(name) or kept.get(framework.title, "") for name, framework in FRAMEWORKS.items()]
    table = "\n".join([*HEAD, *filter(None, lines)])
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", "utf-8")


def main() -> int:
    """Run the selected frameworks. Returns 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FRAMEWORKS))
    parser.add_argument("--write", action="store_true", help="write the table of docs/frameworks.md")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - FRAMEWORKS.keys()
    if unknown:
        parser.error(f"no such framework: {', '.join(sorted(unknown))}")
    chosen = {name: FRAMEWORKS[name] for name in FRAMEWORKS if not arguments.names or name in arguments.names}
    if any(framework.proxied for framework in chosen.values()):
        problem = installed("proxy", "schema", PROXY)
        assert not problem, problem
    rows, failed = {}, []
    for name, framework in chosen.items():
        rows[name], passed = row(name, framework)
        print(rows[name], flush=True)
        if not passed:
            failed.append(framework.title)
    if arguments.write:
        write(rows)
    print(f"{len(rows) - len(failed)} passed, {len(failed)} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
