"""Words for pictures, so that indexes of texts find them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from llama_index.core.async_utils import run_jobs
from llama_index.core.schema import BaseNode, ImageNode, Node, TransformComponent
from pydantic import Field, SerializeAsAny

import glmv
from llama_index_glmv.llm import GLMV

PROMPT = (
    "Describe this picture for a search index in at most five sentences: what it shows, its main colours, and every "
    "word and number that can be read in it."
)


class GLMVImageCaptioner(TransformComponent):
    """Writes a description into the text of pictures that have none; `VectorStoreIndex` skips pictures without.

    Attributes:
        llm: the model that looks.
        prompt: what it is asked of each picture.
        num_workers: pictures under way at once.
        overwrite: whether pictures that have a text get a new one.
        on_error: "raise" ends the run at the first picture that cannot be described; "skip" leaves it without a
            description and puts the error's name into its metadata as "caption_error".

    Put it before the splitter: `transformations=[GLMVImageCaptioner(llm=llm), SentenceSplitter()]`.
    """

    llm: SerializeAsAny[GLMV] = Field(default_factory=GLMV)
    prompt: str = PROMPT
    num_workers: int = Field(default=4, ge=1)
    overwrite: bool = False
    on_error: Literal["raise", "skip"] = "raise"

    @classmethod
    def class_name(cls) -> str:
        """The name it is serialized under."""
        return "glmv_image_captioner"

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Nodes -> the same in the same order; pictures are copies that have a text.

        Raises:
            GLMVError: a picture cannot be described, unless `on_error` is "skip".
        """
        with ThreadPoolExecutor(self.num_workers) as pool:
            return list(pool.map(self._described, nodes))

    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """The same, asynchronously."""
        jobs = [self._adescribed(node) for node in nodes]
        return list(await run_jobs(jobs, workers=self.num_workers))

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
            return _with_text(node, self.llm.complete(self.prompt, image_documents=[node]).text)
        except glmv.GLMVError as error:
            return self._failed(node, error)

    async def _adescribed(self, node: BaseNode) -> BaseNode:
        if not self._wants(node):
            return node
        try:
            response = await self.llm.acomplete(self.prompt, image_documents=[node])
            return _with_text(node, response.text)
        except glmv.GLMVError as error:
            return self._failed(node, error)

    def _failed(self, node: BaseNode, error: glmv.GLMVError) -> BaseNode:
        if self.on_error == "raise":
            raise error
        return node.model_copy(update={"metadata": {**node.metadata, "caption_error": type(error).__name__}})


def _with_text(node: BaseNode, text: str) -> BaseNode:
    described = node.model_copy()
    described.set_content(text.strip())
    return described
