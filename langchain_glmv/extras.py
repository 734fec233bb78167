"""Helpers for the models: drawing boxes, serialization to JSON and back, registration for `init_chat_model`."""

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
        source: the picture in the question: a path, bytes, a Pillow picture or a `glmv.Image` that is not a URL.
        index: draw only the boxes of the picture with this number, and boxes that name no picture; None draws all.
            Pictures are counted from 0 through the whole request.
        color: color of the lines, as Pillow names it.
        width: width of the lines in pixels.

    Returns:
        A runnable from a message to a new, upright Pillow picture; if the message has no boxes, nothing is drawn. A
        photograph of more than 89 megapixels is scaled down.
    """
    with joined_errors():
        image = glmv.Image.of(source)
        image.data()  # refuses a URL here, not at the first answer

    def draw(message: AIMessage) -> Any:
        try:
            from PIL import ImageDraw
        except ImportError:
            raise glmv.UnsupportedContent('Drawing boxes needs Pillow: pip install "glmv[images]".') from None

        with joined_errors():
            picture = image.to_pil().convert("RGB")
        pen = ImageDraw.Draw(picture)
        for box in message.response_metadata.get("boxes", ()):
            if index is None or box["image"] in (None, index):
                x1, y1, x2, y2 = box["grid"]
                across, down = picture.width / _GRID, picture.height / _GRID
                pen.rectangle((x1 * across, y1 * down, x2 * across, y2 * down), outline=color, width=width)
        return picture

    return RunnableLambda(draw, name="draw_boxes")


def dumps(obj: Any) -> str:
    """A model, or a chain that contains one -> JSON with the settings, without the key."""
    return core_dumps(obj)


def load(obj: str | dict[str, Any], *, api_key: str | None = None) -> Any:
    """The output of `dumps` or `langchain_core.load.dumpd` -> the model or chain.

    `langchain_core.load.load` loads only the classes of a built-in list; this function also loads `ChatGLMV`.
    The loaded settings decide where requests go, so load only data that you trust.

    Args:
        obj: the JSON, or the dict in it.
        api_key: the key to use; None means ZHIPUAI_API_KEY as it is set now. If this variable is not set, the first
            call reads the environment.
    """
    path = tuple(ChatGLMV.lc_id())
    by_module = (path[0], "chat_models", path[-1])  # LangChain's convention: with the module's name
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
    """Remove the placeholders of secrets: without a key, langchain-core would replace them by None and warn."""
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
    """Add `name` to the providers of LangChain's `init_chat_model` and `init_embeddings`, for this process.

    The provider tables are private to `langchain`. If there is none for chat models, this function raises an error;
    `ChatGLMV(model=...)` still works. A missing table for embeddings is ignored; use `GLMVEmbeddings(model=...)` then.

    Raises:
        RuntimeError: this version of `langchain` has no such table for chat models.
        ImportError: `langchain` is not installed.
    """
    try:
        from langchain.chat_models import base
        from langchain.embeddings import base as embeddings
    except ModuleNotFoundError as missing:
        if missing.name != "langchain":
            raise
        raise ModuleNotFoundError(
            "register() extends the package langchain, which is not installed: pip install langchain", name="langchain"
        ) from None

    providers = vars(base).get("_BUILTIN_PROVIDERS")
    if providers is None:
        raise RuntimeError(
            "register() found no provider table in this version of langchain. Create the model directly: "
            "ChatGLMV(model=...)."
        )
    # The name as given, as looked up for embeddings, and as looked up for chat models.
    for key in (name, name.lower(), name.lower().replace("-", "_")):
        providers[key] = ("langchain_glmv", "ChatGLMV", _create)
        match vars(embeddings).get("_BUILTIN_PROVIDERS"):
            case dict() as table:
                table[key] = ("langchain_glmv", "GLMVEmbeddings", _create)


def _create(cls: Any, **kwargs: Any) -> Any:
    return cls(**kwargs)
