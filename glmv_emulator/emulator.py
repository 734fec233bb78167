"""The Python object that starts, steers and questions an emulator."""

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
        host: the address to listen on. On any other than a loopback address, such as 0.0.0.0 for all of this machine's,
            anybody on the network can see what was sent to the emulator, and use it with its key.
        port: the port to listen on; 0 takes a free one.
        api_key: the key that is accepted; one is made for each run otherwise. `/v1` takes any key, unless the network
            reaches it or `upstream_key` is given.
        era: whose shapes the answers have, "2024", "2025" or "2026" (docs/fidelity.md).
        strict: names of doubts for which the narrower reading of the documents holds, see `Emulator.DOUBTS`.
        seed: varies what is left open, such as the wrapping of JSON in an answer.
        stubborn: answers prose first where JSON was pleaded for.
        pace: seconds between two chunks of a stream.
        concurrency: model -> how many requests may run at once; one more is refused with 1302.
        async_polls: how often an asynchronous task answers PROCESSING before its result.
        largest_body: bytes that a request may have.
        keep_alive: seconds after which an idle connection is closed.
        clock_offset: seconds by which the emulator's clock is ahead.
        tls: paths of a certificate and its key; `base_url` is https then.
        faults: what goes wrong, as "name; knob=value": once each in this order, or by chance.
        chance: how likely one of the faults befalls a request, 0 to 1; drawn from the seed.
        profile: a kind of day, such as "busy evening": faults, chance and concurrency in one; see `Emulator.PROFILES`.
        upstream: the base URL of an OpenAI-compatible server (Ollama, vLLM, llama.cpp), as http://127.0.0.1:11434/v1,
            whose model answers in place of the default rules: chats, tasks and batches, streamed as its answer arrives.
            Scripted answers and a function of `answer` come first. A request passes all checks of the platform first.
            The server's errors become documented codes whose messages name it. It is asked when the first request
            comes; an answer that a fault is to change is whole before it is sent.
        upstream_model: the model to ask that server for; None asks for the name in the request.
        upstream_key: the server's own key, sent as a bearer token. It is in no message, journal or page.
        upstream_timeout: seconds for which that server may be silent.

    Raises:
        ValueError: for a setting that is none, such as an upstream that is no address, or a model that is unknown.
        TypeError: for a text as `strict`, or a seed that is no whole number.
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
        if not host:
            raise ValueError(f"host is an address of this machine such as {LOOPBACK}, not ''")
        if api_key is not None and not _is_key(api_key):
            raise ValueError(f"api_key is any text that a header can hold, but not {api_key!r}; None makes one")
        if not _is_whole(port) or port > HIGHEST_PORT:
            raise ValueError(f"port is a number from 0 to {HIGHEST_PORT}, not {port!r}")
        for name, seconds in (("keep_alive", keep_alive), ("upstream_timeout", upstream_timeout)):
            check_seconds(name, seconds)
        self.api_key = api_key if api_key is not None else auth.new_key()
        self._schedule = Schedule(faults=faults, chance=chance, profile=profile, seed=seed)
        self._traps: list[Trap] = []
        limits = self._schedule.concurrency if concurrency is None else concurrency
        if unknown := [name for name in limits if find(str(name)) is None]:
            raise ValueError(f"concurrency names no model of the platform's: {unknown[0]!r}")
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
            # Any key would let the network in, and let any program here spend on the upstream's key.
            any_key=loopback(host) and upstream_key is None,
        )
        self._address = host
        self._port, self._keep_alive, self._tls = port, keep_alive, tls
        self._script = Script()
        if upstream is None and (upstream_model is not None or upstream_key is not None):
            raise ValueError("upstream_model and upstream_key are for a server: give upstream, its base URL")
        self._upstream = None if upstream is None else _asked(upstream, upstream_model, upstream_key, upstream_timeout)
        self._journal = Journal(self.api_key)
        self._server: Server | None = None
        self._state: State | None = None

    def __repr__(self) -> str:
        where = self.origin if self._server is not None else "not running"
        return f"<Emulator of GLM-4V, {where}>"

    def start(self) -> Self:
        """Listen; returns when requests are answered."""
        if self._server is not None:
            raise RuntimeError("this emulator is running")
        try:
            import glmv_emulator.answers.rules  # noqa: F401 - now, and not when the first request has come
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
        """Close every connection and end the thread. The journal stays."""
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
            # A client shows no more than the 500 that it got.
            for error in self._script.errors():
                value.add_note(f"The function given to answer() raised:\n{''.join(traceback.format_exception(error))}")

    @property
    def origin(self) -> str:
        """Scheme, host and port, as programs on this machine reach it."""
        name = bracketed(WILDCARDS.get(self._address, self._address))
        return f"{'https' if self._tls else 'http'}://{name}:{self._running.port}"

    @property
    def base_url(self) -> str:
        """The base of the platform's own API, as official clients take it."""
        return f"{self.origin}/api/paas/v4"

    @property
    def proxy_url(self) -> str:
        """The base of the same models behind an OpenAI-compatible proxy: data URIs, any key.

        The key must be `api_key` where `host` is no loopback address, or `upstream_key` is given.
        """
        return f"{self.origin}/v1"

    @property
    def upstream(self) -> str | None:
        """The address of the server that answers, without its key; None where the emulator answers itself."""
        return None if self._upstream is None else self._upstream.name

    @property
    def requests(self) -> list[Exchange]:
        """What reached the emulator so far, oldest first, without keys and pictures; the last 1000."""
        return self._journal.exchanges()

    def host(self, source: str | Path | bytes) -> str:
        """Serve a picture, video or file from here; returns its URL, the only kind of URL that is looked at."""
        origin = self.origin
        assert self._state is not None
        return self._state.hosting.add(origin, source)

    def say(self, *answers: str | Reply) -> None:
        """Give these answers to the next requests, one each, in the order in which the requests come.

        A request uses its answer up when it is answered. Where it is refused, fails by a fault, or its client gives up
        before anything came, the answer waits again in its place. Each line of a batch takes one, in line order, and
        an asynchronous task takes one when it is submitted. `max_tokens`, stop words and the words that stand for a
        content filter hold for scripted answers, too; a finish reason and usage of the `Reply` win over them. When no
        answer waits, the function given to `answer` is asked, and else the default rules are (docs/testing.md).

        Args:
            answers: a str for a text, or a `Reply` for all else that an answer may have.

        Raises:
            TypeError: for anything else.
        """
        for reply in [as_reply(answer) for answer in answers]:
            self._script.add(reply)

    def call(self, name: str, /, **arguments: Any) -> Scripted:
        """Answer the next request by a tool call, in turn with `say`; `.also(name, ...)` adds another to the answer.

        Args:
            name: the tool; nobody checks whether the request offers it.
            arguments: its arguments. For text beside a call, or arguments that are no JSON, `say` takes a
                `Reply(tool_calls=[ToolCall(name, arguments)])`.

        Raises:
            TypeError, ValueError: for a name or arguments that cannot be sent.
        """
        return self._script.add(Reply(tool_calls=[ToolCall(name, arguments)]))

    def answer(self, function: Answer) -> None:
        """Let a function answer every request until `reset`, but for those that an answer of `say` or `call` waits for.

        Each request has a thread of its own for it, which `stop` does not wait for. What it raises is an HTTP 500 with
        code 500 to the client, is kept in `errors`, stands with its traceback in the log of `glmv_emulator`, and is
        added as a note to an exception that leaves the `with` block.

        Args:
            function: from an `Ask` to a `Reply` or a str. It may leave an answer to the default rules by returning
                `default_answer(ask)`.

        Raises:
            TypeError: for what cannot be called so.
        """
        self._script.use(function)

    @property
    def unused(self) -> list[Reply]:
        """The answers of `say` and `call` that wait for a request; the pytest fixture wants none left."""
        return self._script.unused()

    @property
    def errors(self) -> list[BaseException]:
        """What the function given to `answer` raised, in order, until `reset`: `SystemExit` and pytest's outcomes, too.

        The pytest fixture gives a test the outcome (`pytest.fail()`, `pytest.skip()`) that its function raised.
        """
        return self._script.errors()

    def inject(self, name: str, times: int | None = 1, path: str | None = None, **knobs: Any) -> None:
        """Let a fault befall the next requests that it suits.

        Args:
            name: a name of `Emulator.FAULTS` (docs/testing.md), or `code-1302`, `status-503`.
            times: how many requests; None is all until `reset`.
            path: a part of the path of these requests; None is any POST.
            knobs: what the fault lets one set.

        Raises:
            ValueError: for a name or knob that is not there, or a fault that no answer can cause; it says what can.
        """
        self._schedule.add(name, times, path, knobs)

    def fail(
        self,
        times: int | None = 1,
        code: int | str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Refuse the next requests with a documented code (1302 where none is given), or with a bare HTTP status.

        `retry_after` is in seconds. A code may come with another status than its documented one.
        """
        knobs: dict[str, Any] = {} if retry_after is None else {"retry_after": f"{retry_after:g}"}
        knobs |= {} if status is None else {"status": status}
        if code is None and status is not None:
            self.inject("bare-status", times, **knobs)
        else:
            self.inject("refusal", times, code=code or 1302, **knobs)

    def stall(self, after: int | None = None, times: int | None = 1) -> None:
        """Hold the next answer until `release`, or until the client leaves.

        `after` is how many chunks of a stream come first; with None nothing comes, not even the head.
        """
        if after is None:
            self.inject("stall-before-headers", times)
        else:
            self.inject("stall", times, after=after)

    def slow(self, first: float = 0.0, between: float = 0.0, times: int | None = None) -> None:
        """Take so many seconds before an answer, and between its chunks; on top of other faults, until `reset`."""
        self.inject("slow", times, first=first, between=between)

    def release(self) -> None:
        """Let everything go on that a fault holds."""

        async def released() -> None:
            self._schedule.release()

        self._call(released)

    def refuse(self) -> None:
        """Take no connection any more and close those that are open, as a server that is down; until `reset`."""
        server = self._running
        self._call(server.stop_listening)
        self._call(server.close_connections)

    def trap(self, name: str) -> str:
        """The base URL of a port where connections go wrong: "blackhole", "tls-reset" or "tls-self-signed"."""
        if name not in TRAPS:
            raise ValueError(f"there is no trap {name!r}; there are {', '.join(TRAPS)}")
        self._traps.append(TRAPS[name]())
        return self._traps[-1].base_url

    def reset(self) -> None:
        """As at the start: no fault and no script of before is left, nothing is held, the journal is empty."""
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
        """What the client did, call by call, and verdicts on it.

        Args:
            errors: how many calls your application saw fail. A call that could not succeed and was not seen to
                fail is one whose broken answer was taken for a whole one.
        """
        # A connection that was just closed is seen to be closed a moment later.
        patience = time.monotonic() + SETTLES_WITHIN
        while any(one.ended is None for one in self._journal.exchanges()) and time.monotonic() < patience:
            time.sleep(0.01)
        return judge(self._journal.exchanges(), self._settings.concurrency, errors)

    @property
    def connections(self) -> int:
        """How many connections are open just now."""
        count: int = self._call(self._running.connections)
        return count

    def _close_traps(self) -> None:
        while self._traps:
            self._traps.pop().close()

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


def _names(strict: Collection[str]) -> frozenset[str]:
    if isinstance(strict, str):
        raise TypeError(f"strict is a set of doubts, as {{{strict!r}}}, and not a text")
    return frozenset(strict)


def _is_key(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and value.strip() == value != ""


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _asked(base_url: str, model: str | None, key: str | None, timeout: float) -> HttpUpstream:
    # It loads httpx, which the emulator does without otherwise.
    try:
        from glmv_emulator.server.upstream import HttpUpstream
    except ImportError as missing:
        raise ImportError(f"{HINT} ({missing})") from missing
    return HttpUpstream(base_url, model, key, timeout)


Emulator.__module__ = "glmv_emulator"
