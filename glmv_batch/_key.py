"""The key of an item: a hash of what would be sent. The same question about the same picture is paid once."""

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

# Options that change how a call is made and not what is asked.
_MANNER = frozenset({"validate", "request_id", "user_id"})


class Digests(Protocol):
    """Who remembers the SHA-256 of files that have not changed."""

    def digest(self, path: str, size: int, mtime: int) -> str | None: ...
    def keep_digest(self, path: str, size: int, mtime: int, digest: str) -> None: ...


class Keyed(NamedTuple):
    """An item's key, the item with its picture where it had to be read for the key, and what gives its messages."""

    key: str
    item: Item
    messages: Callable[[], Any]


class Keys:
    """Keys of the items of one job.

    A file is read for its key once: after that its size and its time of change tell that it is the same.

    Attributes:
        question_hash: what tells this question from others, about whatever item.
    """

    def __init__(self, question: Question, model: str, defaults: glmv.Options, digests: Digests) -> None:
        """Keys for a model, asked through a client with these default options."""
        self._question = question
        self._digests = digests
        usual = {name: getattr(defaults, name) for name in glmv.Options.model_fields}
        options = {name: value for name, value in usual.items() if value is not None} | question.options
        options = {name: value for name, value in options.items() if name not in _MANNER}
        match defaults:
            case glmv.Settings(model=own, base_model=str(base)) if own == model:
                options["base_model"] = base  # pictures are fitted to its limits
        asked = None if callable(question.messages) else _told(question.about())
        self.question_hash = _hash([model.lower(), options, asked])

    def of(self, item: Item) -> Keyed:
        """The key of an item. To be called in a worker thread: it may read the picture.

        Raises:
            GLMVError: there is no such picture.
        """
        if callable(self._question.messages):
            said = self._question.messages(item)
            said = list(said) if isinstance(said, Iterator) else said
            return Keyed(_hash([self.question_hash, _told(said)]), item, lambda: said)
        if item.path is not None and (known := self._known(item.path)) is not None:
            return self._keyed(known, item)
        stamp = None if item.path is None else _stamp(item.path)
        part = self._question.part_of(item)
        digest = _digest(part)
        if stamp is not None and digest is not None:
            self._digests.keep_digest(*stamp, digest)
        return self._keyed(digest, replace(item, source=part))

    def _keyed(self, digest: str | None, item: Item) -> Keyed:
        return Keyed(_hash([self.question_hash, digest]), item, lambda: self._question.messages_of(item))

    def _known(self, path: Path) -> str | None:
        stamp = _stamp(path)
        return None if stamp is None else self._digests.digest(*stamp)


def _stamp(path: Path) -> tuple[str, int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return str(path.absolute()), facts.st_size, facts.st_mtime_ns


def _digest(part: Any) -> str | None:
    """What tells a picture: the hash of its bytes, or its URL; and whether it is sent as it is, or refused."""
    if part is None:
        return None
    told = str(part.url) if part.url is not None else hashlib.sha256(part.data()).hexdigest()
    return f"{told}, as it is" if isinstance(part, glmv.Image) and not part.fit else told


def _told(messages: Any) -> Any:
    """Messages as plain values, pictures by what tells them."""
    match messages:
        case glmv.Message():
            calls = [[call.name, call.arguments] for call in messages.tool_calls]
            return [messages.role, [_told(part) for part in messages.content], calls]
        case glmv.Image() | glmv.Video() | glmv.File():
            return [type(messages).__name__, _digest(messages)]
        case glmv.Text():
            return messages.text
        case Mapping():
            return {str(name): _told(value) for name, value in messages.items()}
        case list() | tuple():
            return [_told(one) for one in messages]
        case _:
            return messages


def _hash(value: Any) -> str:
    # What JSON cannot hold has no key: its `str` may be an address in memory, which another item has later.
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
