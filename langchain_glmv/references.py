"""References to pictures in a `glmv.PictureStore` -> content blocks that any model accepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, MessageLikeRepresentation, ToolMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue

import glmv
from langchain_glmv.content import HOLDERS, reference_in, with_blocks
from langchain_glmv.errors import joined_errors
from langchain_glmv.messages import block_of


def resolve(
    messages: Sequence[MessageLikeRepresentation] | PromptValue | str, store: glmv.PictureStore
) -> list[BaseMessage]:
    """Messages with references -> the same with base64, for models that cannot read the store.

    `ChatGLMV(picture_store=store)` does not need this function. Use it for other models, such as a fallback:
    `model.with_fallbacks([RunnableLambda(lambda messages: resolve(messages, store)) | other])`.

    Args:
        messages: the input of a model: messages, a prompt value, or a text.
        store: the references are resolved from this store only.

    Returns:
        The messages. Those with references are copies with the bytes as they were stored, not resized; all others are
        the same objects. The input is not changed.

    Raises:
        InvalidRequestError: a reference is malformed, or the store does not contain it.
    """
    prompt = messages.to_messages() if isinstance(messages, PromptValue) else messages
    with joined_errors():
        return [
            _resolved(message, store)
            for message in convert_to_messages([prompt] if isinstance(prompt, str) else prompt)
        ]


def _resolved(message: BaseMessage, store: glmv.PictureStore) -> BaseMessage:
    content: Any = message.content
    if isinstance(message, ToolMessage) and isinstance(content, str):
        content = with_blocks(content)
    content = _content(content, store)
    return message if content is message.content else message.model_copy(update={"content": content})


def _content(content: Any, store: glmv.PictureStore) -> Any:
    """The content of a message or of a block, resolved; the same object if there is nothing to resolve."""
    match content:
        case list():
            blocks = [_content(block, store) for block in content]
            return blocks if any(new is not old for new, old in zip(blocks, content, strict=True)) else content
        case dict():
            if (reference := reference_in(content)) is not None:
                return block_of(store.get(reference))
            inner = {key: _content(content[key], store) for key in HOLDERS if key in content}
            return {**content, **inner} if any(inner[key] is not content[key] for key in inner) else content
        case _:
            return content
