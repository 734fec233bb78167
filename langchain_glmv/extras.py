"""What goes with the models: drawn boxes, JSON and back, and `init_chat_model`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from langchain_core.load import dumps as core_dumps
from langchain_core.load import load as core_load
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableLambda

import glmv
from langchain_glmv.chat_models import ChatGLMV
from langchain_glmv.chunks import PROVIDER
from langchain_glmv.errors import joined_errors
from langchain_glmv.messages import Source

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

# "coordinates are normalized to 0-1000": github.com/zai-org/GLM-V, README, Grounding.
_GRID = 1000


def draw_boxes(
    source: Source | PILImage | glmv.Image, *, index: int | None = None, color: str = "red", width: int = 3
) -> Runnable[AIMessage, PILImage]:
    """A runnable that draws `response_metadata["boxes"]` of a message: `model | draw_boxes("photo.jpg")`.

    Args:
        source: the picture that was asked about: a path, bytes, a Pillow picture or a `glmv.Image` with bytes at hand.
        index: draw only the boxes of this picture, counted from 0 over the request; None draws all.
        color: of the lines, in Pillow's terms.
        width: of the lines, in pixels.

    Returns:
        A runnable from a message to a new Pillow picture, upright; without boxes it is the picture as it was. A
        photograph of more than 89 megapixels comes scaled down.
    """
    with joined_errors():
        seen = glmv.Image.of(source)
        seen.data()  # a URL is refused here, not at the first answer

    def draw(message: AIMessage) -> Any:
        try:
            from PIL import ImageDraw
        except ImportError:
            raise glmv.UnsupportedContent('Drawing boxes needs Pillow: pip install "glmv[images]".') from None

        with joined_errors():
            picture = seen.to_pil().convert("RGB")
        pen = ImageDraw.Draw(picture)
        for box in message.response_metadata.get("boxes", ()):
            if index is None or box["image"] in (None, index):
                x1, y1, x2, y2 = box["grid"]
                across, down = picture.width / _GRID, picture.height / _GRID
                pen.rectangle((x1 * across, y1 * down, x2 * across, y2 * down), outline=color, width=width)
        return picture

    return RunnableLambda(draw, name="draw_boxes")


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
    path = tuple(ChatGLMV.lc_id())
    by_module = (path[0], "chat_models", path[-1])  # the id by LangChain's convention, where the module is named
    data = json.loads(obj) if isinstance(obj, str) else obj
    variable = "ZHIPUAI_API_KEY"
    key = api_key or os.environ.get(variable)
    return core_load(
        data if key else _without_secrets(data),
        allowed_objects="core",
        valid_namespaces=[path[0]],
        additional_import_mappings={path: path, by_module: path},
        secrets_map={variable: key} if key else None,
    )


def _without_secrets(data: Any) -> Any:
    """Without markers for secrets that are not set: core would replace them by None and warn."""
    match data:
        case dict():
            return {k: _without_secrets(v) for k, v in data.items() if not _is_secret(v)}
        case list():
            return [_without_secrets(item) for item in data]
        case _:
            return data


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get("lc") == 1 and value.get("type") == "secret"


def register(name: str = PROVIDER) -> None:
    """Add `name` to the providers that LangChain's `init_chat_model` and `init_embeddings` know, for this process.

    The tables are private to `langchain`; should that of chat models move, this raises, and `ChatGLMV(model=...)`
    still works. Without that of embeddings, `GLMVEmbeddings(model=...)` does.

    Raises:
        RuntimeError: this version of `langchain` keeps its providers elsewhere.
        ImportError: `langchain` is not installed.
    """
    from langchain.chat_models import base
    from langchain.embeddings import base as embeddings

    providers = vars(base).get("_BUILTIN_PROVIDERS")
    if providers is None:
        raise RuntimeError(
            "This version of langchain keeps its providers elsewhere. Make the model directly: ChatGLMV(model=...)."
        )
    # As it is written, and as it is looked up: for embeddings, for chat models.
    for key in (name, name.lower(), name.lower().replace("-", "_")):
        providers[key] = ("langchain_glmv", "ChatGLMV", _create)
        match vars(embeddings).get("_BUILTIN_PROVIDERS"):
            case dict() as table:
                table[key] = ("langchain_glmv", "GLMVEmbeddings", _create)


def _create(cls: Any, **kwargs: Any) -> Any:
    return cls(**kwargs)
