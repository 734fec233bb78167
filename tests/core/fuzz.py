"""Coverage-guided fuzzing, not part of the test suite: `python tests/core/fuzz.py TARGET --seconds 120`.

Needs `pip install atheris`. Targets: `sse` (any split gives the same events), `stream` and `whole` (any bytes give an
answer or a `glmv` error), `picture` and `video` (measuring any bytes raises no error). Inputs that fail are written
to the folder named in the output; add a test for each.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["glmv"]):
    from glmv import GLMVError
    from glmv.exchange.flow import exchange
    from glmv.exchange.retry import Policy
    from glmv.exchange.steps import Hand, Opened, Pause, Read
    from glmv.media.containers import container_of, measure
    from glmv.media.headers import describe, picture
    from glmv.request.prepare import Call, Reading
    from glmv.wire.sse import SSEDecoder

CHUNK = {"id": "1", "model": "glm-4v", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "<think>x"}}]}
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
LAST = {"id": "1", "choices": [{"index": 0, "finish_reason": "stop", "delta": {"tool_calls": [CALL]}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}  # fmt: skip
MESSAGE = {"role": "assistant", "content": "<|begin_of_box|>[[1,2,3,4]]<|end_of_box|>", "tool_calls": [CALL]}
WHOLE = {"id": "1", "choices": [{"index": 0, "finish_reason": "stop", "message": MESSAGE}]}
ERROR = {"error": {"code": "1302", "message": "[1308][text][trace]"}}


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, size: data[offset : offset + size] if offset >= 0 else b""


def sse(data: bytes) -> None:
    cut = data[0] if data else 0
    one, two = SSEDecoder(), SSEDecoder()
    together = [*one.feed(data[1:]), *one.flush()]
    apart = [*two.feed(data[1 : 1 + cut]), *two.feed(data[1 + cut :]), *two.flush()]
    assert together == apart


def run_attempt(data: bytes, kind: str, *, stream: bool) -> None:
    """Run one attempt whose response body is these bytes; nothing is sent over a network."""
    call = Call("POST", "/chat/completions", lambda request_id: None, reading=Reading(sizes=((100, 100),)))
    flow = exchange(call, Policy(max_retries=0), stream=stream)
    pieces = [piece for piece in (data[:100], data[100:]) if piece]
    text: Any = None
    try:
        while True:
            match flow.send(text):
                case Read():
                    text = pieces.pop(0) if pieces else b""
                case Hand() | Pause():
                    text = None
                case step:
                    text = Opened(200, {"content-type": kind}) if type(step).__name__ == "Send" else None
    except (GLMVError, StopIteration):
        pass


def stream(data: bytes) -> None:
    run_attempt(data, "text/event-stream", stream=True)


def whole(data: bytes) -> None:
    run_attempt(data, "application/json", stream=False)


def measure_picture(data: bytes) -> None:
    describe(data[:16])
    result = picture(reader(data))
    assert result is None or result.width is None or (result.width > 0 and result.height > 0)


def measure_video(data: bytes) -> None:
    container_of(data[:64])
    measure(reader(data), len(data))


def streams() -> Iterable[bytes]:
    frames = [f"data: {json.dumps(one)}\n\n".encode() for one in (CHUNK, LAST, ERROR)]
    yield b"".join(frames[:2]) + b"data: [DONE]\n\n"
    yield b"\xef\xbb\xbf: x\r\rid: 1\r\nretry: 3\r\n" + frames[0] + frames[2]
    yield b"event: error\n" + frames[2]


def bodies() -> Iterable[bytes]:
    yield from (json.dumps(one).encode() for one in (WHOLE, ERROR, {"code": 500, "msg": "404", "success": False}))


def pictures() -> Iterable[bytes]:
    try:
        from PIL import Image
    except ImportError:
        return
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF"):
        buffer = io.BytesIO()
        Image.new("RGB", (6, 4), "red").save(buffer, kind)
        yield buffer.getvalue()


def videos() -> Iterable[bytes]:
    def box(kind: bytes, content: bytes) -> bytes:
        return (8 + len(content)).to_bytes(4, "big") + kind + content

    movie = box(b"mvhd", bytes(12) + (1000).to_bytes(4, "big") + (5000).to_bytes(4, "big") + bytes(80))
    track = box(b"trak", box(b"tkhd", bytes(76) + (640 << 16).to_bytes(4, "big") + (480 << 16).to_bytes(4, "big")))
    yield box(b"ftyp", b"isom\0\0\2\0isomiso2mp41") + box(b"moov", movie + track)
    yield b"\x1a\x45\xdf\xa3\x84\x42\x82\x81a\x18\x53\x80\x67\x88\x15\x49\xa9\x66\x83\x2a\xd7\xb1"


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], Iterable[bytes]]]] = {
    "sse": (sse, streams), "stream": (stream, streams), "whole": (whole, bodies),
    "picture": (measure_picture, pictures), "video": (measure_video, videos),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    result = parser.parse_args()
    target, seeds = TARGETS[result.target]
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{result.target}-"))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds()):
        (corpus / f"seed{number}").write_bytes(seed)
    limits = [f"-max_total_time={result.seconds}", "-max_len=8192", "-timeout=5", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], str(corpus), *limits], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
