"""Lines of code of each package, without blank lines, comments and docstrings, and how many we aim at: `make size`."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
PACKAGES = ("glmv", "glmv/cli", "langchain_glmv", "llama_index_glmv", "glmv_litellm", "glmv_batch", "glmv_emulator",
            "benchmarks", "tests")  # fmt: skip
AIMS = {"glmv": 5_200, "glmv_emulator": 5_800, "benchmarks": 2_000}


def lines(text: str) -> int:
    """The lines of a source that contain code."""
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                documentation.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - documentation)


def main() -> None:
    for name in PACKAGES:
        paths = [path for path in (ROOT / name).rglob("*.py") if name != "glmv" or "cli" not in path.parts]
        label = "glmv without cli" if name == "glmv" else name
        aim = f"   aim {AIMS[name]:,}" if name in AIMS else ""
        print(f"{label:<18}{sum(lines(path.read_text('utf-8')) for path in paths):>7,}{aim}")


if __name__ == "__main__":
    main()
