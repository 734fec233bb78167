"""`python -m glmv_emulator --port N`: an emulator on loopback until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from typing import get_args

from glmv_emulator import Emulator
from glmv_emulator.platform.settings import DOUBTS, Era


def main(arguments: list[str] | None = None) -> int:
    """Serve, say where, and that this is no real model."""
    parser = argparse.ArgumentParser(prog="python -m glmv_emulator", description="GLM-4V on loopback, emulated.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one (default)")
    parser.add_argument("--api-key", help="the key to accept; made anew for each run otherwise")
    parser.add_argument("--era", choices=get_args(Era), default="2026", help="whose answer shapes to use")
    parser.add_argument("--strict", action="append", default=[], choices=sorted(DOUBTS), metavar="DOUBT")
    parser.add_argument("--stubborn", action="store_true", help="answer prose first where JSON was asked for")
    parser.add_argument("--say", action="append", default=[], metavar="TEXT", help="the next answer; may be repeated")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds between two chunks of a stream")
    given = parser.parse_args(arguments)
    emulator = Emulator(
        port=given.port,
        api_key=given.api_key,
        era=given.era,
        strict=given.strict,
        stubborn=given.stubborn,
        pace=given.pace,
    )
    emulator.say(*given.say)
    try:
        with emulator:
            sys.stdout.write(
                "EMULATOR of GLM-4V: answers are measurements of the pictures, not a model's.\n"
                f"base url  {emulator.base_url}\n"
                f"proxy     {emulator.proxy_url}\n"
                f"api key   {emulator.api_key}\n"
                f"page      {emulator.origin}/\n"
                "Ctrl-C ends it.\n"
            )
            sys.stdout.flush()
            emulator.wait()
    except KeyboardInterrupt:
        return 0
    except (ImportError, OSError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
