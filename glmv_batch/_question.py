"""The question about each item, and the conversion of its answer to a row.

A question contains no key, so that it can be pickled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import glmv
from glmv_batch._items import Item
from glmv_batch._row import Row, plain, restored


class Question:
    """The same question about every item.

    Args:
        prompt: the question about each picture.
        messages: messages, or a function from `Item` to messages; replaces `prompt`. If it is not a function, the
            picture is added to the last user message.
        schema: a pydantic class or JSON Schema that the answer must fit.
        model, options: the model and the options of each call, as for `glmv.Client.chat`.

    Raises:
        InvalidRequestError: neither or both of prompt and messages are given, or the schema is invalid.
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
            raise glmv.InvalidRequestError("Pass either prompt='...' or messages=....")
        given = prompt if messages is None else messages
        if not (callable(given) or isinstance(given, Iterable | glmv.Message)):
            raise glmv.InvalidRequestError(
                f"{'prompt' if messages is None else 'messages'} must be a text, a list of messages or a function; got "
                f"{type(given).__name__}."
            )
        self.schema, self.model = schema, model
        # An iterator can be read only once, but the messages are needed for every item.
        self.messages = list(given) if isinstance(given, Iterator) else given
        self.json_schema = json_schema_of(schema)
        self.options: dict[str, Any] = dict(options or {})
        if self.json_schema is not None:
            named_schema = {"name": str(self.json_schema.get("title") or "answer"), "schema": self.json_schema}
            self.options["response_format"] = {"type": "json_schema", "json_schema": named_schema}
            self.options["validate"] = self.parsed

    def messages_of(self, item: Item) -> Any:
        """The messages to send for an item. Call this in a worker thread, since it reads the picture.

        Raises:
            GLMVError: the picture does not exist.
        """
        if callable(self.messages):
            return self.messages(item)
        return self.about(self.part_of(item))

    def part_of(self, item: Item) -> Any:
        """An item's picture. Call this in a worker thread, since it reads the picture.

        Raises:
            GLMVError: the picture does not exist, or the item has none.
        """
        part = item.part()
        if part is None:
            raise glmv.InvalidRequestError("The item has no picture; nothing was sent.")
        return part

    def about(self, *parts: Any) -> list[Any]:
        """The messages with these pictures added. Do not call this if `messages` is a function."""
        return _with(self.messages, parts)

    def parsed(self, text: str) -> Any:
        """An answer's text -> the object or value of the schema.

        Raises:
            ValueError: the text does not fit the schema.
        """
        value = json.loads(text)
        validate: Callable[[Any], Any] | None = getattr(self.schema, "model_validate", None)
        return value if validate is None else validate(value)

    def row_of(self, item: Item, answer: Any, seconds: float) -> Row:
        """The result for an item -> its row.

        Args:
            answer: a `Completion`, an error, or the result of the user's function: a text, or the parsed value.
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
                json_text = json.dumps(plain(answer), ensure_ascii=False)
                return Row(item.name, json_text, answer, seconds=seconds, columns=item.columns)

    def row_of_facts(self, item: Item, facts: Mapping[str, Any]) -> Row:
        """The facts in the ledger -> the item's row.

        `parsed` is made from the stored text of the answer, because a pydantic class can refuse JSON that it wrote.
        """
        row = restored(facts, item.name, item.columns)
        return row if self.json_schema is None or not row.ok else self._fitting(row, row.text or "")

    def _fitting(self, row: Row, text: str) -> Row:
        """The row with the parsed answer. If the text does not fit the schema, the row has the text and an error."""
        try:
            return replace(row, parsed=self.parsed(text))
        except ValueError as wrong:
            message = f"The answer does not fit the schema: {wrong}"
            return replace(row, error=message, error_class=glmv.MalformedResponse.__name__, retryable=True)


def failed(item: Item, error: Exception, seconds: float) -> Row:
    """The error of an item -> its row."""
    row = Row(item.name, seconds=seconds, error=str(error) or type(error).__name__, columns=item.columns)
    if not isinstance(error, glmv.GLMVError):
        return replace(row, error_class=type(error).__name__, retryable=not is_final(error))
    # An answer that does not fit is paid for, so its text and usage stay.
    unfit = isinstance(error, glmv.MalformedResponse)
    partial = error.partial or glmv.Completion()
    return replace(
        row,
        text=partial.text if unfit and partial.text else None,
        usage=partial.usage,
        model=partial.model or None,
        attempts=error.attempts,
        # Errors from `langchain_glmv` are subclasses of glmv's errors: the name is that of glmv's class.
        error_class=next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == _ERRORS),
        code=error.code,
        retryable=not is_final(error),
    )


def is_final(error: Exception) -> bool:
    """Whether the same request would fail again whenever it is sent.

    `retryable` of an error says only whether an immediate retry may succeed. After a second
    timeout, after the deadline, or if the model does not exist, it is False; but the call may succeed another day.
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
    """A pydantic class or JSON Schema -> JSON Schema; None stays None.

    Args:
        mode: "validation" for the JSON that a pydantic class reads, "serialization" for the JSON that it writes.

    Raises:
        InvalidRequestError: the schema is none of these.
    """
    match schema:
        case None:
            return None
        case Mapping():
            return dict(schema)
        case _ if hasattr(schema, "model_json_schema"):
            json_schema: dict[str, Any] = schema.model_json_schema(mode=mode)
            return json_schema
        case _:
            raise glmv.InvalidRequestError(
                f"schema must be a pydantic class or a JSON Schema as a dict; got {type(schema).__name__}."
            )


def _with(messages: Any, parts: tuple[Any, ...]) -> list[Any]:
    """Messages with the picture in the last user message, before its text."""
    turns: list[Any] = [messages] if isinstance(messages, str | glmv.Message | Mapping) else list(messages)
    if not any(isinstance(turn, glmv.Message) or (isinstance(turn, Mapping) and "role" in turn) for turn in turns):
        return [glmv.Message("user", (*parts, *turns))]
    for place in range(len(turns) - 1, -1, -1):
        match turns[place]:
            case glmv.Message(role="user", content=content):
                turns[place] = glmv.Message("user", (*parts, *content))
                return turns
            case {"role": "user", "content": content, **more}:
                words = [content] if isinstance(content, str) else list(content)
                turns[place] = {**more, "role": "user", "content": [*parts, *words]}
                return turns
    return [*turns, glmv.Message("user", parts)] if parts else turns
