"""Invalid pictures, and pictures that point to forbidden addresses: abuses 6 to 16. See `table.py`."""

from __future__ import annotations

import base64
import io
import os
import tempfile
import time
import zlib
from contextlib import suppress
from pathlib import Path

from langchain_core.prompts import ChatPromptTemplate
from llama_index.core.llms import ImageBlock
from llama_index.core.schema import ImageDocument
from PIL import Image as Pictures

import glmv
from tests.abuses.subjects import (
    PROMPT,
    Check,
    LangChain,
    LlamaIndex,
    NotApplicable,
    Setup,
    Wrong,
    by_url,
    not_visited,
    peak,
    png_of_noise,
    port,
    trap,
    watched,
)  # fmt: skip


def internal_urls(setup: Setup) -> str:
    urls = ("http://169.254.169.254/latest", "http://127.1/x.png", "http://[::ffff:127.0.0.1]/x.png",
            "http://2130706433/x.png", "http://0x7f000001/x.png", "http://localhost./x.png")  # fmt: skip
    model = setup.model()
    setup.subject.ask(model, PROMPT)
    with watched() as events:
        for url in urls:
            with suppress(glmv.InvalidRequestError):
                setup.subject.ask(model, "What is it?", by_url(url))
    strange = [one for one in events if "connect" in one and str(port(setup.emu)) not in one]
    if strange or any(exchange.media and exchange.media[0] is not None for exchange in setup.emu.requests):
        raise Wrong(f"fetched: {strange}")
    return "handed on, never fetched; the emulator does not either"


def rebinding(setup: Setup) -> str:
    with trap() as listening:
        with suppress(glmv.GLMVError):
            setup.ask("What is it?", by_url(f"http://localhost:{listening.getsockname()[1]}/x.png"))
        not_visited(listening)
    return "nobody looks the name up, so nothing can be rebound"


def redirected_picture(setup: Setup) -> str:
    with trap() as listening:
        host = f"http://127.0.0.1:{listening.getsockname()[1]}/redirect?to=http://169.254.169.254/"
        with suppress(glmv.GLMVError):
            setup.ask("What is it?", by_url(host))
        not_visited(listening)
    return "not fetched, so not followed"


def _refused_unopened(setup: Setup, urls: tuple[str, ...]) -> str:
    model = setup.model()
    setup.subject.ask(model, PROMPT)
    kinds = set()
    for url in urls:
        with watched() as events:
            try:
                setup.subject.ask(model, "What is it?", by_url(url))
            except glmv.GLMVError as error:
                kinds.add(type(error).__name__)
            except Exception as error:
                kinds.add(f"{type(error).__name__} of the framework")
            else:
                raise Wrong(f"{url!r} was sent")
        opened = [one for one in events if "open" in one and ".py" not in one]
        if opened:
            raise Wrong(f"{url!r}: {opened}")
    return f"{', '.join(sorted(kinds))}; nothing opened"


def schemes(setup: Setup) -> str:
    return _refused_unopened(
        setup,
        ("file:///etc/passwd", "file://localhost/etc/passwd#x.jpg", "ftp://example.org/x.png", "gopher://example.org/",
         "data:text/html,<b>x</b>", "javascript:alert(1)"),
    )  # fmt: skip


def paths(setup: Setup) -> str:
    return _refused_unopened(setup, ("/etc/passwd", "..\\..\\x.png", "~/.ssh/id_rsa", "C:\\secret.png", "x\0y"))


def strange_files(setup: Setup) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "text.png").write_text("no picture at all")
        os.mkfifo(folder / "fifo.png")
        with (folder / "sparse.png").open("wb") as sparse:
            sparse.truncate(2 * 1024**3)
        began, grown = time.monotonic(), peak()
        for path in (folder / "text.png", folder / "fifo.png", Path("/dev/zero"), folder, folder / "sparse.png"):
            try:
                setup.ask("What is it?", setup.subject.trusted(path))
            except (glmv.GLMVError, ValueError, OSError):
                continue
            raise Wrong(f"{path.name or path} was sent")
        if time.monotonic() - began > 2 or peak() - grown > 64:
            raise Wrong(f"{time.monotonic() - began:.1f} s, +{peak() - grown:.0f} MB")
    return "five refused, none hangs"


