"""Runs every notebook afresh, each in an empty folder: `make notebooks`.

It fails where a cell fails.

With `--write` the outputs are kept. Words as arguments choose notebooks by their names.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).parent
AT_ONCE = 2
SECONDS_A_CELL = 120
# A kernel warns of its own port, which is of this machine alone and open for a minute.
QUIET = ["--log-level=ERROR"]
# What of a notebook's metadata is the same on every machine.
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


async def run(path: Path, turn: asyncio.Semaphore, *, write: bool) -> bool:
    """Execute one notebook and tell how it went; returns whether all cells ran."""
    notebook = nbformat.read(path, as_version=4)
    async with turn:
        begun = time.perf_counter()
        # Who downloads a notebook has nothing beside it.
        folder = tempfile.TemporaryDirectory()
        client = NotebookClient(
            notebook,
            timeout=SECONDS_A_CELL,
            kernel_name="python3",
            resources={"metadata": {"path": folder.name}},
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=QUIET,
        )
        try:
            await client.async_execute()
        except CellExecutionError as failed:
            print(f"{path.name}: a cell failed\n{failed}")
            return False
        finally:
            folder.cleanup()
    print(f"{path.name}: {time.perf_counter() - begun:.1f} s", flush=True)
    if write:
        notebook.metadata = nbformat.from_dict(
            {"kernelspec": KERNEL, "language_info": {"name": "python"}}
        )
        nbformat.write(notebook, path)
    return True


async def main(arguments: list[str]) -> int:
    write = "--write" in arguments
    chosen = [word for word in arguments if not word.startswith("-")]
    paths = [
        path
        for path in sorted(HERE.glob("*.ipynb"))
        if not chosen or any(word in path.name for word in chosen)
    ]
    turn = asyncio.Semaphore(AT_ONCE)
    went = await asyncio.gather(*(run(path, turn, write=write) for path in paths))
    return 0 if went and all(went) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
