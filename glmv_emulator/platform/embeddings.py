"""Text embeddings: hashed words and character n-grams, so that texts that share them are near each other.

They are good enough for retrieval tests. Unlike the embeddings of a model, they do not place synonyms near each other.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from typing import Any

from glmv_emulator.platform.errors import Refusal
from glmv_emulator.platform.models import Model, find
from glmv_emulator.platform.usage import count

# bigmodel.cn docs, embeddings: embedding-3 takes 64 texts of 3072 tokens; embedding-2 texts of 512, 8K in total.
MOST_INPUTS = 64
MOST_TOGETHER = {"embedding-2": 8192}
GRAM_SIZES = (3, 4)
GRAM_WEIGHT = 0.35
FULL_WEIGHT_AT = 5  # letters: short words are mostly grammar

_WORD = re.compile(r"[^\W\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+|[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")


def answer(body: Any) -> dict[str, Any]:
    """The response to an embeddings request; raises the platform's refusals."""
    if not isinstance(body, dict):
        raise Refusal("1210", "请求体应为 JSON 对象", "the body must be a JSON object")
    model = _model(body.get("model"))
    dimensions = body.get("dimensions")
    if dimensions is None:
        dimensions = model.dimensions[0]
    if isinstance(dimensions, bool) or dimensions not in model.dimensions:
        raise Refusal("1214", f"dimensions {sorted(model.dimensions)}")
    texts = _texts(body.get("input"))
    counts = [count(text) for text in texts]
    assert isinstance(model.context, int)
    if max(counts) > model.context or sum(counts) > MOST_TOGETHER.get(model.name, sum(counts)):
        raise Refusal("1261")
    data = [
        {"object": "embedding", "index": index, "embedding": vector(text, dimensions)}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": sum(counts), "completion_tokens": 0, "total_tokens": sum(counts)}
    return {"model": model.name, "object": "list", "data": data, "usage": usage}


def _model(name: Any) -> Model:
    if name is None:
        raise Refusal("1213", "model")
    model = find(name) if isinstance(name, str) else None
    if model is None:
        raise Refusal("1211", "", str(name)[:64])
    if model.kind != "embedding":
        raise Refusal("1212", "embeddings")
    return model


def _texts(value: Any) -> list[str]:
    if value is None:
        raise Refusal("1213", "input")
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or len(texts) > MOST_INPUTS:
        raise Refusal("1214", f"input（1 - {MOST_INPUTS}）", f"input (1 - {MOST_INPUTS} texts)")
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise Refusal("1214", "input")
    return texts


def vector(text: str, dimensions: int) -> list[float]:
    """A unit vector. A hash of each feature of the text selects the position and the sign of the feature's weight."""
    sums = [0.0] * dimensions
    for feature, weight in _features(text).items():
        number = int.from_bytes(hashlib.blake2b(feature.encode("utf-8", "replace"), digest_size=8).digest(), "big")
        sums[number % dimensions] += weight if number >> 63 else -weight
    length = math.sqrt(sum(value * value for value in sums))
    if not length:
        sums[0] = length = 1.0
    return [round(value / length, 8) for value in sums]


def _features(text: str) -> dict[str, float]:
    counts: Counter[str] = Counter()
    weights: dict[str, float] = {}
    for word in _WORD.findall(text.lower()):
        if ord(word[0]) >= 0x3400:
            parts = [*word, *(word[start : start + 2] for start in range(len(word) - 1))]
            weighted = {part: 0.5 * len(part) for part in parts}
        else:
            weighted = {f"#{gram}": GRAM_WEIGHT for gram in _grams(f"<{word}>")}
            weighted[word] = min(1.0, len(word) / FULL_WEIGHT_AT)
        counts.update(weighted.keys())
        weights |= weighted
    return {feature: weights[feature] * math.sqrt(number) for feature, number in counts.items()}


def _grams(word: str) -> list[str]:
    return [word[start : start + size] for size in GRAM_SIZES for start in range(len(word) - size + 1)]