def llama_documents(setup: Setup) -> str:
    match setup.subject:
        case LlamaIndex():
            model = setup.model()
            with watched() as events, suppress(Exception):
                model.complete("What is it?", image_documents=[ImageDocument(metadata={"file_path": "/etc/passwd"})])
            if any("passwd" in one for one in events):
                raise Wrong("metadata was read")
            with trap() as listening:
                url = f"http://127.0.0.1:{listening.getsockname()[1]}/x.png"
                with suppress(glmv.GLMVError):
                    setup.subject.ask(model, "What is it?", ImageBlock(url=url))
                not_visited(listening)
            with tempfile.TemporaryDirectory() as ours, tempfile.NamedTemporaryFile(suffix=".png") as theirs:
                Pictures.new("RGB", (32, 32), "red").save(theirs, "PNG")
                theirs.flush()
                link = Path(ours, "link.png")
                link.symlink_to(theirs.name)
                for allowed, path in (([ours], theirs.name), ([ours], link), (False, link)):
                    confined = setup.model(local_files=allowed)
                    with watched() as events, suppress(glmv.InvalidRequestError):
                        setup.subject.ask(confined, "What is it?", ImageBlock(path=path))
                        raise Wrong(f"{path} was sent with local_files={allowed}")
                    if any(str(path) in one or theirs.name in one for one in events):
                        raise Wrong(f"{path} was opened with local_files={allowed}")
            return "metadata is not read, a URL not fetched, a path outside local_files not opened"
    raise NotApplicable


def templates(setup: Setup) -> str:
    match setup.subject:
        case LangChain():
            with watched() as events:
                try:
                    part = {"type": "image_url", "image_url": {"path": "{picture}"}}
                    chain = ChatPromptTemplate.from_messages([("user", [part])]) | setup.model()
                    chain.invoke({"picture": "/etc/passwd"})
                except Exception as error:
                    if any("passwd" in one for one in events):
                        raise Wrong("the file was opened") from error
                    return f"{type(error).__name__}, nothing opened"
            raise Wrong("was sent")
    raise NotApplicable


def svg(setup: Setup) -> str:
    text = b"<?xml version='1.0'?><!DOCTYPE s [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg>&x;</svg>"
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "drawing.png"
        path.write_bytes(text)
        error = None
        try:
            setup.ask("What is it?", setup.subject.trusted(path))
        except (glmv.GLMVError, ValueError) as caught:
            error = caught
    if error is None:
        raise Wrong("was sent")
    return f"{type(error).__name__}"


def bombs(setup: Setup) -> str:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    side = 20_000
    header = side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1024 * 1024)))
    with tempfile.TemporaryDirectory() as name:
        grown, kinds = peak(), set()
        for suffix, data in ((".png", bomb), (".tiff", b"II*\0" + bytes(99)), (".ico", b"\0\0\1\0\1\0" + bytes(99)),
                             (".psd", b"8BPS" + bytes(99)), (".eps", b"%!PS-Adobe-3.0 EPSF-3.0\n")):  # fmt: skip
            path = Path(name) / f"picture{suffix}"
            path.write_bytes(data)
            try:
                setup.ask("What is it?", setup.subject.trusted(path))
            except (glmv.GLMVError, ValueError) as error:
                kinds.add(type(error).__name__)
                continue
            raise Wrong(f"{suffix} was sent")
        if peak() - grown > 64:
            raise Wrong(f"+{peak() - grown:.0f} MB")
    return f"{', '.join(sorted(kinds))}, from the header"


def odd_base64(setup: Setup) -> str:
    text = base64.b64encode(png_of_noise()).decode()
    lines = "\r\n".join(text[place : place + 76] for place in range(0, len(text), 76))
    jpeg = io.BytesIO()
    Pictures.new("RGB", (40, 30), "red").save(jpeg, "JPEG")
    mislabelled = base64.b64encode(jpeg.getvalue()).decode()
    urlsafe = text.replace("+", "-").replace("/", "_").rstrip("=")
    for what, data in (("line breaks", lines), ("URL-safe", urlsafe), ("mislabelled", mislabelled)):
        url = f"data:image/png;base64,{data}"
        try:
            setup.ask("What is it?", by_url(url))
        except glmv.InvalidRequestError:
            continue
        except glmv.GLMVError as error:
            raise Wrong(f"{what}: {error}"[:100]) from error
    start = time.monotonic()
    huge = setup.subject.part(by_url("data:image/png;base64," + "A" * (200 * 1024 * 1024)))
    began = time.monotonic()
    with suppress(glmv.GLMVError, ValueError):
        setup.ask("What is it?", huge)
    took = time.monotonic() - began
    if took > 5:
        raise Wrong(f"200 MB took {took:.1f} s")
    before = f", after {began - start:.1f} s in the framework's own block" if began - start > 1 else ""
    return f"put right or refused; 200 MB refused in {took:.1f} s{before}"


CHECKS: tuple[tuple[int, str, Check], ...] = (
    (6, "picture URLs of internal addresses", internal_urls),
    (7, "a name that changes its address", rebinding),
    (8, "a picture URL that redirects inwards", redirected_picture),
    (9, "file:, ftp:, javascript: and HTML as a picture", schemes),
    (10, "a path as a picture in a message", paths),
    (11, "a text file, FIFO, /dev/zero, folder, 2 GB as a picture", strange_files),
    (12, "metadata and URLs of LlamaIndex documents", llama_documents),
    (13, "a template variable in a picture's path", templates),
    (14, "SVG with an external entity, named .png", svg),
    (15, "picture of 400 MP, TIFF, ICO, PSD, EPS", bombs),
    (16, "odd base64, 200 MB of it", odd_base64),
)
