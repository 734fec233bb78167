"""References to pictures in a `glmv.PictureStore` -> blocks that any model takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, MessageLikeRepresentation, convert_to_messages
from langchain_core.prompt_values import PromptValue

import glmv
from langchain_glmv.content import HOLDERS, reference_in
from langchain_glmv.errors import joined_errors
from langchain_glmv.messages import block_of


def resolve(
    messages: Sequence[MessageLikeRepresentation] | PromptValue | str, store: glmv.PictureStore
) -> list[BaseMessage]:
    """Messages with references -> the same with base64, for models that know no store.

    `ChatGLMV(picture_store=store)` needs none of this. It is for what stands beside it:
    `model.with_fallbacks([RunnableLambda(lambda messages: resolve(messages, store)) | other])`.

    Args:
        messages: what a model takes: messages, a prompt's value, or a text.
        store: the references are resolved from this one only.

    Returns:
        Messages with the bytes that were stored, nothing fitted. Messages without references are the same objects;
        what comes in is not changed.

    Raises:
        InvalidRequestError: a reference is malformed, or the store does not have it.
    """
    given = messages.to_messages() if isinstance(messages, PromptValue) else messages
    with joined_errors():
        return [
            _resolved(message, store) for message in convert_to_messages([given] if isinstance(given, str) else given)
        ]


def _resolved(message: BaseMessage, store: glmv.PictureStore) -> BaseMessage:
    content = _content(message.content, store)
    return message if content is message.content else message.model_copy(update={"content": content})


def _content(content: Any, store: glmv.PictureStore) -> Any:
    """A message's content, or that of a block which holds blocks; the same object when there is nothing to resolve."""
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
