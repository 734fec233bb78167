"""The emulator's own reading of the platform's model pages: one row a model.

Sources: docs.bigmodel.cn and docs.z.ai, chat completion, and the model pages; sizes as they print them, MB as MiB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from glmv_emulator.platform.settings import Doubt

MB = 1024 * 1024
K = 1024
STOP_WORDS: int | Doubt[int] = Doubt("stop-one", loose=4, strict=1)
ALL_VIDEO = Doubt("video-mp4", loose=frozenset({"mp4", "mkv", "mov"}), strict=frozenset({"mp4"}))
MP4 = frozenset({"mp4"})
# Its page says mp4 and shows a .mov in its example.
MP4_AND_MOV = Doubt("video-mp4", loose=frozenset({"mp4", "mov"}), strict=MP4)
FILE_PART = Doubt("file-part", loose=True, strict=False)
NEWER_IMAGES = Doubt("images-50", loose=150, strict=50)

# Pictures count by pixels up to these many tokens: 1120 x 1120 pixels at 28 a side for the first generation.
CAP_2024, CAP = 1600, 6000


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What one model takes. None for `context` means that no source states it, so it is not checked."""

    name: str
    kind: Literal["vision", "text", "embedding"] = "vision"
    context: int | Doubt[int] | None = None
    default_output: int = 1024
    output: int | Doubt[int] = 4095
    images: int | Doubt[int] = 0
    base64: bool = True
    videos: int = 0
    video_bytes: int = 200 * MB
    video_seconds: float | None = None
    video_formats: frozenset[str] | Doubt[frozenset[str]] = ALL_VIDEO
    video_first: bool = False
    files: int = 0
    file_part: bool | Doubt[bool] = False
    file_id: bool = False
    turns_only: bool | Doubt[bool] = False
    tools: bool | Doubt[bool] = False
    thinking: Literal["no", "switch", "always"] = "no"
    refuses_thinking_off: bool = False
    lowest: float = 0.0
    picture_cap: int = CAP
    asynchronous: bool = False
    batch: bool = False
    tool_stream: bool = False
    dimensions: tuple[int, ...] = ()


def _newer(name: str, *, asynchronous: bool = True) -> Model:
    return Model(
        name=name,
        context=128 * K,
        default_output=16384,
        output=32768,
        images=NEWER_IMAGES,
        videos=2,
        files=50,
        file_part=FILE_PART,
        tools=True,
        thinking="switch",
        lowest=0.01,
        asynchronous=asynchronous,
    )


def _newest(name: str) -> Model:
    return Model(
        name=name,
        context=1024 * K,
        default_output=65536,
        output=131072,
        images=50,
        videos=2,
        files=50,
        file_part=True,
        file_id=True,
        tools=True,
        thinking="always",
        refuses_thinking_off=True,
    )


def _text(name: str, context: int | None, output: int, **more: bool) -> Model:
    return Model(
        name=name,
        kind="text",
        context=context,
        default_output=min(output, 16384),
        output=output,
        tools=True,
        thinking="switch" if more.get("thinking") else "no",
        tool_stream=more.get("tool_stream", False),
        asynchronous=True,
        # Users report that uploads of batches for glm-4.6 and later are refused.
        batch=not more.get("tool_stream", False),
    )


_ROWS = (
    Model(
        name="glm-4v",
        output=Doubt("output-2024", loose=4095, strict=1024),
        images=5,
        turns_only=True,
        picture_cap=CAP_2024,
        batch=True,
    ),
    Model(
        name="glm-4v-plus",
        output=Doubt("output-2024", loose=4095, strict=1024),
        images=5,
        videos=1,
        video_bytes=20 * MB,
        video_seconds=30.0,
        video_formats=MP4,
        video_first=True,
        turns_only=True,
        picture_cap=CAP_2024,
        batch=True,
    ),
    Model(
        name="glm-4v-plus-0111",
        context=8 * K,
        output=8192,
        images=5,
        videos=1,
        video_first=True,
        video_formats=MP4_AND_MOV,
        turns_only=Doubt("system-2025", loose=False, strict=True),
        picture_cap=CAP_2024,
        batch=True,
    ),
    Model(
        name="glm-4v-flash",
        context=Doubt("context-flash", loose=128 * K, strict=16 * K),
        output=1024,
        images=1,
        base64=False,
        turns_only=Doubt("system-2025", loose=False, strict=True),
        picture_cap=CAP_2024,
        asynchronous=True,
    ),
    Model(
        name="glm-4.1v-thinking-flash",
        context=64 * K,
        default_output=16384,
        output=Doubt("output-4.1v", loose=32768, strict=16384),
        images=50,
        videos=1,
        thinking="always",
        asynchronous=True,
    ),
    Model(
        name="glm-4.1v-thinking-flashx",
        context=64 * K,
        default_output=16384,
        output=16384,
        images=50,
        videos=1,
        thinking="always",
        asynchronous=True,
    ),
    Model(
        name="glm-4.5v",
        context=64 * K,
        default_output=16384,
        output=16384,
        images=50,
        videos=1,
        files=50,
        file_part=FILE_PART,
        tools=Doubt("tools-4.5v", loose=True, strict=False),
        thinking="switch",
        lowest=0.01,
    ),
    _newer("glm-4.6v"),
    _newer("glm-4.6v-flash"),
    _newer("glm-4.6v-flashx"),
    Model(
        name="glm-5v-turbo",
        context=200 * K,
        default_output=65536,
        output=131072,
        images=NEWER_IMAGES,
        videos=2,
        files=50,
        file_part=FILE_PART,
        tools=True,
        thinking="switch",
        lowest=0.01,
        asynchronous=True,
    ),
    _newest("glm-5.3-flash"),
    _newest("glm-5.3-flashx"),
    Model(name="autoglm-phone", context=20 * K, default_output=2048, output=4096, images=50, tools=True),
    Model(
        name="autoglm-phone-multilingual",
        context=20 * K,
        default_output=2048,
        output=4096,
        images=50,
        tools=True,
        asynchronous=True,
    ),
    _text("glm-3-turbo", None, 4095),
    _text("glm-4", 128 * K, 4095),
    _text("glm-4-0520", 128 * K, 4095),
    _text("glm-4-plus", 128 * K, 4095),
    _text("glm-4-air", 128 * K, 4095),
    _text("glm-4-flash", 128 * K, 4095),
    _text("glm-4.5", 128 * K, 98304, thinking=True),
    _text("glm-4.5-air", 128 * K, 98304, thinking=True),
    _text("glm-4.5-flash", 128 * K, 98304, thinking=True),
    _text("glm-4.6", 200 * K, 131072, thinking=True, tool_stream=True),
    _text("glm-4.7", 200 * K, 131072, thinking=True, tool_stream=True),
    _text("glm-5.2", 200 * K, 131072, thinking=True, tool_stream=True),
    _text("glm-5.3", 200 * K, 131072, thinking=True, tool_stream=True),
    Model(name="embedding-3", kind="embedding", context=3072, dimensions=(2048, 256, 512, 1024)),
    Model(name="embedding-2", kind="embedding", context=512, dimensions=(1024,)),
)
MODELS = {row.name: row for row in _ROWS}


def find(name: str) -> Model | None:
    """The row of a model; names are matched without regard to case, as the platform does."""
    return MODELS.get(name.strip().lower())
