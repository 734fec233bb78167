"""Zhipu's text embeddings in LlamaIndex, with the same key as `GLMV`."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from llama_index.core.embeddings import BaseEmbedding
from pydantic import AliasChoices, Field, model_validator

from llama_index_glmv.clients import CLIENT_FIELDS, SharesClient
from llama_index_glmv.metadata import EMBEDDINGS, register_name

MAX_TEXTS = 64
"""The maximum number of texts in one request (docs.bigmodel.cn, "文本嵌入")."""


class GLMVEmbedding(SharesClient, BaseEmbedding):
    """embedding-3 and embedding-2 for indexes and retrievers: `GLMVEmbedding(dimensions=1024)`.

    The fields for server, key and connection are those of `GLMV`. Pictures cannot be embedded, because the platform
    has no model for this; embed their descriptions.

    Attributes:
        model: "embedding-3" or "embedding-2"; `model_name` is the same.
        dimensions: 256, 512, 1024 or 2048; None means the platform's default, 2048. embedding-2 always
            returns 1024.
        embed_batch_size: number of texts in one request, at most 64.

    Raises:
        GLMVError: a call fails, or a text is empty.
    """

    shares: ClassVar[frozenset[str]] = CLIENT_FIELDS
    model: str = Field(default="embedding-3", validation_alias=AliasChoices("model", "model_name"))
    dimensions: int | None = Field(default=None, gt=0)
    embed_batch_size: int = Field(default=MAX_TEXTS, gt=0, le=MAX_TEXTS)

    @model_validator(mode="after")
    def _set_model_name(self) -> Self:
        self.model_name = self.model
        return self

    @classmethod
    def class_name(cls) -> str:
        """The name of the class in serialized objects."""
        return "glmv_embedding"

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._sync.embed(texts, model=self.model, dimensions=self.dimensions).vectors

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        result = await self._asynchronous.embed(texts, model=self.model, dimensions=self.dimensions)
        return result.vectors

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await self._aget_text_embedding(query)

    def to_payload(self) -> dict[str, Any]:
        """The settings that tracers receive: no key and no header."""
        return {
            "class_name": self.class_name(),
            "model_name": self.model,
            "embed_batch_size": self.embed_batch_size,
            "dimensions": self.dimensions,
        }


register_name(GLMVEmbedding, EMBEDDINGS)
