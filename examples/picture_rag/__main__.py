"""Ten pictures, nine questions: `python examples/picture_rag`.

With ZHIPUAI_API_KEY or ZAI_API_KEY set, GLM-4V answers. Without a key the emulator on this machine does. It does not
weigh the question: it says all that it measures in the pictures that were found, and what it reads there when the extra
`eyes` is installed.
"""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from search import FOLDERS, QUESTIONS, engine_of, index_of

from glmv_emulator import Emulator
from llama_index_glmv import GLMV, GLMVEmbedding

WIDTH = 110  # letters of a line


@contextmanager
def place() -> Iterator[tuple[str, dict[str, Any]]]:
    """The server that answers, and its settings."""
    if os.environ.get("ZHIPUAI_API_KEY") or os.environ.get("ZAI_API_KEY"):
        yield "GLM-4V", {}
        return
    with Emulator() as emulator:
        yield "EMULATOR", {"api_key": emulator.api_key, "base_url": emulator.base_url}


def main() -> None:
    with place() as (who, settings), GLMV(**settings) as llm:
        begun = time.perf_counter()
        index = index_of(FOLDERS, llm, GLMVEmbedding(**settings))
        count = len(index.docstore.docs)
        print(f"[{who}] {count} pictures described and indexed in {time.perf_counter() - begun:.1f} s\n")
        engine = engine_of(index, llm)
        for question, _, _ in QUESTIONS:
            answer = engine.query(question)
            print(f"? {question}")
            print(textwrap.fill(f"[{who}] {answer}", WIDTH, initial_indent="  ", subsequent_indent="  "))
            for found in answer.source_nodes:
                print(f"  {found.score:.2f}  {found.metadata['file_name']}")
            print()


if __name__ == "__main__":
    main()
