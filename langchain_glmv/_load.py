"""Models and chains as JSON, and back. The key never travels: it is named, and read where it is loaded."""

from __future__ import annotations

import json
import os
from typing import Any

from langchain_core.load import dumps as core_dumps
from langchain_core.load import load as core_load

from langchain_glmv.chat_models import ChatGLMV

_PATH = tuple(ChatGLMV.lc_id())


def dumps(obj: Any) -> str:
    """A model, or a chain that holds one -> JSON, with the settings and without the key."""
    return core_dumps(obj)


def load(obj: str | dict[str, Any], *, api_key: str | None = None) -> Any:
    """What `dumps` or `langchain_core.load.dumpd` wrote -> the model or chain again.

    `langchain_core.load.load` allows classes of a built-in list only; this names ours beside core's own.
    What is loaded decides where requests go, so load only what you trust.

    Args:
        obj: the JSON, or the dict that it holds.
        api_key: the key to use; None leaves it to the environment, at the first call.
    """
    data = json.loads(obj) if isinstance(obj, str) else obj
    variable = "ZHIPUAI_API_KEY"
    key = api_key or os.environ.get(variable)
    return core_load(
        data if key else _without_secrets(data),
        allowed_objects="core",
        valid_namespaces=[_PATH[0]],
        additional_import_mappings={_PATH: _PATH},
        secrets_map={variable: key} if key else None,
    )


def _without_secrets(data: Any) -> Any:
    """Without markers for secrets that are nowhere: core would put None in their place and warn."""
    match data:
        case dict():
            return {k: _without_secrets(v) for k, v in data.items() if not _is_secret(v)}
        case list():
            return [_without_secrets(item) for item in data]
        case _:
            return data


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get("lc") == 1 and value.get("type") == "secret"
