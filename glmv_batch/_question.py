"""What is asked about each item, and what becomes of the answer; knows no key and no connection, so it may travel."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import glmv
from glmv_batch._items import Item
from glmv_batch._row import Row, plain, restored


class Question:
    """The same question about every item.

    Args:
        prompt: asked about each picture.
        messages: instead of the prompt: messages, to whose last turn of the user the picture is added, or a function
            from `Item` to messages.
        schema: a pydantic class or JSON Schema that the answer fits.
        model, options: of each call, as `glmv.Client.chat` takes them.

    Raises:
        InvalidRequestError: for neither or both of prompt and messages, or a schema that is none.
    """

    def __init__(
        self,
        prompt: str | None = None,
        *,
        messages: Any = None,
        schema: Any = None,
        model: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if (prompt is None) == (messages is None):
            raise glmv.InvalidRequestError("Say what is asked: prompt='...' or messages=..., and not both.")
        self.schema, self.model = schema, model
        # What can be read once only is asked about every item.
        self.messages = list(messages) if isinstance(messages, Iterator) else prompt if messages is None else messages
        self.json_schema = json_schema_of(schema)
        self.options: dict[str, Any] = dict(options or {})
        if self.json_schema is not None:
            named = {"name": str(self.json_schema.get("title") or "answer"), "schema": self.json_schema}
            self.options["response_format"] = {"type": "json_schema", "json_schema": named}
            self.options["validate"] = self.parsed

    def messages_of(self, item: Item) -> Any:
        """What is sent for an item. Reads the picture: to be called in a worker thread.

        Raises:
            GLMVError: there is no such picture.
        """
        if callable(self.messages):
            return self.messages(item)
        return self.about(self.part_of(item))

    def part_of(self, item: Item) -> Any:
        """An item's picture. Reads it: to be called in a worker thread.

        Raises:
            GLMVError: there is none.
        """
        part = item.part()
        if part is None:
            raise glmv.InvalidRequestError("There is no picture: nothing was asked.")
        return part

    def about(self, *parts: Any) -> list[Any]:
        """The question about these pictures, where it is the same for all items."""
        return _with(self.messages, parts)

    def parsed(self, text: str) -> Any:
        """An answer's text -> what it says by the schema.

        Raises:
            ValueError: it does not fit.
        """
        said = json.loads(text)
        validate: Callable[[Any], Any] | None = getattr(self.schema, "model_validate", None)
        return said if validate is None else validate(said)

    def row_of(self, item: Item, answer: Any, seconds: float) -> Row:
        """What became of an item -> its row.

        Args:
            answer: a `Completion`, the error, or what a function of the user's own returned: a text, or what is parsed.
        """
        match answer:
            case glmv.Completion():
                row = Row(
                    item.name,
                    answer.text,
                    None,
                    answer.usage,
                    answer.model,
                    answer.attempts,
                    seconds,
                    notes=answer.notes,
                    columns=item.columns,
                )
                return row if self.json_schema is None else self._fitting(row, answer.text)
            case Exception():
                return failed(item, answer, seconds)
            case str():
                row = Row(item.name, answer, seconds=seconds, columns=item.columns)
                return row if self.json_schema is None else self._fitting(row, answer)
            case _:
                said = json.dumps(plain(answer), ensure_ascii=False)
                return Row(item.name, said, answer, seconds=seconds, columns=item.columns)

    def known(self, item: Item, facts: Mapping[str, Any]) -> Row:
        """What the ledger has of an item -> its row. The text is read again, as it was when it came: what a pydantic
        class wrote need not be what it reads.
        """
        row = restored(facts, item.name, item.columns)
        return row if self.json_schema is None or not row.ok else self._fitting(row, row.text or "")

    def _fitting(self, row: Row, text: str) -> Row:
        """The row with what its answer says; of an answer that does not fit the text is kept: it is paid for."""
        try:
            return replace(row, parsed=self.parsed(text))
        except ValueError as wrong:
            told = f"The answer does not fit the schema: {wrong}"
            return replace(row, error=told, error_class=glmv.MalformedResponse.__name__, retryable=True)


def failed(item: Item, error: Exception, seconds: float) -> Row:
    """An item that was not answered -> its row."""
    row = Row(item.name, seconds=seconds, error=str(error) or type(error).__name__, columns=item.columns)
    if not isinstance(error, glmv.GLMVError):
        return replace(row, error_class=type(error).__name__, retryable=not is_final(error))
    # An answer that does not fit is paid for, and another one may fit.
    unfit = isinstance(error, glmv.MalformedResponse)
    paid = error.partial or glmv.Completion()
    return replace(
        row,
        text=paid.text if unfit and paid.text else None,
        usage=paid.usage,
        model=paid.model or None,
        attempts=error.attempts,
        # LangChain's errors are classes that are both theirs and ours: the name is ours.
        error_class=next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == _ERRORS),
        code=error.code,
        retryable=not is_final(error),
    )


def is_final(error: Exception) -> bool:
    """Whether the same question about the same item would fail again, on whatever day.

    A call's own `retryable` is about this hour: a second timeout, a passed deadline or a model that a server lacks are
    not tried again then, and may go well tomorrow.
    """
    match error:
        case glmv.NotFoundError():
            return False
        case glmv.InvalidRequestError():
            return error.kind != "settings"
        case glmv.ContentFilterError():
            return True
        case glmv.GLMVError():
            return False
        case _:
            return True


_ERRORS = glmv.GLMVError.__module__


def json_schema_of(schema: Any, mode: Literal["validation", "serialization"] = "validation") -> dict[str, Any] | None:
    """A pydantic class or JSON Schema -> JSON Schema.

    Args:
        mode: of what a pydantic class reads, or of what `plain` makes of it: names and types may differ.

    Raises:
        InvalidRequestError: it is neither.
    """
    match schema:
        case None:
            return None
        case Mapping():
            return dict(schema)
        case _ if hasattr(schema, "model_json_schema"):
            described: dict[str, Any] = schema.model_json_schema(mode=mode)
            return described
        case _:
            raise glmv.InvalidRequestError(
                f"schema is a pydantic class or JSON Schema as a dict; got {type(schema).__name__}."
            )


def _with(messages: Any, parts: tuple[Any, ...]) -> list[Any]:
    """Messages with the picture in the last turn of the user, before its words."""
    told: list[Any] = [messages] if isinstance(messages, str | glmv.Message | Mapping) else list(messages)
    if not any(isinstance(turn, glmv.Message) or (isinstance(turn, Mapping) and "role" in turn) for turn in told):
        return [glmv.Message("user", (*parts, *told))]
    for place in range(len(told) - 1, -1, -1):
        match told[place]:
            case glmv.Message(role="user", content=content):
                told[place] = glmv.Message("user", (*parts, *content))
                return told
            case {"role": "user", "content": content, **more}:
                words = [content] if isinstance(content, str) else list(content)
                told[place] = {**more, "role": "user", "content": [*parts, *words]}
                return told
    return [*told, glmv.Message("user", parts)] if parts else told
