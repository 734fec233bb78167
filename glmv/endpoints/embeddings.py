"""Embeds texts as vectors, for retrieval. The API key of the chat models is valid for embeddings, too.

Source: docs.bigmodel.cn, "文本嵌入": embedding-3 has 256, 512, 1024 or 2048 dimensions (2048 by default). It accepts
up to 64 texts a call, each of up to 3072 tokens. embedding-2 has 1024 dimensions, and accepts up to 512 tokens a text.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from glmv._public import public_class
from glmv.endpoints.context import Context
from glmv.errors import InvalidRequestError, LimitExceeded, MalformedResponse
from glmv.exchange.steps import Step
from glmv.media.text import shown
from glmv.types import Usage
from glmv.wire.decode import usage_of

MAX_INPUTS = 64
# Model -> its documented dimensions. For a model that is not listed, any number is sent.
DIMENSIONS = {"embedding-3": (256, 512, 1024, 2048), "embedding-2": (1024,)}


@public_class
@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each text, in the order of the texts.

    Attributes:
        vectors: lists of floats.
        usage: tokens of all calls together.
        model: as the platform sent it.
    """

    vectors: list[list[float]] = field(repr=False)
    usage: Usage
    model: str


def embed(
    context: Context, texts: str | Sequence[str], model: str, dimensions: int | None
) -> Generator[Step, Any, Embeddings]:
    """Embeds texts in as many calls as needed, one after the other; returns all vectors."""
    texts = _checked(texts, model, dimensions)
    vectors: list[list[float]] = []
    used = [0, 0, 0]
    model_sent = model
    for start in range(0, len(texts), MAX_INPUTS):
        part = texts[start : start + MAX_INPUTS]
        # One text is sent as a string: all documents have that form, and one says that lists are not accepted.
        payload: dict[str, Any] = {"model": model, "input": part[0] if len(part) == 1 else part}
        # embedding-2 has no such field, and one size only.
        if dimensions is not None and len(DIMENSIONS.get(model.lower(), ())) != 1:
            payload["dimensions"] = dimensions
        # Not in a worker thread: writing and reading this JSON holds the interpreter's lock, for 10 ms at most, so that
        # an event loop would have to wait for the thread.
        answer = yield from context.fetch("POST", "/embeddings", payload, model=model)
        vectors += _vectors(answer, len(part))
        usage = usage_of(answer.get("usage") or {})
        used = [
            a + b for a, b in zip(used, (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), strict=True)
        ]
        model_sent = str(answer.get("model") or model)
    return Embeddings(vectors, Usage(*used), model_sent)


def _checked(texts: str | Sequence[str], model: str, dimensions: int | None) -> list[str]:
    texts = [texts] if isinstance(texts, str) else list(texts)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidRequestError(f"texts[{index}] is {type(text).__name__}; a text to embed is a str.")
        if not text:
            # The platform answers "Input cannot be empty" (1214) to the whole call.
            raise InvalidRequestError(f"texts[{index}] is empty; the platform refuses empty texts. Leave it out.")
    dimensions_of_model = DIMENSIONS.get(model.lower())
    if dimensions is not None and dimensions_of_model and dimensions not in dimensions_of_model:
        allowed = ", ".join(map(str, dimensions_of_model))
        raise LimitExceeded(f"{model} returns vectors of {allowed} dimensions; got dimensions={shown(dimensions)}.")
    return texts


def _vectors(answer: Mapping[str, Any], count: int) -> list[list[float]]:
    rows = answer.get("data")
    try:
        assert isinstance(rows, list)
        vectors = {int(row.get("index", position)): row["embedding"] for position, row in enumerate(rows)}
        result = [list(map(float, vectors[position])) for position in range(count)]
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError):
        raise MalformedResponse(
            f"{count} texts were sent; the response lacks a vector for one or more. Its fields are {sorted(answer)}."
        ) from None
    if not all(result) or len(set(map(len, result))) > 1:
        lengths = ", ".join(map(str, sorted(set(map(len, result)))))
        raise MalformedResponse(f"The vectors of the response are empty or have different lengths: {lengths}.")
    if not all(isfinite(sum(vector)) for vector in result):
        raise MalformedResponse(
            "A vector of the response has NaN or an infinite number: check the model on the server."
        )
    return result
