"""The key of an item: a hash of the request. So the same question about the same picture is paid for only once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import glmv
from glmv_batch._items import Item
from glmv_batch._question import Question

# Options that do not change the question, so they are not part of the key.
_MANNER = frozenset({"validate", "request_id", "user_id"})


class Digests(Protocol):
    """Stores the SHA-256 of a file, and returns it only if the size and modification time of the file are the same."""

    def digest(self, path: str, size: int, mtime: int) -> str | None: ...
    def keep_digest(self, path: str, size: int, mtime: int, digest: str) -> None: ...


class ItemKey(NamedTuple):
    """An item's key, the item (with its picture, if that was read for the key), and a function for its messages."""

    key: str
    item: Item
    messages: Callable[[], Any]


class Keys:
    """The keys of one job's items.

    A file is read for its key only once; later its size and modification time show whether it has changed.

    Attributes:
        question_hash: a hash of the question without the item.
    """

    def __init__(self, question: Question, model: str, defaults: glmv.Options, digests: Digests) -> None:
        """Keys for a question to a model; `defaults` are the client's options, `digests` stores the hashes of files.

        Raises:
            InvalidRequestError: the question or an option has a value that JSON does not have, such as a set.
        """
        self._question = question
        self._digests = digests
        usual = {name: getattr(defaults, name) for name in glmv.Options.model_fields}
        options = {name: value for name, value in usual.items() if value is not None} | question.options
        options = {name: value for name, value in options.items() if name not in _MANNER}
        match defaults:
            case glmv.Settings(model=own, base_model=str(base)) if own == model:
                options["base_model"] = base  # pictures are resized to its limits
        content = None if callable(question.messages) else _identity_of(question.about())
        try:
            self.question_hash = _hash([model.lower(), options, content])
        except (TypeError, ValueError, RecursionError) as error:
            raise glmv.InvalidRequestError(f"The question or an option cannot be written as JSON: {error}") from error

    def of(self, item: Item) -> ItemKey:
        """The key of an item. Call this in a worker thread, since it may read the picture.

        Raises:
            GLMVError: the picture does not exist.
        """
        if callable(self._question.messages):
            messages = self._question.messages(item)
            messages = list(messages) if isinstance(messages, Iterator) else messages
            return ItemKey(_hash([self.question_hash, _identity_of(messages)]), item, lambda: messages)
        if item.path is not None and (digest_so_far := self._stored_digest(item.path)) is not None:
            return self._item_key(digest_so_far, item)
        stamp = None if item.path is None else _stamp(item.path)
        part = self._question.part_of(item)
        digest = _digest(part)
        if stamp is not None and digest is not None:
            self._digests.keep_digest(*stamp, digest)
        return self._item_key(digest, replace(item, source=part))

    def _item_key(self, digest: str | None, item: Item) -> ItemKey:
        return ItemKey(_hash([self.question_hash, digest]), item, lambda: self._question.messages_of(item))

    def _stored_digest(self, path: Path) -> str | None:
        stamp = _stamp(path)
        return None if stamp is None else self._digests.digest(*stamp)


def _stamp(path: Path) -> tuple[str, int, int] | None:
    try:
        facts = path.stat()
    except (OSError, ValueError):  # reading it raises the error; a name with a zero byte is a ValueError
        return None
    return str(path.absolute()), facts.st_size, facts.st_mtime_ns


def _digest(part: Any) -> str | None:
    """The identity of a picture: the hash of its bytes, or its URL, with a mark if it must not be resized."""
    if part is None:
        return None
    identity = str(part.url) if part.url is not None else hashlib.sha256(part.data()).hexdigest()
    return f"{identity}, as it is" if isinstance(part, glmv.Image) and not part.fit else identity


def _identity_of(messages: Any) -> Any:
    """Messages -> plain values, with pictures replaced by their identity."""
    match messages:
        case glmv.Message():
            calls = [[call.name, call.arguments] for call in messages.tool_calls]
            return [messages.role, [_identity_of(part) for part in messages.content], calls]
        case glmv.Image() | glmv.Video() | glmv.File():
            return [type(messages).__name__, _digest(messages)]
        case glmv.Text():
            return messages.text
        case Mapping():
            return {str(name): _identity_of(value) for name, value in messages.items()}
        case list() | tuple():
            return [_identity_of(one) for one in messages]
        case _:
            return messages


def _hash(value: Any) -> str:
    # Values that JSON cannot represent raise: their `str` may be a memory address, which another item can have later.
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
