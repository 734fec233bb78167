"""`python examples/lake`: a folder of pictures becomes a table, and the table is asked in SQL.

Pictures of your own: `python examples/lake my/photos lake.parquet`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from draw import fill
from lake import QUESTIONS, job, query

from glmv_emulator import Emulator


def run(folder: Path, table: Path, **connection: Any) -> None:
    print(job(folder, **connection).write(table))
    for question, sql in QUESTIONS.items():
        print(f"\n{question}\n{query(table, sql)}")


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(arguments[0]) if arguments else fill(Path(place) / "pictures")
        table = Path(arguments[1] if len(arguments) > 1 else Path(place) / "lake.parquet")
        if os.environ.get("ZHIPUAI_API_KEY") or os.environ.get("ZAI_API_KEY"):
            run(folder, table)
            return
        print("EMULATOR: no key is set, so an emulator reads the pictures.\n")
        with Emulator() as emulator:
            run(folder, table, base_url=emulator.base_url, api_key=emulator.api_key)


if __name__ == "__main__":
    main(sys.argv[1:])
