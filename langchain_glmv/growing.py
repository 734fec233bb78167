"""Parsers of structured answers whose streamed objects only grow."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from pydantic import BaseModel
from pydantic_core import from_json

import glmv

if TYPE_CHECKING:
    # mypy's plugin for pydantic looks up here what the field of core's class refers to.
    from langchain_core.utils.pydantic import TBaseModel  # noqa: F401


class GrowingJson(JsonOutputParser):
    """JSON as dicts. While it streams, a key that was set stays set, and strings and lists only get longer.

    The last object is yielded in any case: where the answer began anew, it takes the place of those before.
    """

    name: str | None = "JsonOutputParser"
    """As core's is called in traces."""

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:  # noqa: A002  # core's name
        growth = _Growth()
        for found in super()._transform(input):
            if growth.takes(found):
                yield found
        if growth.held is not None:
            yield growth.held

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:  # noqa: A002  # core's name
        growth = _Growth()
        async for found in super()._atransform(input):
            if growth.takes(found):
                yield found
        if growth.held is not None:
            yield growth.held


class GrowingObject(GrowingJson):
    """JSON as objects of a pydantic class, which alone judges it: by its rules for JSON, strict or not.

    An object is yielded while it streams where the class takes what has come. A string that has not ended counts where
    the class takes it with more behind it, and makes more of it: half of a number in quotes is no number, and half of
    a path or a URL is another one.
    """

    name: str | None = "PydanticOutputParser"

    pydantic_object: Any

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        model: Any = self.pydantic_object
        text = result[0].text
        others: JsonOutputParser = PydanticOutputParser(pydantic_object=model)
        # Classes of pydantic 1, and a refusal, for which core has an error of its own.
        if not issubclass(model, BaseModel) or (not partial and _is_refused(result[0])):
            return others.parse_result(result, partial=partial)
        if partial and text.lstrip()[:1] in ("{", "["):
            return _so_far(text, model)
        if partial:
            return others.parse_result(result, partial=True)
        try:
            return model.model_validate_json(text)
        except ValueError as error:
            try:
                return others.parse_result(result)  # in a fence, from a server that the core leaves alone
            except OutputParserException as other:
                raise other from error


def _is_refused(result: Generation) -> bool:
    blocks: list[Any] = [*result.message.content_blocks] if isinstance(result, ChatGeneration) else []
    return any(block["type"] == "refusal" for block in blocks)


class _Growth:
    """Which of a stream's objects may be shown; `held` is the newest one that may not."""

    def __init__(self) -> None:
        self._last: Any = None
        self.held: Any = None

    def takes(self, found: Any) -> bool:
        grown = glmv.grows(_plain(self._last), _plain(found))
        self.held = None if grown else found
        if grown:
            self._last = found
        return grown


def _plain(found: Any) -> Any:
    """What of an object is set: a default may become anything."""
    return found.model_dump(exclude_unset=True) if isinstance(found, BaseModel) else found


def _so_far(text: str, model: type[BaseModel]) -> BaseModel | None:
    """What a class takes of JSON that has not ended, None when it takes nothing."""
    try:
        with_string = from_json(text, allow_partial="trailing-strings")
        without = from_json(text, allow_partial=True)
    except ValueError:
        return None
    if with_string != without:
        found = _read(with_string, model)
        longer = _read(from_json(f"{text}x", allow_partial="trailing-strings"), model)
        if found is not None and longer is not None and glmv.grows(_plain(found), _plain(longer)):
            return found
    return _read(without, model)


def _read(value: Any, model: type[BaseModel]) -> BaseModel | None:
    try:
        return model.model_validate_json(json.dumps(value))
    except ValueError:
        return None
