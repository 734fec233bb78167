"""`GLMVEmbeddings`: the platform's text embeddings for retrieval; they use the same key as `ChatGLMV`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings
from pydantic import AliasChoices, Field

import glmv
from langchain_glmv.errors import joined_errors
from langchain_glmv.options import constructor_options


class GLMVEmbeddings(glmv.Component, Embeddings):
    """Texts -> vectors. The fields of `glmv.Connection` set the server and the key, as in `ChatGLMV`.

    Attributes:
        model: "embedding-3" or "embedding-2".
        dimensions: 256, 512, 1024 or 2048; None means 2048. embedding-2 always returns 1024.

    Examples:
        >>> from langchain_glmv import GLMVEmbeddings
        >>> GLMVEmbeddings(dimensions=256).embed_query("a red lighthouse")  # doctest: +SKIP
    """

    model: str = Field(default="embedding-3", validation_alias=AliasChoices("model", "model_name"))
    dimensions: int | None = None

    if not TYPE_CHECKING:  # type checkers use the signature that pydantic generates

        def __init__(self, **kwargs: Any) -> None:
            with joined_errors():
                glmv.without_values(lambda: super(GLMVEmbeddings, self).__init__(**constructor_options(kwargs)), kwargs)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text, in the order of the texts; [] for no texts.

        Raises:
            GLMVError: a call fails. The error is also an instance of one of LangChain's error classes.
        """
        with joined_errors():
            client = self.clients.sync
            return client.embed(texts, model=self.model, dimensions=self.dimensions).vectors if texts else []

    def embed_query(self, text: str) -> list[float]:
        """The vector of one text."""
        return self.embed_documents([text])[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """The asynchronous form of `embed_documents`."""
        with joined_errors():
            client = self.clients.asynchronous
            return (await client.embed(texts, model=self.model, dimensions=self.dimensions)).vectors if texts else []

    async def aembed_query(self, text: str) -> list[float]:
        """The asynchronous form of `embed_query`."""
        return (await self.aembed_documents([text]))[0]
