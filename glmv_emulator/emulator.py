"""`Emulator`: starts a server, scripts its answers and faults, and reports what clients did."""

from __future__ import annotations

import time
import traceback
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from glmv_emulator.answers import Answer, Reply, Script, Scripted, ToolCall
from glmv_emulator.answers.scripted import as_reply
from glmv_emulator.faults.schedule import PROFILES, Schedule
from glmv_emulator.faults.table import FAULTS
from glmv_emulator.faults.traps import TRAPS, Trap
from glmv_emulator.faults.verdicts import Report, judge
from glmv_emulator.http.hosts import LOOPBACK, WILDCARDS, Hosts, bracketed, loopback
from glmv_emulator.http.journal import Exchange, Journal
from glmv_emulator.platform import auth
from glmv_emulator.platform.models import find
from glmv_emulator.platform.settings import DOUBTS, LARGEST_BODY, Era, Settings, check_seconds

if TYPE_CHECKING:
    from glmv_emulator.platform.state import State
    from glmv_emulator.server.server import Server
    from glmv_emulator.server.upstream import HttpUpstream

SETTLES_WITHIN = 0.5
HIGHEST_PORT = 65535
HINT = 'the emulator needs starlette, uvicorn, Jinja2, Pillow and jsonschema: pip install "glmv[emulator]"'


