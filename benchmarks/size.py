"""Lines of each package, all of them and those with code: no blanks, comments or docstrings. `make size`."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def lines(text: str) -> tuple[int, int]:
    """Source of a file -> its lines, and those of them that hold code."""
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                documentation.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SILENT:
            code.update(range(token.start[0], token.end[0] + 1))
    return text.count("\n"), len(code - documentation)


def main() -> None:
    print(f"{'':<22}{'files':>6}{'lines':>8}{'code':>8}")
    for name in ("glmv", "glmv/cli", "langchain_glmv", "llama_index_glmv", "glmv_batch", "glmv_emulator", "tests"):
        paths = [path for path in (ROOT / name).rglob("*.py") if name != "glmv" or "cli" not in path.parts]
        counted = [lines(path.read_text("utf-8")) for path in paths]
        every, code = (sum(column) for column in zip(*counted, strict=True))
        label = "glmv (without cli)" if name == "glmv" else name
        print(f"{label:<22}{len(paths):>6}{every:>8}{code:>8}")


if __name__ == "__main__":
    main()
