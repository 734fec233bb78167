"""Texts -> vectors, for retrieval with the same key.

Source: docs.bigmodel.cn, "文本嵌入": embedding-3 has 256, 512, 1024 or 2048 dimensions (2048 unless told), takes up to
64 texts a call of up to 3072 tokens each; embedding-2 has 1024 and takes up to 512 tokens each.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from glmv._public import public_class
from glmv.endpoints.context import Context
from glmv.errors import InvalidRequestError, LimitExceeded, MalformedResponse
from glmv.exchange.steps import Step
from glmv.media.text import shown
from glmv.types import Usage
from glmv.wire.decode import usage_of

MAX_INPUTS = 64
# Model -> the dimensions it documents. A model that is not here is sent as it is.
DIMENSIONS = {"embedding-3": (256, 512, 1024, 2048), "embedding-2": (1024,)}


@public_class
@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector a text, in the order of the texts.

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
    """As many calls as it takes, one after the other; returns the vectors of all."""
    texts = _checked(texts, model, dimensions)
    vectors: list[list[float]] = []
    used = [0, 0, 0]
    answered = model
    for start in range(0, len(texts), MAX_INPUTS):
        part = texts[start : start + MAX_INPUTS]
        # One text goes as a string: every document knows that form, and one says that lists are not taken.
        payload: dict[str, Any] = {"model": model, "input": part[0] if len(part) == 1 else part}
        # embedding-2 has no such field, and one size only.
        if dimensions is not None and len(DIMENSIONS.get(model.lower(), ())) != 1:
            payload["dimensions"] = dimensions
        # No work for a thread: writing and reading JSON holds the interpreter's lock, here for 4 and 10 ms at most, and
        # an event loop waits as long for another thread.
        answer = yield from context.fetch("POST", "/embeddings", payload, model=model)
        vectors += _vectors(answer, len(part))
        usage = usage_of(answer.get("usage") or {})
        used = [
            a + b for a, b in zip(used, (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), strict=True)
        ]
        answered = str(answer.get("model") or model)
    return Embeddings(vectors, Usage(*used), answered)


def _checked(texts: str | Sequence[str], model: str, dimensions: int | None) -> list[str]:
    texts = [texts] if isinstance(texts, str) else list(texts)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidRequestError(f"texts[{index}] is {type(text).__name__}; only text can be embedded.")
        if not text:
            # "Input cannot be empty" (1214), and nothing of the whole call is embedded.
            raise InvalidRequestError(f"texts[{index}] is empty, and the platform embeds no empty text: leave it out.")
    known = DIMENSIONS.get(model.lower())
    if dimensions is not None and known and dimensions not in known:
        allowed = ", ".join(map(str, known))
        raise LimitExceeded(
            f"{model} has vectors of {allowed} dimensions; dimensions={shown(dimensions)} was asked for."
        )
    return texts


def _vectors(answer: Mapping[str, Any], count: int) -> list[list[float]]:
    rows = answer.get("data")
    try:
        assert isinstance(rows, list)
        placed = {int(row.get("index", position)): row["embedding"] for position, row in enumerate(rows)}
        return [list(map(float, placed[position])) for position in range(count)]
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError):
        raise MalformedResponse(
            f"{count} texts were sent, and the answer does not hold a vector for each; it has {sorted(answer)}."
        ) from None
