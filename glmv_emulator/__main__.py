"""`python -m glmv_emulator --port N`: run an emulator until Ctrl-C."""

from __future__ import annotations

import sys

from glmv_emulator.options import running
from glmv_emulator.platform.settings import answered_by
from glmv_emulator.shells import assignments


def main(arguments: list[str] | None = None) -> int:
    """Run the server, and print its addresses and that it is not a real model."""
    try:
        with running(arguments, "python -m glmv_emulator") as emulator:
            sys.stdout.write(
                f"EMULATOR of GLM-4V: {answered_by(emulator.upstream)}.\n"
                f"base url  {emulator.base_url}\n"
                f"proxy     {emulator.proxy_url}\n"
                f"api key   {emulator.api_key}\n"
                f"page      {emulator.origin}/\n"
                "Ctrl-C ends it.\n\n"
                f"{assignments({'ZHIPUAI_BASE_URL': emulator.base_url, 'ZHIPUAI_API_KEY': emulator.api_key})}\n"
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
