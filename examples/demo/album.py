"""Six pictures with captions in a LlamaIndex index, searchable without a network or a model."""

from __future__ import annotations

import math
import re
import zlib
from pathlib import Path

from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.schema import ImageNode

CAPTIONS = {
    "coffee.jpg": "a cup of coffee, an espresso on a wooden table",
    "cat.jpg": "a cat, its face and green eyes",
    "rocket.jpg": "a rocket on its launch pad at night",
    "chart.png": "a bar chart of cups sold on each day of a week",
    "receipt.png": "a till receipt with a total in euro",
    "form.png": "a service report form for a coffee grinder",
}
STOP_WORDS = {
    "a",
    "an",
    "and",
    "at",
    "each",
    "for",
    "in",
    "is",
    "it",
    "its",
    "of",
    "on",
    "the",
    "this",
    "to",
    "with",
}


class WordHash(BaseEmbedding):
    """A text as the set of its words, hashed into a vector: texts that share words are near."""

    size: int = 512

    def _get_text_embedding(self, text: str) -> list[float]:
        words = set(re.findall(r"[a-z]+", text.lower())) - STOP_WORDS
        vector = [0.0] * self.size
        for word in words:
            vector[zlib.crc32(word.encode()) % self.size] += 1 / math.sqrt(len(words))
        return vector

    _get_query_embedding = _get_text_embedding

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def album(folder: Path) -> VectorStoreIndex:
    """A folder of pictures -> an index: their captions are searched, the pictures are found."""
    nodes = [
        ImageNode(
            text=caption,
            image_path=str(folder / name),
            metadata={"file_name": name},
            excluded_embed_metadata_keys=["file_name"],
            excluded_llm_metadata_keys=["file_name"],
        )
        for name, caption in CAPTIONS.items()
    ]
    return VectorStoreIndex(nodes, embed_model=WordHash())
