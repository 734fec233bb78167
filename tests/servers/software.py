"""Starts third-party servers on loopback in front of an emulator: LiteLLM's proxy and nginx."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from glmv_emulator import Emulator

ROOT = Path(__file__).parents[2]
LITELLM = ROOT / ".venv-servers" / "bin" / "litellm"
STARTS_WITHIN = 150  # seconds; LiteLLM imports for 15 s on a free core
MASTER_KEY = "sk-Vh7c2qPz0mXw4rTn8bKd6yLf3gJs9aEu"  # LiteLLM refuses to start with a weak one
ENGINES = ROOT / ".venv-engines" / "bin"
SCRIPTS = Path(__file__).parent / "engine_scripts"
WRONG_KEY = f"{'0' * 32}.{'x' * 16}"


@dataclass(frozen=True)
class Software:
    """A running server.

    Attributes:
        version: as the server reports it.
        bases: route -> its base URL.
        model: the server's name of its model, if it is known only at run time.
    """

    version: str
    bases: Mapping[str, str]
    model: str = "glm-4.6v"


def free_port() -> int:
    """A free loopback port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def running(command: list[str], url: str, log: Path, **environment: str) -> Iterator[None]:
    """Run a server during the block; the block starts when `url` answers."""
    values = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=values | environment, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            _wait(process, url, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + STARTS_WITHIN
    with httpx.Client(trust_env=False, timeout=5) as http:
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if http.get(url).status_code < 500:
                    return
            time.sleep(0.1)
    raise RuntimeError(f"{process.args} does not answer at {url}: {log.read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def litellm(emu: Emulator, folder: Path) -> Iterator[Software]:
    """LiteLLM's proxy with a route by its provider `zai` and one by `openai`, both to the emulator's platform.

    Models: `zai/glm-4.6v`, for which LiteLLM allows the option `thinking`; `zai/as-it-is`, for which it does not;
    `zai/wrong-key` and `zai/unknown-model`; the same four with `openai/`; and `glmv/glm-4.6v`, by our own provider.
    """
    models = {"glm-4.6v": ("glm-4.6v", emu.api_key), "wrong-key": ("glm-4.6v", WRONG_KEY)}
    models |= {"unknown-model": ("glm-99v", emu.api_key), "as-it-is": ("glm-4.6v", emu.api_key)}
    config = {
        "model_list": [
            {
                "model_name": f"{route}/{name}",
                "litellm_params": {
                    "model": f"{route}/{model}",
                    "api_base": emu.base_url,
                    "api_key": key,
                    **({} if name == "as-it-is" else {"allowed_openai_params": ["thinking"]}),
                },
            }
            for route in ("zai", "openai")
            for name, (model, key) in models.items()
        ]
        + [
            {
                "model_name": "glmv/glm-4.6v",
                "litellm_params": {
                    "model": "glmv/glm-4.6v",
                    "api_base": emu.base_url,
                    "api_key": emu.api_key,
                    "allowed_openai_params": ["thinking"],
                },
            }
        ],
        "general_settings": {"master_key": MASTER_KEY},
        # A model that failed is not set aside, so that one test does not disturb the next.
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "litellm_settings": {
            "telemetry": False,
            "num_retries": 0,
            "custom_provider_map": [{"provider": "glmv", "custom_handler": "glmv_litellm.provider"}],
        },
    }
    path = folder / "litellm.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    with running(
        [str(LITELLM), "--config", str(path), "--host", "127.0.0.1", "--port", str(port)],
        f"{origin}/health/liveliness",
        folder / "litellm.log",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS="True",
        DISABLE_ADMIN_UI="True",
        NO_PROXY="*",
        PYTHONPATH=str(ROOT),  # where our provider is
    ):
        yield Software(litellm_version(), {"LiteLLM zai": f"{origin}/v1", "LiteLLM openai": f"{origin}/v1"})


def litellm_version() -> str:
    """The LiteLLM version installed for `make test-servers`."""
    code = "import importlib.metadata as found; print(found.version('litellm'))"
    return subprocess.check_output([LITELLM.with_name("python"), "-c", code], text=True).strip()


NGINX = """
daemon off;
{user}
worker_processes 1;
error_log stderr warn;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 64m;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  limit_conn_zone $server_port zone=calls:1m;
{servers}
}}
"""
SERVER = "  server {{ listen 127.0.0.1:{port}; {settings} location / {{ proxy_pass {origin}; }} }}"

# Route -> what its server block sets.
NGINX_ROUTES = {
    "nginx buffered": "proxy_buffering on;",
    "nginx unbuffered": "proxy_buffering off; proxy_request_buffering off;",
    "nginx gzip": "gzip on; gzip_types application/json text/event-stream; gzip_min_length 1; gzip_proxied any;",
    "nginx small": "client_max_body_size 4k;",
    "nginx impatient": "proxy_read_timeout 300ms;",
    "nginx gone": "",
    "nginx closing": "return 444;",
    "nginx limited": "limit_conn calls 1;",
    "nginx limited 429": "limit_conn calls 1; limit_conn_status 429;",
}


@contextlib.contextmanager
def nginx(emu: Emulator, folder: Path) -> Iterator[Software]:
    """nginx with one server block per route, all to the emulator; "nginx gone" has no upstream server."""
    ports = {route: free_port() for route in NGINX_ROUTES}
    nobody = f"http://127.0.0.1:{free_port()}"
    servers = "\n".join(
        SERVER.format(port=ports[route], settings=settings, origin=nobody if route == "nginx gone" else emu.origin)
        for route, settings in NGINX_ROUTES.items()
    )
    config = folder / "nginx.conf"
    # As root, workers would run as another user without access to the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(NGINX.format(folder=folder, servers=servers, user=user))
    program = nginx_program()
    assert program is not None
    origin = {route: f"http://127.0.0.1:{port}" for route, port in ports.items()}
    with running(
        [program, "-e", "stderr", "-p", str(folder), "-c", str(config)], origin["nginx buffered"], folder / "nginx.log"
    ):
        answer = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
        yield Software(
            answer.strip().rpartition("/")[2], {route: f"{base}/api/paas/v4" for route, base in origin.items()}
        )


def nginx_program() -> str | None:
    """The path of nginx; /usr/sbin is not always on PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def transformers(folder: Path) -> Iterator[Software]:
    """`transformers serve` with a Glm4v model of random weights."""
    alone = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "cache")}
    model = folder / "GLM-4.6V"
    made = subprocess.run(
        [ENGINES / "python", SCRIPTS / "tiny_glm4v.py", model], env=os.environ | alone, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr[-2000:]
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    command = [str(ENGINES / "transformers"), "serve", str(model), "--trust-remote-code", "--device", "cpu"]
    with running(
        [*command, "--host", "127.0.0.1", "--port", str(port)], f"{origin}/health", folder / "serve.log", **alone
    ):
        code = "import importlib.metadata as found; print(found.version('transformers'))"
        version = subprocess.check_output([ENGINES / "python", "-c", code], text=True).strip()
        yield Software(version, {"transformers": f"{origin}/v1"}, str(model))


def judged(engine: str, bodies: dict[str, Any]) -> dict[str, Any]:
    """Results of engine_scripts/classes.py for request bodies."""
    done = subprocess.run(
        [ENGINES / "python", SCRIPTS / "classes.py", engine],
        input=json.dumps(bodies),
        capture_output=True,
        text=True,
        timeout=STARTS_WITHIN,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    data: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return data
