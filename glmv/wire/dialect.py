"""How a server speaks: the differences between the platform, proxies in front of it, and self-hosted weights.

Sources: docs.bigmodel.cn "对话补全" (raw base64, `thinking`), github.com/zai-org/GLM-V README (vLLM and SGLang:
data URIs, `chat_template_kwargs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Dialect:
    """One row a kind of server.

    Attributes:
        name: what `dialect=` takes.
        base64: "raw" base64 in `url` fields, or a "data_uri".
        thinking: the body key that switches thinking.
        limits: whether the platform's limits hold (see `glmv/catalog`); weights on one's own machine have their own.
        files: whether a message may hold documents.
        chooses_tools: whether `tool_choice` other than "auto" is obeyed.
        takes_schema: whether `response_format` with a JSON Schema is obeyed.
    """

    name: str
    base64: Literal["raw", "data_uri"]
    thinking: Literal["thinking", "chat_template_kwargs"]
    limits: bool = True
    files: bool = True
    chooses_tools: bool = False
    takes_schema: bool = False


DIALECTS = {
    row.name: row
    for row in (
        # "图片url或者base64编码", shown without a data: prefix; a prefix is refused with 1210 on some models
        # (github.com/QuantumNous/new-api/issues/136).
        Dialect("platform", base64="raw", thinking="thinking"),
        Dialect("openai", base64="data_uri", thinking="thinking"),
        Dialect(
            "vllm",
            base64="data_uri",
            thinking="chat_template_kwargs",
            limits=False,
            files=False,
            chooses_tools=True,
            takes_schema=True,
        ),
    )
}

_PLATFORM_HOSTS = ("bigmodel.cn", "z.ai")
_PLATFORM_PATHS = ("/api/paas/v4", "/api/coding/paas/v4")


def dialect_of(base_url: str, name: str | None = None) -> Dialect:
    """The row for a base URL, unless the user named one.

    bigmodel.cn and z.ai are told by host, servers that stand in for them by the path `/api/paas/v4`.
    """
    if name is not None:
        return DIALECTS[name]
    url = urlsplit(base_url)
    host = url.hostname or ""
    known = any(host == own or host.endswith("." + own) for own in _PLATFORM_HOSTS)
    return DIALECTS["platform" if known or url.path.rstrip("/").endswith(_PLATFORM_PATHS) else "openai"]
