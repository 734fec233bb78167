"""Writes descriptions of pictures, so that text indexes find the pictures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llama_index.core.base.llms.types import CompletionResponse
from llama_index.core.schema import BaseNode, ImageNode, Node, TransformComponent
from pydantic import Field, SerializeAsAny

import glmv
from llama_index_glmv.images import OnError, index_nodes
from llama_index_glmv.llm import GLMV

log = logging.getLogger("glmv")

PROMPT = (
    "Describe this picture for a search index in at most five sentences: what it shows, its main colours, and every "
    "word and number that can be read in it."
)

# Errors that every other picture would get, too.
_FATAL = (glmv.AuthenticationError, glmv.PermissionDeniedError, glmv.QuotaError)
_ERROR = "caption_error"  # in the metadata of a picture that could not be described


class GLMVImageCaptioner(TransformComponent):
    """Writes descriptions into pictures without text, because `VectorStoreIndex` skips pictures without text.

    Attributes:
        llm: the model that describes the pictures.
        prompt: the prompt for each picture.
        num_workers: how many pictures are described at the same time.
        overwrite: whether pictures that have text get a new description.
        on_error: "raise" ends the run at the first picture that cannot be described; "skip" leaves it without a
            description, puts the name of the error class into its metadata as "caption_error", and logs the error. A
            key that is refused or an account without money ends the run in any case.
        nodes: whether pictures become `ImageNode`s. An index needs them, because vector stores return other nodes
            without their picture. With True, pictures that cannot be described are left out.

    If no splitter follows: `transformations=[GLMVImageCaptioner(llm=llm, nodes=True)]`. A splitter makes `ImageNode`s
    itself, so `nodes` is not needed before it: `transformations=[GLMVImageCaptioner(llm=llm), SentenceSplitter()]`.
    """

    llm: SerializeAsAny[GLMV] = Field(default_factory=GLMV)
    prompt: str = PROMPT
    num_workers: int = Field(default=4, ge=1)
    overwrite: bool = False
    on_error: OnError = "raise"
    nodes: bool = False

    @classmethod
    def class_name(cls) -> str:
        """The name of the class in serialized objects."""
        return "glmv_image_captioner"

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Return the nodes in the same order. Each described picture is replaced by a copy with text; see `nodes`.

        Raises:
            GLMVError: a picture cannot be described and `on_error` is "raise"; or, with any `on_error`, the key is
                refused or the account has no money.
        """
        with ThreadPoolExecutor(self.num_workers) as pool:
            return self._output(list(pool.map(self._described, nodes)))

    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """The asynchronous form of calling the captioner."""
        slots = asyncio.Semaphore(self.num_workers)

        async def described(node: BaseNode) -> BaseNode:
            async with slots:
                return await self._adescribed(node)

        tasks = [asyncio.create_task(described(node)) for node in nodes]
        try:
            return self._output(list(await asyncio.gather(*tasks)))
        except BaseException:
            for task in tasks:  # they would go on, and be paid for
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def _output(self, described: list[BaseNode]) -> list[BaseNode]:
        if not self.nodes:
            return described
        # A query may find a picture by its file name alone. If the file cannot be opened, the query would fail.
        return index_nodes([node for node in described if _ERROR not in node.metadata])

    def _wants(self, node: BaseNode) -> bool:
        match node:
            case ImageNode():
                pass
            case Node() if node.image_resource is not None:
                pass
            case _:
                return False
        return self.overwrite or not node.get_content().strip()

    def _described(self, node: BaseNode) -> BaseNode:
        if not self._wants(node):
            return node
        try:
            return _with_text(node, self.llm.complete(self.prompt, image_documents=[node]))
        except glmv.GLMVError as error:
            return self._failed(node, error)

    async def _adescribed(self, node: BaseNode) -> BaseNode:
        if not self._wants(node):
            return node
        try:
            return _with_text(node, await self.llm.acomplete(self.prompt, image_documents=[node]))
        except glmv.GLMVError as error:
            return self._failed(node, error)

    def _failed(self, node: BaseNode, error: glmv.GLMVError) -> BaseNode:
        if self.on_error == "raise" or isinstance(error, _FATAL):
            raise error
        log.warning("%s was not described. %s", node.metadata.get("file_path") or node.node_id, error)
        excluded = {
            name: [*getattr(node, name), _ERROR]
            for name in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys")
        }
        return node.model_copy(update={"metadata": {**node.metadata, _ERROR: type(error).__name__}, **excluded})


def _with_text(node: BaseNode, answer: CompletionResponse) -> BaseNode:
    text = answer.text.strip()
    if not text:
        cut_off = answer.additional_kwargs.get("finish_reason") == "length"
        raise glmv.MalformedResponse(
            f"the description is empty.{' It was cut off by max_tokens: raise that limit.' * cut_off}",
            request_id=answer.additional_kwargs.get("request_id"),
        )
    metadata = {key: value for key, value in node.metadata.items() if key != _ERROR}
    described = node.model_copy(update={"metadata": metadata})
    described.set_content(text)
    return described
