"""Which base URLs are the platform's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

# Hosts of the platform, and the paths of its API. Servers that imitate the platform have these paths, too.
_PLATFORM_HOSTS = ("bigmodel.cn", "z.ai")
_PLATFORM_PATHS = ("/api/paas/v4", "/api/coding/paas/v4")


def is_platform(base_url: str) -> bool:
    """Whether a base URL is the platform's, or that of a server that imitates it, such as the emulator."""
    try:
        url = urlsplit(base_url.strip())
        host = url.hostname or ""
    except ValueError:
        return False  # not a URL: `address_of` raises the error
    is_host = any(host == own or host.endswith(f".{own}") for own in _PLATFORM_HOSTS)
    return is_host or url.path.rstrip("/").endswith(_PLATFORM_PATHS)


# The variables that may name another server, see `glmv/transport/address.py`.
_BASE_URLS = ("GLMV_BASE_URL", "ZHIPUAI_BASE_URL", "ZAI_BASE_URL")


def asks_platform(settings: Mapping[str, Any]) -> bool:
    """Whether calls with these settings go to the platform, judged by the settings and the environment."""
    if (dialect := settings.get("dialect")) is not None:
        return bool(dialect == "platform")
    base_url = settings.get("base_url")
    return all(map(is_platform, filter(None, [base_url] if base_url else map(os.environ.get, _BASE_URLS))))
