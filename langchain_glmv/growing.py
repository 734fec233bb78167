"""Parsers of structured answers. While an answer streams, each object that they yield extends the object before it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from pydantic import BaseModel

import glmv

if TYPE_CHECKING:
    # mypy's pydantic plugin resolves the field type of langchain-core's class in this module.
    from langchain_core.utils.pydantic import TBaseModel  # noqa: F401


# A number at the end of unfinished JSON, in an object or a list.
_LAST_NUMBER = re.compile(r"(?<=[:\[,\s])-?\d[-+.\deE]*\Z")


class GrowingJson(JsonOutputParser):
    """Parses JSON into dicts. While it streams, a key that was set stays set, and strings and lists only get longer.

    The last dict is always yielded. If the answer began again, this dict replaces all dicts before it.
    """

    name: str | None = "JsonOutputParser"
    """The name of langchain-core's parser in traces."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        text = result[0].text
        if partial and (number := _LAST_NUMBER.search(text)) and not _ends_in_string(text):
            # Some servers send the half of a number, which is another number than the whole.
            result = [Generation(text=text[: number.start()])]
        return super().parse_result(result, partial=partial)

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:  # noqa: A002  # langchain-core's name
        growth = _Growth()
        for value in super()._transform(input):
            if growth.takes(value):
                yield value
        if growth.pending is not None:
            yield growth.pending

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:  # noqa: A002  # langchain-core's name
        growth = _Growth()
        async for value in super()._atransform(input):
            if growth.takes(value):
                yield value
        if growth.pending is not None:
            yield growth.pending


def _ends_in_string(text: str) -> bool:
    """Whether unfinished JSON ends inside a string."""
    return text.replace("\\\\", "").replace('\\"', "").count('"') % 2 == 1


class GrowingObject(GrowingJson):
    """Parses JSON into objects of a pydantic class. Only the class validates the JSON, in its own mode (strict or lax).

    While the answer streams, an object is yielded whenever the class accepts the JSON so far. An unfinished string is
    included only if it could not be taken for another value, see `glmv.partial_object`.
    """

    name: str | None = "PydanticOutputParser"

    pydantic_object: Any

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        model: Any = self.pydantic_object
        text = result[0].text
        others: JsonOutputParser = PydanticOutputParser(pydantic_object=model)
        # langchain-core handles classes of pydantic 1, and raises its own error for a refusal.
        if not issubclass(model, BaseModel) or (not partial and _is_refused(result[0])):
            return others.parse_result(result, partial=partial)
        if partial and text.lstrip()[:1] in ("{", "["):
            whole, _ = glmv.partial_object(text, model)
            if whole is None:  # the class may accept the JSON without the unfinished string
                whole, _ = glmv.partial_object(text, model, strings=False)
            return whole
        if partial:
            return others.parse_result(result, partial=True)
        try:
            return model.model_validate_json(text)
        except ValueError as error:
            try:
                return others.parse_result(result)  # JSON in a code fence, from a server that is not the platform
            except OutputParserException as other:
                raise other from error


def _is_refused(result: Generation) -> bool:
    blocks: list[Any] = [*result.message.content_blocks] if isinstance(result, ChatGeneration) else []
    return any(block["type"] == "refusal" for block in blocks)


class _Growth:
    """Decides which objects of a stream are yielded; `pending` is the newest object if it was held back, else None."""

    def __init__(self) -> None:
        self._last: Any = None
        self.pending: Any = None

    def takes(self, value: Any) -> bool:
        grown = glmv.grows(self._last, value)
        self.pending = None if grown else value
        if grown:
            self._last = value
        return grown
