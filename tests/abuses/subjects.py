"""The three clients on which `table.py` tries its abuses, and the helpers of its checks."""

from __future__ import annotations

import base64
import io
import pickle
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from langchain_core.load import dumps
from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from PIL import Image as Pictures

import glmv
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV
from langchain_glmv import image as langchain_image
from llama_index_glmv import GLMV

CANARY = "canary-id.canary-secret-never-shown"
MODEL = "glm-4v-plus-0111"
PROMPT = "Hello"
SECRET = CANARY.partition(".")[2]


class Subject:
    """A client under test: how to make it, how to ask it, and how to send it a picture or a file."""

    name = ""

    def model(self, base: str, **options: Any) -> Any:
        raise NotImplementedError

    def ask(self, model: Any, *content: Any) -> str:
        """Ask with this content: texts, and content parts as dicts. Returns the text of the answer."""
        raise NotImplementedError

    def part(self, one: Any) -> Any:
        """A content part (a dict) in the form of the framework."""
        return one

    def trusted(self, path: Path) -> Any:
        """The content with which an application sends a file that it trusts."""
        raise NotImplementedError

    def surfaces(self, model: Any) -> list[Any]:
        raise NotImplementedError


class Core(Subject):
    name = "glmv"

    def model(self, base: str, **options: Any) -> Any:
        return glmv.Client(**{"api_key": CANARY, "base_url": base, "model": MODEL} | options)

    def ask(self, model: Any, *content: Any) -> str:
        parts = [{"type": "text", "text": one} if isinstance(one, str) else one for one in content]
        if any(isinstance(one, glmv.Image) for one in content):
            return str(model.chat(list(content)).text)
        return str(model.chat([{"role": "user", "content": parts}]).text)

    def trusted(self, path: Path) -> Any:
        return glmv.Image.from_path(path)

    def surfaces(self, model: Any) -> list[Any]:
        return [repr(model), str(model), f"{model}", vars(model), vars(model.settings), pickle.dumps(model),
                repr(model.settings), model.settings.model_dump_json()]  # fmt: skip


class LangChain(Subject):
    name = "ChatGLMV"

    def model(self, base: str, **options: Any) -> Any:
        return ChatGLMV(**{"api_key": CANARY, "base_url": base, "model": MODEL} | options)

    def ask(self, model: Any, *content: Any) -> str:
        parts = [{"type": "text", "text": one} if isinstance(one, str) else one for one in content]
        return str(model.invoke([HumanMessage(parts)]).content)

    def trusted(self, path: Path) -> Any:
        return langchain_image(path)

    def surfaces(self, model: Any) -> list[Any]:
        return [repr(model), str(model), f"{model}", dumps(model), model.model_dump_json(), pickle.dumps(model),
                model.to_json(), model.model_dump(), repr(vars(model))]  # fmt: skip


class LlamaIndex(Subject):
    name = "GLMV"

    def model(self, base: str, **options: Any) -> Any:
        return GLMV(**{"api_key": CANARY, "base_url": base, "model": MODEL} | options)

    def ask(self, model: Any, *content: Any) -> str:
        return str(model.chat([ChatMessage(role="user", blocks=[self.part(one) for one in content])]).message.content)

    def part(self, one: Any) -> Any:
        match one:
            case str():
                return TextBlock(text=one)
            case {"image_url": {"url": url}}:
                return ImageBlock(url=url)
        return one

    def trusted(self, path: Path) -> Any:
        return ImageBlock(path=path)

    def surfaces(self, model: Any) -> list[Any]:
        return [repr(model), str(model), f"{model}", model.to_json(), model.to_dict(), model.model_dump_json(),
                pickle.dumps(model), repr(vars(model))]  # fmt: skip


SUBJECTS = (Core(), LangChain(), LlamaIndex())


class Wrong(Exception):
    """A check saw something that must not happen."""


class NotApplicable(Exception):
    """The check does not apply to this client."""


_seen: list[str] | None = None


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if _seen is not None and event in ("open", "socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
        _seen.append(f"{event} {args[1] if event == 'socket.connect' else args[0]!r}")


sys.addaudithook(_watch)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Record opened files, looked-up hosts, connections and started programs, as texts, while the block runs."""
    global _seen
    _seen = results = []
    try:
        yield results
    finally:
        _seen = None


class Setup:
    """An emulator and a client for one check."""

    def __init__(self, subject: Subject, emu: Emulator) -> None:
        self.subject, self.emu = subject, emu

    def model(self, **options: Any) -> Any:
        return self.subject.model(self.emu.base_url, **options)

    def ask(self, *content: Any, **options: Any) -> str:
        return self.subject.ask(self.model(**options), *content)

    def error(self, *content: Any, **options: Any) -> Exception:
        """Call, and return the `glmv` error that it raises; `Wrong` if it raises another error or none."""
        try:
            got = self.ask(*(content or (PROMPT,)), **options)
        except glmv.GLMVError as error:
            return error
        except Exception as error:
            raise Wrong(f"raw {type(error).__name__}: {error}"[:120]) from error
        raise Wrong(f"was answered: {got[:40]!r}")


def no_secret(shown: object, where: str) -> None:
    if SECRET in repr(shown):
        raise Wrong(f"the key stands in {where}")


def port(emu: Emulator) -> int:
    return int(emu.origin.rpartition(":")[2])


@contextmanager
def trap() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        yield listening


def not_visited(listening: socket.socket) -> None:
    with suppress(TimeoutError):
        listening.accept()[0].close()
        raise Wrong("the URL was fetched")


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@cache
def png_of_noise() -> bytes:
    buffer = io.BytesIO()
    Pictures.effect_noise((600, 600), 80).save(buffer, "PNG")
    return buffer.getvalue()


def by_url(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def noise() -> dict[str, Any]:
    return by_url(f"data:image/png;base64,{base64.b64encode(png_of_noise()).decode()}")


Check = Callable[[Setup], str]