class Emulator:
    """GLM-4V on 127.0.0.1, in a thread of this process: `with Emulator() as emu: client(emu.base_url, emu.api_key)`.

    Args:
        host: the address to listen on. With an address that is not a loopback address, such as 0.0.0.0 for all
            addresses of this machine, anybody on the network can see what was sent to the emulator, and anybody with
            its key can use it.
        port: the port to listen on; 0 selects a free port.
        api_key: the key to accept; None creates a key for each run. `/v1` accepts any key, unless `host` is not a
            loopback address or `upstream_key` is given.
        era: the year whose response shapes are used, "2024", "2025" or "2026" (docs/fidelity.md).
        strict: names of doubts (`Emulator.DOUBTS`). A doubt is a point on which the documents disagree; for each named
            doubt the emulator follows the narrower reading.
        seed: varies random faults, and details that no document specifies, such as the wrapping of JSON in an answer.
        stubborn: whether the first answer is prose if JSON is asked for in the prompt alone.
        pace: seconds between two chunks of a stream.
        concurrency: for each model, the number of requests that may run at the same time; further requests are refused
            with 1302.
        async_polls: number of polls for which an asynchronous task returns PROCESSING before its result.
        largest_body: maximum size of a request in bytes.
        keep_alive: seconds after which an idle connection is closed.
        clock_offset: seconds by which the emulator's clock is ahead.
        tls: paths of a certificate and its key; `base_url` is then https.
        faults: faults to cause, written "name; option=value". Without `chance`, each is caused once, in this order;
            with `chance`, they are caused at random.
        chance: probability of a fault in a request, 0 to 1; equal seeds give the same faults.
        profile: the name of a set of faults, chance and concurrency, such as "busy evening"; see `Emulator.PROFILES`.
        upstream: the base URL of an OpenAI-compatible server (Ollama, vLLM, llama.cpp), such as
            http://127.0.0.1:11434/v1. Its model answers instead of the default rules, in chats, tasks and batches; its
            answer is streamed as it arrives. Scripted answers and the function given to `answer` take precedence.
            Requests must first pass all checks of the platform. The server's errors become documented codes, and the
            message names the server. The server is not contacted before the first request. If a fault changes an
            answer, the whole answer is read before it is sent.
        upstream_model: the model to request from that server; None means the name in the request.
        upstream_key: the server's own key, sent as a bearer token. It does not appear in messages, journal or page.
        upstream_timeout: the longest time in seconds without data from that server.

    Raises:
        ValueError: a setting is invalid, such as an upstream that is not a URL, or an unknown model.
        TypeError: `strict` is a str, or the seed is not an integer.
    """

    DOUBTS = DOUBTS
    FAULTS = FAULTS
    PROFILES = PROFILES

    def __init__(
        self,
        *,
        host: str = LOOPBACK,
        port: int = 0,
        api_key: str | None = None,
        era: Era = "2026",
        strict: Collection[str] = (),
        seed: int = 0,
        stubborn: bool = False,
        pace: float = 0.0,
        concurrency: Mapping[str, int] | None = None,
        async_polls: int = 1,
        largest_body: int = LARGEST_BODY,
        keep_alive: float = 5.0,
        clock_offset: float = 0.0,
        tls: tuple[str, str] | None = None,
        faults: Sequence[str] = (),
        chance: float | None = None,
        profile: str | None = None,
        upstream: str | None = None,
        upstream_model: str | None = None,
        upstream_key: str | None = None,
        upstream_timeout: float = 300.0,
    ) -> None:
        self._server: Server | None = None
        key_of_upstream = None if upstream_key is None else auth.HiddenKey(upstream_key)
        del upstream_key  # a traceback with variables would print it
        if not host:
            raise ValueError(f"host must be an address of this machine such as {LOOPBACK}; got ''")
        if api_key is not None and not _is_key(api_key):
            raise ValueError(f"api_key must be text that a header can contain, or None; got {api_key!r}")
        if not _is_whole(port) or port > HIGHEST_PORT:
            raise ValueError(f"port must be an integer from 0 to {HIGHEST_PORT}; got {port!r}")
        for name, seconds in (("keep_alive", keep_alive), ("upstream_timeout", upstream_timeout)):
            check_seconds(name, seconds)
        self.api_key = api_key if api_key is not None else auth.new_key()
        self._schedule = Schedule(faults=faults, chance=chance, profile=profile, seed=seed)
        self._traps: list[Trap] = []
        limits = self._schedule.concurrency if concurrency is None else concurrency
        if unknown := [name for name in limits if find(str(name)) is None]:
            raise ValueError(f"concurrency names a model that the platform does not have: {unknown[0]!r}")
        self._settings = Settings(
            era=era,
            strict=_names(strict),
            seed=seed,
            stubborn=stubborn,
            pace=pace,
            concurrency={str(name).lower(): most for name, most in limits.items()},
            async_polls=async_polls,
            largest_body=largest_body,
            clock_offset=clock_offset,
            # With any key, the network could use the emulator, and any local program could use the upstream's key.
            any_key=loopback(host) and key_of_upstream is None,
        )
        self._address = host
        self._port, self._keep_alive, self._tls = port, keep_alive, tls
        self._script = Script()
        if upstream is None and (upstream_model is not None or key_of_upstream is not None):
            raise ValueError("upstream_model and upstream_key need an upstream server: set upstream to its base URL")
        self._upstream = (
            None if upstream is None else _http_upstream(upstream, upstream_model, key_of_upstream, upstream_timeout)
        )
        self._journal = Journal(self.api_key)
        self._state: State | None = None

    def __repr__(self) -> str:
        where = self.origin if self._server is not None else "not running"
        return f"<Emulator of GLM-4V, {where}>"

    def start(self) -> Self:
        """Start the server; returns when it answers requests."""
        if self._server is not None:
            raise RuntimeError("this emulator is already running")
        try:
            import uvicorn  # noqa: F401 - the server imports it in its thread, too late for the advice

            import glmv_emulator.answers.rules  # noqa: F401 - imported now rather than at the first request
            from glmv_emulator.platform.state import State
            from glmv_emulator.server.app import application
            from glmv_emulator.server.server import Server
        except ImportError as missing:
            raise ImportError(f"{HINT} ({missing})") from missing
        state = State(self._settings, self.api_key, self._script, self._journal, self._upstream)
        self._server = Server(
            lambda: application(state, self._schedule),
            self._address,
            self._port,
            keep_alive=self._keep_alive,
            tls=self._tls,
        )
        self._state = state
        state.hosting.hosts = Hosts(self._address, self._server.port)
        try:
            self._server.start()
        except BaseException:
            self._server = None
            raise
        return self

    def stop(self) -> None:
        """Close all connections and end the thread. The journal is kept."""
        self._close_traps()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if value is not None:
            # A client's exception shows only the status 500, so the function's exceptions are added here.
            for error in self._script.errors():
                value.add_note(f"The function given to answer() raised:\n{''.join(traceback.format_exception(error))}")

    @property
    def origin(self) -> str:
        """Scheme, host and port for programs on this machine."""
        name = bracketed(WILDCARDS.get(self._address, self._address))
        return f"{'https' if self._tls else 'http'}://{name}:{self._running.port}"

    @property
    def base_url(self) -> str:
        """The base URL of the platform's own API, which official clients use."""
        return f"{self.origin}/api/paas/v4"

    @property
    def proxy_url(self) -> str:
        """The base URL of `/v1`: the same models on an OpenAI-compatible API, which takes data URIs.

        It accepts any key, or only `api_key` if `host` is not a loopback address or `upstream_key` is given.
        """
        return f"{self.origin}/v1"

    @property
    def upstream(self) -> str | None:
        """The address of the upstream server, without its key; None if there is no upstream."""
        return None if self._upstream is None else self._upstream.name

    @property
    def requests(self) -> list[Exchange]:
        """The last 1000 requests, oldest first, without keys and pictures."""
        return self._journal.exchanges()

    def host(self, source: str | Path | bytes) -> str:
        """Serve a picture, video or file; returns its URL. Media at other URLs are not fetched, and so not measured."""
        origin = self.origin
        assert self._state is not None
        return self._state.hosting.add(origin, source)

    def say(self, *answers: str | Reply) -> None:
        """Give these answers to the next requests, one each, in the order in which the requests arrive.

        An answer is used up when its request is answered. If the request is refused, fails by a fault, or the client
        leaves before anything was sent, the answer goes back to its place in the queue. Each line of a batch takes one
        answer, in the order of the lines, and an asynchronous task takes one when it is submitted. `max_tokens`, stop
        words and the test words of the content filter also apply to scripted answers. But if a `Reply` sets a finish
        reason or token counts, they are sent unchanged, and with a finish reason the content filter does not apply.
        When the queue is empty, the function given to `answer` answers; without a function, the default rules answer
        (docs/testing.md).

        Args:
            answers: a str for a text, or a `Reply` for an answer with other fields.

        Raises:
            TypeError: an answer is neither a str nor a `Reply`.
        """
        for reply in [as_reply(answer) for answer in answers]:
            self._script.add(reply)

    def call(self, name: str, /, **arguments: Any) -> Scripted:
        """Add a tool call to the queue of answers (see `say`); `.also(name, ...)` adds another call to the same answer.

        Args:
            name: the tool's name; it need not be one of the request's tools.
            arguments: its arguments. For text together with a call, or arguments that are not valid JSON, pass
                `Reply(tool_calls=[ToolCall(name, arguments)])` to `say`.

        Raises:
            TypeError, ValueError: the name or the arguments cannot be sent.
        """
        return self._script.add(Reply(tool_calls=[ToolCall(name, arguments)]))

    def answer(self, function: Answer) -> None:
        """Answer every request by a function until `reset`. Answers of `say` and `call` take precedence.

        The function runs in a new thread for each request; `stop` does not wait for it. If it raises, the client gets
        HTTP 500 with code 500. The exception is in `errors`, is logged with its traceback by the logger
        `glmv_emulator`, and is added as a note to an exception that leaves the `with` block.

        Args:
            function: it takes an `Ask` and returns a `Reply` or a str. It can return `default_answer(ask)` for requests
                that the default rules should answer.

        Raises:
            TypeError: the function cannot be called with an `Ask`.
        """
        self._script.use(function)

    @property
    def unused(self) -> list[Reply]:
        """The answers of `say` and `call` that were not used; the pytest fixture fails a test if there are any."""
        return self._script.unused()

    @property
    def errors(self) -> list[BaseException]:
        """The exceptions, `SystemExit` included, that the function given to `answer` has raised since `reset`.

        If the function calls `pytest.fail()` or `pytest.skip()`, a test with the pytest fixture fails or is skipped.
        """
        return self._script.errors()

    def inject(self, name: str, times: int | None = 1, path: str | None = None, **options: Any) -> None:
        """Cause a fault in the next requests to which it applies.

        Args:
            name: a name of `Emulator.FAULTS` (docs/testing.md), or an error code or HTTP status to refuse with, such as
                `code-1302` or `status-503`.
            times: the number of requests; None means all until `reset`.
            path: a part of the path of these requests; None means any POST.
            options: options of the fault.

        Raises:
            ValueError: the fault or an option does not exist, or no response can cause the fault; the message then
                says how to cause it.
        """
        self._schedule.add(name, times, path, options)

    def fail(
        self,
        times: int | None = 1,
        code: int | str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Refuse the next requests with a documented code (1302 by default), or with an HTTP status only.

        `retry_after` is in seconds. `status` may differ from the documented status of `code`.
        """
        options: dict[str, Any] = {} if retry_after is None else {"retry_after": f"{retry_after:g}"}
        options |= {} if status is None else {"status": status}
        if code is None and status is not None:
            self.inject("bare-status", times, **options)
        else:
            self.inject("refusal", times, code=code or 1302, **options)

    def stall(self, after: int | None = None, times: int | None = 1) -> None:
        """Pause the next response until `release`, or until the client leaves.

        `after` is the number of chunks of a stream that are sent first; None sends nothing, not even the headers.
        """
        if after is None:
            self.inject("stall-before-headers", times)
        else:
            self.inject("stall", times, after=after)

    def slow(self, first: float = 0.0, between: float = 0.0, times: int | None = None) -> None:
        """Wait `first` seconds before a response and `between` seconds between its chunks, until `reset`.

        It can be combined with another fault.
        """
        self.inject("slow", times, first=first, between=between)

    def release(self) -> None:
        """Continue all responses that a fault has paused."""

        async def released() -> None:
            self._schedule.release()

        self._call(released)

    def refuse(self) -> None:
        """Refuse new connections and close the open ones, like a server that is down, until `reset`."""
        server = self._running
        self._call(server.stop_listening)
        self._call(server.close_connections)

    def trap(self, name: str) -> str:
        """Open a port whose connections fail; returns its base URL.

        `name` says how they fail: "blackhole", "tls-reset" or "tls-self-signed".
        """
        if name not in TRAPS:
            raise ValueError(f"there is no trap {name!r}; the traps are {', '.join(TRAPS)}")
        self._traps.append(TRAPS[name]())
        return self._traps[-1].base_url

    def reset(self) -> None:
        """Remove the script, the journal, the traps, and all faults except those given to the constructor.

        Paused responses continue, and new connections are accepted again. Hosted media, files and batches are kept.
        """
        self._schedule.reset()
        self._script.reset()
        self._close_traps()
        if self._server is not None:
            self.release()
            self._call(self._server.listen)
        if self._state is not None:
            self._state.widest.clear()
            self._state.records.clear()
        self._journal.clear()

    def report(self, errors: int = 0) -> Report:
        """The client's calls, and verdicts on its behaviour.

        Args:
            errors: the number of failed calls that your application noticed. Each failed call beyond this number gets a
                verdict, because the application took it for a success.
        """
        # The end of a connection is noticed a moment after it is closed.
        patience = time.monotonic() + SETTLES_WITHIN
        while any(one.ended is None for one in self._journal.exchanges()) and time.monotonic() < patience:
            time.sleep(0.01)
        return judge(self._journal.exchanges(), self._settings.concurrency, errors)

    @property
    def connections(self) -> int:
        """The number of open connections."""
        count: int = self._call(self._running.connections)
        return count

    def _close_traps(self) -> None:
        while self._traps:
            self._traps.pop().close()

    def wait(self) -> None:
        """Wait until the server ends."""
        self._running.join()

    @property
    def _running(self) -> Server:
        if self._server is None:
            raise RuntimeError("the emulator is not running: use it in a `with` block, or call start()")
        return self._server

    def _call(self, work: Any) -> Any:
        return self._running.call(work)


def _names(strict: Collection[str]) -> frozenset[str]:
    if isinstance(strict, str):
        raise TypeError(f"strict must be a set of names such as {{{strict!r}}}; got a str")
    return frozenset(strict)


def _is_key(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and value.strip() == value != ""


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _http_upstream(base_url: str, model: str | None, key: auth.HiddenKey | None, timeout: float) -> HttpUpstream:
    # Imported here, because it loads httpx, which the emulator needs only for an upstream.
    try:
        from glmv_emulator.server.upstream import HttpUpstream
    except ImportError as missing:
        raise ImportError(f"{HINT} ({missing})") from missing
    return HttpUpstream(base_url, model, key, timeout)


Emulator.__module__ = "glmv_emulator"
