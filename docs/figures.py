"""The figures of docs/compare.md, counted in the pages that the benchmarks write: `python docs/figures.py`."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parent
PAGE = DOCS / "compare.md"
HEADS = ("expectations met", "faults handled", "CPU time of a call", "CPU time of a chunk")
BEGIN, END = "<!-- figures: written by `python docs/figures.py` -->", "<!-- /figures -->"
Row = dict[str, str]

# A class -> the page that holds expectations of it, and the client that it uses where no row bears its own name.
CLASSES = {
    "ChatGLMV": ("compare-langchain.md", "ChatGLMV"),
    "ChatOpenAI": ("compare-langchain.md", "openai"),
    "ChatZhipuAI": ("compare-langchain.md", "ChatZhipuAI"),
    "GLMV": ("compare-llama-index.md", "GLMV"),
    "OpenAILike": ("compare-llama-index.md", "openai"),
    "LlamaIndex ZhipuAI": ("compare-llama-index.md", "zhipuai"),
}
COLUMN = {"GLMV": "GLMVMultiModal", "LlamaIndex ZhipuAI": "ZhipuAI"}


def tables(page: str) -> list[list[Row]]:
    """The tables of a page, each as rows by column."""
    found = []
    for lines in re.findall(r"(?:^\|.*\n)+", (DOCS / page).read_text("utf-8"), re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in lines.splitlines()]
        found.append([dict(zip(head, row, strict=False)) for row in rows])
    return found


def expectations(name: str) -> str:
    """ "31 / 34": the rows of the comparison that are met."""
    rows = [row[COLUMN.get(name, name)] for row in tables(CLASSES[name][0])[0]]
    asked = [cell for cell in rows if cell in {"yes", "**no**"}]
    return f"{asked.count('yes')} / {len(asked)}"


def faults(name: str) -> str:
    """ "50 / 52": the faults after which the application got what it should."""
    cells = [row.get(CLASSES[name][1], "") for table in tables("reliability.md") for row in table if "fault" in row]
    met = [cell for cell in cells if "✓" in cell or "✗" in cell]
    return f"{sum('✗' not in cell for cell in met)} / {len(met)}"


def cost(name: str, heading: str) -> str:
    """ "1.1 ms": CPU time, from the table of the page on speed under this heading."""
    _, _, section = (DOCS / "performance.md").read_text("utf-8").partition(f"## {heading}\n")
    found = re.search(rf"^\| {name} \| ([\d,.]+) ", section, re.MULTILINE)
    assert found is not None, f"performance.md has no row for {name} under {heading!r}"
    micros = float(found[1].replace(",", ""))
    return f"{micros / 1000:.1f} ms" if micros >= 1000 else f"{micros:.0f} µs"


def table() -> str:
    """The markdown table: a class a row."""
    lines = [f"| | {' | '.join(HEADS)} |", "|---|---:|---:|---:|---:|"]
    for name in CLASSES:
        shown = f"**{name}**" if "GLMV" in name else name
        calls = cost(name, "One unstreamed call"), cost(name, "One streamed chunk")
        lines.append(f"| {' | '.join((shown, expectations(name), faults(name), *calls))} |")
    return "\n".join(lines)


def rendered(text: str) -> str:
    """The page's text with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text("utf-8")), "utf-8")
