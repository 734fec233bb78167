"""Which base URLs are the platform's."""

from __future__ import annotations

from urllib.parse import urlsplit

# Hosts of the platform, and the paths by which servers stand in for it.
_PLATFORM_HOSTS = ("bigmodel.cn", "z.ai")
_PLATFORM_PATHS = ("/api/paas/v4", "/api/coding/paas/v4")


def is_platform(base_url: str) -> bool:
    """Whether a base URL is the platform's, or that of a server that stands in for it."""
    try:
        url = urlsplit(base_url.strip())
        host = url.hostname or ""
    except ValueError:
        return False  # not a URL: refused as such where the address is needed
    known = any(host == own or host.endswith(f".{own}") for own in _PLATFORM_HOSTS)
    return known or url.path.rstrip("/").endswith(_PLATFORM_PATHS)
