"""The conversation of every program in this folder: a question about a photograph, a tool call, an answer."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from glmv_emulator import Emulator, Reply

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "pictures" / "coffee.jpg"
DATA_URI = f"data:image/jpeg;base64,{base64.b64encode(PHOTO.read_bytes()).decode()}"
QUESTION = "How many cups like this one are left in the shop? Use the tool count_stock."
FOUND = "7 left on the shelf"
ANSWER = "There are 7 cups like this one left."
MODEL = "glm-4.6v"
PROXY = ROOT / ".venv-frameworks" / "proxy"
PROXY_KEY = "sk-Vh7c2qPz0mXw4rTn8bKd6yLf3gJs9aEu"


def count_stock(item: str) -> str:
    """Counts what is left of an item in the shop.

    Args:
        item: what it is, in a word.
    """
    return f"{item}: {FOUND}"


@contextlib.contextmanager
def shop() -> Iterator[Emulator]:
    """The emulator with the tool call and the answer scripted."""
    with Emulator() as emu:
        emu.call("count_stock", item="cup")
        emu.say(ANSWER)
        yield emu


@contextlib.contextmanager
def play(*answers: str | Reply) -> Iterator[Emulator]:
    """The emulator with these answers, for a framework whose model calls tools in another way."""
    with Emulator() as emu:
        emu.say(*answers)
        yield emu


def report(emu: Emulator, answer: object, *packages: str) -> None:
    """Check the requests and the answer, and print the versions for the table.

    Args:
        emu: the emulator of the run.
        answer: what the framework returned.
        packages: the packages whose versions are in the table; "proxy" is LiteLLM's.
    """
    assert ANSWER in str(answer), answer
    assert not emu.unused, "the model was asked fewer times than expected"
    asked = [exchange for exchange in emu.requests if exchange.path.endswith("/chat/completions")]
    assert all(exchange.media for exchange in asked[:1]), "the picture did not arrive"
    assert FOUND in json.dumps(asked[-1].body), "the result of the tool did not arrive"
    versions = {"LiteLLM's proxy" if name == "proxy" else name: _version(name) for name in packages}
    print(json.dumps({"versions": versions}))


def _version(package: str) -> str:
    if package != "proxy":
        return version(package)
    code = "import importlib.metadata as found; print(found.version('litellm'))"
    return subprocess.check_output([PROXY / "bin" / "python", "-c", code], text=True).strip()


@contextlib.contextmanager
def proxy(emu: Emulator) -> Iterator[str]:
    """Run LiteLLM's proxy with our provider, for frameworks that need an OpenAI-compatible server -> its base URL."""
    params = {"model": f"glmv/{MODEL}", "api_base": emu.base_url, "api_key": emu.api_key}
    config = {
        "model_list": [{"model_name": MODEL, "litellm_params": params}],
        "litellm_settings": {
            "custom_provider_map": [{"provider": "glmv", "custom_handler": "glmv_litellm.provider"}],
            "drop_params": True,
            "telemetry": False,
        },
        "general_settings": {"master_key": PROXY_KEY},
    }
    with tempfile.TemporaryDirectory() as folder, socket.socket() as listener:
        path = Path(folder) / "config.yaml"
        path.write_text(json.dumps(config))  # JSON is YAML
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        command = [PROXY / "bin" / "litellm", "--config", path, "--host", "127.0.0.1"]
        log = Path(folder) / "log"
        with log.open("wb") as output:
            running = subprocess.Popen(
                [*command, "--port", str(port)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "DISABLE_ADMIN_UI": "True", "NO_PROXY": "*"},
            )
        try:
            _wait(running, f"http://127.0.0.1:{port}/health/liveliness", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            running.terminate()
            running.wait(20)


def _wait(running: subprocess.Popen[bytes], url: str, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 240  # LiteLLM imports for 15 s on a free core
    while time.monotonic() < end and running.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            if opener.open(url, timeout=5).status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"the proxy does not answer: {log.read_text(errors='replace')[-2000:]}")
