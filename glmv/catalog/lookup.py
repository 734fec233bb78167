"""The models of the platform, one row each, with the source beside it.

A model that is not here has no known limits: it is sent as it is. Rows hold what documents say, not what we
think; where they disagree the widest reading stands in the field and the row's `doubts` name the others.
Prices and concurrency are snapshots of the named day.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from glmv.catalog.row import MIB, Model, Price

K = 1024

# Documents. Dates are those of the version that was read.
_GUIDE_2024 = "bigmodel.cn/dev/api/normal-model/glm-4v (December 2024)"
_CHAT_2025 = "docs.bigmodel.cn, chat completion, vision request (December 2025)"
_CHAT_2026 = "docs.bigmodel.cn, chat completion, vision request (April 2026)"
_ZAI_2025 = "docs.z.ai/api-reference/llm/chat-completion (January 2026)"
_ZAI_2026 = "docs.z.ai/openapi.json (September 2026)"
_OVERVIEW = "docs.bigmodel.cn/cn/guide/start/model-overview and concept-param (September 2026)"
_GLM4_2024 = "bigmodel.cn/dev/api/normal-model/glm-4 (2024)"

# `concurrency` of every row: the console's table for an account of level V0, February 2026
# (docs.bigmodel.cn/cn/guide/platform/equity-explain). Higher levels have more: `max_concurrency` tells us.

# "每张图片大小5M以下，且像素不超过6000*6000。支持jpg、png、jpeg格式" (docs.bigmodel.cn, image_url).
_PICTURES: dict[str, Any] = {
    "image_bytes": 5 * MIB,
    "image_side": 6000,
    "image_formats": ("jpg", "png"),
}

# The generation of 2024: user and assistant only, content as a list of parts (bigmodel.cn, glm-4v).
_GLM_4V = Model(
    name="glm-4v",
    source=_GUIDE_2024,
    status="legacy",
    max_output=4095,
    default_output=1024,
    roles=("user", "assistant"),
    string_content=False,
    images=5,
    **_PICTURES,
    default_temperature=0.8,
    default_top_p=0.6,
    concurrency=5,
    batch=True,  # docs.bigmodel.cn, "批量处理"; so are the two that follow from this row
    doubts=(
        "max_output: 1024 in bigmodel.cn's guide of 2024, 4095 in the Go SDK's",
        "temperature: documented as 0.0 to 1.0 and as positive, which 0 is not",
        "roles: the batch guide shows a system message; the model's guide knows user and assistant only",
        "stop: not among the parameters of the guide of 2024",
    ),
)

# One clip in front of the text: "video_url 必须是 content 数组中的第一个" (docs.bigmodel.cn, video_url).
_GLM_4V_PLUS = replace(
    _GLM_4V,
    name="glm-4v-plus",
    videos=None,
    video_bytes=20 * MIB,
    video_seconds=30,
    video_formats=("mp4",),
    video_first=True,
)

_GLM_4V_PLUS_0111 = replace(
    _GLM_4V_PLUS,
    name="glm-4v-plus-0111",
    source=_CHAT_2025,
    status="active",
    context=8 * K,
    max_output=8192,
    video_bytes=200 * MIB,
    video_seconds=None,
    video_formats=("mp4", "mov"),
    price=Price(4, 4, "CNY", "2025-02", "bigmodel.cn/pricing"),
    doubts=(
        *(told for told in _GLM_4V.doubts if not told.startswith("max_output")),
        "video_formats: mp4 by the text of docs.bigmodel.cn, whose own example is a .mov",
    ),
)

_GLM_4V_FLASH = replace(
    _GLM_4V,
    name="glm-4v-flash",
    source=_CHAT_2026,
    status="active",
    context=16 * K,
    max_output=1024,
    images=1,
    image_base64=False,  # "GLM-4V-Flash 不支持base64编码" (docs.bigmodel.cn, image_url)
    concurrency=10,
    batch=None,
    price=Price(0, 0, "CNY", "2026-09", _OVERVIEW),
    doubts=(
        *(told for told in _GLM_4V.doubts if not told.startswith("max_output")),
        "context: 16K in the model overview, 128K in a price list of February 2025",
    ),
)

# "视频大小限制在200M以内，视频类型为 mp4、mkv、mov" (docs.bigmodel.cn, video_url).
_VIDEO_FORMATS = ("mp4", "mkv", "mov")
_VIDEO_BASE64 = "video_base64: the reference speaks of a URL only, the platform's own cookbook sends base64 to glm-4.5v"

_GLM_41V = Model(
    name="glm-4.1v-thinking-flash",
    source=_CHAT_2026,
    context=64 * K,
    max_output=32768,
    default_output=32768,
    roles=("system", "user", "assistant"),
    images=None,
    **_PICTURES,
    videos=None,
    video_bytes=200 * MIB,
    video_formats=_VIDEO_FORMATS,
    thinking="always",
    default_temperature=0.8,
    default_top_p=0.6,
    concurrency=5,
    price=Price(0, 0, "CNY", "2026-09", _OVERVIEW),
    doubts=(
        "max_output: 32768 in one table of docs.bigmodel.cn, 16384 in another",
        "video_formats: mp4 alone on docs.bigmodel.cn of December 2025; mp4, mkv and mov in April 2026",
        "concurrency: 5, and 1 in another snapshot of the console",
        _VIDEO_BASE64,
    ),
)

_GLM_45V = Model(
    name="glm-4.5v",
    source=_CHAT_2025,
    context=64 * K,
    max_output=16384,
    default_output=16384,
    images=50,
    **_PICTURES,
    videos=1,
    video_bytes=200 * MIB,
    video_formats=_VIDEO_FORMATS,
    files=50,
    file_forms=("url", "data"),
    file_bytes=50 * MIB,
    thinking="switch",
    thinking_values=("enabled", "disabled"),
    tools=128,
    tool_types=("function",),
    temperature=(0.01, 1.0),
    default_temperature=0.8,
    top_p=(0.01, 1.0),
    default_top_p=0.6,
    concurrency=10,
    price=Price(0.6, 1.8, "USD", "2026-01", "docs.z.ai/guides/overview/pricing"),
    doubts=(
        "tools: absent from the vision request of docs.bigmodel.cn; models.dev lists tool calls",
        "file_forms: URLs only on docs.bigmodel.cn; docs.z.ai has a part `file` that takes data, too",
        _VIDEO_BASE64,
    ),
)

_IMAGES_DOUBT = "images: 50 on docs.bigmodel.cn, 150 on docs.z.ai"

_GLM_46V = replace(
    _GLM_45V,
    name="glm-4.6v",
    source=_CHAT_2026,
    context=128 * K,
    max_output=32768,
    images=150,
    images_sure=50,
    videos=2,
    price=Price(0.3, 0.9, "USD", "2026-01", "docs.z.ai/guides/overview/pricing"),
    doubts=(_IMAGES_DOUBT, *_GLM_45V.doubts[1:]),
)

_GLM_5V_TURBO = replace(
    _GLM_46V,
    name="glm-5v-turbo",
    context=200 * K,
    max_output=131072,
    default_output=65536,
    concurrency=None,
    price=Price(1.2, 4.0, "USD", "2026-05", "getmaxim.ai/bifrost/llm-cost-calculator"),
    doubts=(
        *_GLM_46V.doubts,
        "thinking: forced when enabled (docs.bigmodel.cn, April 2026), the model's own choice later",
    ),
)

_GLM_53_FLASH = replace(
    _GLM_46V,
    name="glm-5.3-flash",
    source=_ZAI_2026,
    context=1024 * K,
    max_output=131072,
    default_output=65536,
    images=50,
    images_sure=None,
    videos=None,
    files=None,
    file_forms=("url", "data", "id"),
    thinking="always",
    thinking_values=("enabled", "disabled"),
    reasoning_effort=("low", "high", "max"),
    stop=4,
    temperature=(0.0, 1.0),
    default_temperature=1.0,
    top_p=(0.01, 1.0),
    default_top_p=0.95,
    concurrency=None,
    price=Price(0.8, 2.8, "CNY", "2026-09", "bigmodel.cn/pricing, promotion"),
    doubts=(
        "thinking_values: 'disabled' is refused with 1210 on the standard base, taken on the coding base",
        _VIDEO_BASE64,
    ),
)

_AUTOGLM = Model(
    name="autoglm-phone",
    source=_ZAI_2026,
    context=20 * K,
    max_output=4096,
    images=None,
    **_PICTURES,
    videos=None,
    files=None,
    file_forms=("url", "data"),
    tools=128,
    tool_types=("function",),
    default_temperature=0.0,
    default_top_p=0.85,
    concurrency=5,
    doubts=("max_output: 4K on docs.z.ai, 2048 in docs.bigmodel.cn's model overview",),
)

_VISION = (
    _GLM_4V,
    _GLM_4V_PLUS,
    _GLM_4V_PLUS_0111,
    _GLM_4V_FLASH,
    _GLM_41V,
    replace(
        _GLM_41V,
        name="glm-4.1v-thinking-flashx",
        max_output=16384,
        default_output=16384,
        concurrency=30,
        price=None,
        doubts=_GLM_41V.doubts[1:2] + _GLM_41V.doubts[3:],
    ),
    _GLM_45V,
    _GLM_46V,
    replace(
        _GLM_46V,
        name="glm-4.6v-flashx",
        concurrency=3,
        price=Price(0.04, 0.4, "USD", "2026-01", "docs.z.ai/guides/overview/pricing"),
    ),
    replace(_GLM_46V, name="glm-4.6v-flash", concurrency=1, price=Price(0, 0, "CNY", "2026-09", _OVERVIEW)),
    _GLM_5V_TURBO,
    _GLM_53_FLASH,
    replace(_GLM_53_FLASH, name="glm-5.3-flashx", price=Price(2, 7, "CNY", "2026-09", "bigmodel.cn/pricing")),
    _AUTOGLM,
    replace(_AUTOGLM, name="autoglm-phone-multilingual", source=_ZAI_2025),
)

# Text models: "仅文本模型支持" response_format, retrieval and web_search (docs.bigmodel.cn, chat completion).
_GLM_4 = Model(
    name="glm-4",
    source=_GLM4_2024,
    status="legacy",
    max_output=4095,
    tools=128,
    tool_types=("function", "retrieval", "web_search", "mcp"),
    response_format=True,
    default_temperature=0.75,
    default_top_p=0.9,
    concurrency=30,
)
_GLM_45 = replace(
    _GLM_4,
    name="glm-4.5",
    source=_OVERVIEW,
    status="active",
    context=128 * K,
    max_output=98304,
    default_output=65536,
    thinking="switch",
    thinking_values=("enabled", "disabled"),
    default_temperature=0.6,
    default_top_p=0.95,
    concurrency=10,
)
_GLM_46 = replace(_GLM_45, name="glm-4.6", context=200 * K, max_output=131072, default_temperature=1.0, concurrency=3)
_GLM_52 = replace(
    _GLM_46,
    name="glm-5.2",
    context=1024 * K,
    reasoning_effort=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    stop=4,
    concurrency=None,
)
_FORCED = ("thinking: forced when enabled, by one table of docs.bigmodel.cn",)

_TEXT = (
    _GLM_4,
    replace(_GLM_4, name="glm-4-0520", concurrency=20),
    replace(_GLM_4, name="glm-4-plus", source=_OVERVIEW, status="active", context=128 * K, concurrency=20),
    replace(_GLM_4, name="glm-4-air", concurrency=100),
    replace(
        _GLM_4,
        name="glm-4-air-250414",
        source=_OVERVIEW,
        status="active",
        context=128 * K,
        max_output=16384,
        default_output=16384,
    ),
    replace(_GLM_4, name="glm-4-airx", concurrency=5),
    replace(_GLM_4, name="glm-4-flash", concurrency=200),
    replace(_GLM_4, name="glm-4-flashx", concurrency=50),
    replace(
        _GLM_4,
        name="glm-4-flash-250414",
        source=_OVERVIEW,
        status="active",
        context=128 * K,
        max_output=32768,
        concurrency=5,
        doubts=("max_output: 16K in the model overview, 32768 in the table of max_tokens",),
    ),
    replace(
        _GLM_4,
        name="glm-4-flashx-250414",
        source=_OVERVIEW,
        status="active",
        context=128 * K,
        max_output=16384,
        concurrency=50,
    ),
    replace(_GLM_4, name="glm-4-long", source=_OVERVIEW, status="active", context=1024 * K, concurrency=10),
    replace(
        _GLM_4,
        name="glm-3-turbo",
        max_output=None,
        default_temperature=None,
        default_top_p=None,
        concurrency=50,
    ),
    replace(
        _GLM_4,
        name="glm-4-voice",
        source=_CHAT_2025,
        status="active",
        max_output=4096,
        default_output=1024,
        tools=0,
        tool_types=(),
        response_format=False,
        concurrency=5,
        price=Price(80, 80, "CNY", "2025-12", "bigmodel.cn/pricing"),
    ),
    _GLM_45,
    replace(_GLM_45, name="glm-4.5-air", concurrency=5),
    replace(_GLM_45, name="glm-4.5-x", concurrency=None),
    replace(_GLM_45, name="glm-4.5-airx", concurrency=5),
    replace(_GLM_45, name="glm-4.5-flash", concurrency=2, price=Price(0, 0, "CNY", "2026-09", _OVERVIEW)),
    _GLM_46,
    replace(_GLM_46, name="glm-4.7", doubts=_FORCED),
    replace(_GLM_46, name="glm-4.7-flash", concurrency=1, price=Price(0, 0, "CNY", "2026-09", _OVERVIEW)),
    replace(_GLM_46, name="glm-4.7-flashx"),
    replace(_GLM_46, name="glm-5", concurrency=5),
    replace(_GLM_46, name="glm-5-turbo", concurrency=None),
    replace(_GLM_46, name="glm-5.1", concurrency=None),
    _GLM_52,
    replace(
        _GLM_52,
        name="glm-5.3",
        thinking="always",
        reasoning_effort=("low", "high", "max"),
        doubts=_GLM_53_FLASH.doubts[:1],
    ),
)

_ROWS = {row.name: row for row in (*_VISION, *_TEXT)}


def find(name: str) -> Model | None:
    """The row of a model, whatever the case of its name ("GLM-4V-Plus"); None when it is not known."""
    return _ROWS.get(name.strip().lower())


def models() -> tuple[Model, ...]:
    """All rows, vision models first."""
    return tuple(_ROWS.values())
