"""The Python object that starts, steers and questions an emulator."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from glmv_emulator import _auth
from glmv_emulator._journal import Exchange, Journal
from glmv_emulator._settings import DOUBTS, LARGEST_BODY, Era, Settings

if TYPE_CHECKING:
    from glmv_emulator._server import Server
    from glmv_emulator._world import Mind, World

HINT = 'the emulator needs starlette, uvicorn and Pillow: pip install "glmv[emulator]"'


class Emulator:
    """GLM-4V on 127.0.0.1, in a thread of this process: `with Emulator() as emu: client(emu.base_url, emu.api_key)`.

    Args:
        port: the port to listen on; 0 takes a free one.
        api_key: the key that is accepted; one is made for each run otherwise.
        era: whose shapes the answers have, "2024", "2025" or "2026" (docs/fidelity.md).
        strict: names of doubts for which the narrower reading of the documents holds, see `Emulator.DOUBTS`.
        strict_base64: the same as `strict={"base64"}`.
        seed: varies what is left open, such as the wrapping of JSON in an answer.
        stubborn: answers prose first where JSON was pleaded for.
        pace: seconds between two chunks of a stream.
        concurrency: model -> how many requests may run at once; one more is refused with 1302.
        async_polls: how often an asynchronous task answers PROCESSING before its result.
        largest_body: bytes that a request may have.
        keep_alive: seconds after which an idle connection is closed.
        clock_offset: seconds by which the emulator's clock is ahead.
        tls: paths of a certificate and its key; `base_url` is https then.
        mind: a function from `Ask` to `Reply` that answers in place of the emulator's own rules.
    """

    DOUBTS = DOUBTS

    def __init__(
        self,
        *,
        port: int = 0,
        api_key: str | None = None,
        era: Era = "2026",
        strict: Collection[str] = (),
        strict_base64: bool = False,
        seed: int = 0,
        stubborn: bool = False,
        pace: float = 0.0,
        concurrency: Mapping[str, int] | None = None,
        async_polls: int = 1,
        largest_body: int = LARGEST_BODY,
        keep_alive: float = 5.0,
        clock_offset: float = 0.0,
        tls: tuple[str, str] | None = None,
        mind: Mind | None = None,
    ) -> None:
        self.api_key = api_key if api_key is not None else _auth.new_key()
        self._settings = Settings(
            era=era,
            strict=frozenset(strict) | ({"base64"} if strict_base64 else set()),
            seed=seed,
            stubborn=stubborn,
            pace=pace,
            concurrency={name.lower(): most for name, most in (concurrency or {}).items()},
            async_polls=async_polls,
            largest_body=largest_body,
            clock_offset=clock_offset,
        )
        self._port, self._keep_alive, self._tls, self._mind = port, keep_alive, tls, mind
        self._journal = Journal(self.api_key)
        self._server: Server | None = None
        self._world: World | None = None

    def __repr__(self) -> str:
        where = self.origin if self._server is not None else "not running"
        return f"<Emulator of GLM-4V, {where}>"

    def start(self) -> Self:
        """Listen; returns when requests are answered."""
        if self._server is not None:
            raise RuntimeError("this emulator is running")
        try:
            from glmv_emulator._app import application
            from glmv_emulator._mind import answer
            from glmv_emulator._server import Server
            from glmv_emulator._world import World
        except ImportError as missing:
            raise ImportError(f"{HINT} ({missing})") from missing
        world = World(self._settings, self.api_key, self._mind or answer, self._journal)
        self._server = Server(lambda: application(world), self._port, keep_alive=self._keep_alive, tls=self._tls)
        self._world = world
        port = self._server.port
        world.hosting.hosts = frozenset(f"{host}:{port}" for host in ("127.0.0.1", "localhost"))
        self._server.start()
        return self

    def stop(self) -> None:
        """Close every connection and end the thread. The journal stays."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._running.port}"

    @property
    def base_url(self) -> str:
        """The base of the platform's own API, as official clients take it."""
        return f"{self.origin}/api/paas/v4"

    @property
    def proxy_url(self) -> str:
        """The base of the same models behind an OpenAI-compatible proxy: data URIs, any key."""
        return f"{self.origin}/v1"

    @property
    def requests(self) -> list[Exchange]:
        """What reached the emulator so far, oldest first, without keys and pictures; the last 1000."""
        return self._journal.exchanges()

    def host(self, source: str | Path | bytes) -> str:
        """Serve a picture, video or file from here; returns its URL, the only kind of URL that is looked at."""
        origin = self.origin
        assert self._world is not None
        return self._world.hosting.add(origin, source)

    def wait(self) -> None:
        """Serve until the process ends."""
        self._running.join()

    @property
    def _running(self) -> Server:
        if self._server is None:
            raise RuntimeError("the emulator is not running: use it in a `with` block, or call start()")
        return self._server

    def _call(self, work: Any) -> Any:
        return self._running.call(work)
