"""The rules for the content of one request: which files may be opened, and how to handle unsupported content."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

import glmv

LocalFiles = bool | list[str]
OnUnsupported = Literal["raise", "warn"]

M = TypeVar("M", bound=glmv.Image | glmv.Video | glmv.File)


# Constructors that glmv's messages name. They are replaced by the blocks of LlamaIndex for the same content.
_MAKERS = re.compile(r"(?:\bglmv\.)?\b(Image|Video)\.(from_path|from_bytes|from_url|from_base64)\b(?!\()")
_CLASSES = re.compile(r"\buse glmv\.(Image|Video)\b(?!\.\w)")
_SHORTENED = "If you shorten a history, let it begin with a user message."
_BUFFERED = "If you shorten a history, let it begin with a user message, as LlamaIndex's Memory does."
_FIELDS = {"from_path": "path", "from_url": "url"}

# The smallest picture has about 60 bytes. The path of a picture does not match: it ends with a suffix such as ".jpg".
_BASE64 = re.compile(r"[A-Za-z0-9+/=_%\s-]{80,}")
_LONGEST_PATH = 1000


def is_base64(text: str) -> bool:
    """Whether a text is base64 rather than a path."""
    return _BASE64.fullmatch(text) is not None and not os.path.isfile(text[:_LONGEST_PATH])  # noqa: PTH113


def in_terms(text: str) -> str:
    """Replaces glmv's functions in a message or note by blocks: `glmv.Image.from_path` by `ImageBlock(path=...)`."""
    text = text.replace(_SHORTENED, _BUFFERED).replace("send it with glmv.File", "send it in a DocumentBlock")
    text = _CLASSES.sub(r"use \1Block", text)
    return _MAKERS.sub(
        lambda maker: f"{maker[1]}Block({_FIELDS.get(maker[2]) or maker[1].lower()}=...)",
        text,
    )


class in_our_terms:  # noqa: N801  # a context manager, read like a function
    """`with in_our_terms():` makes the messages of glmv's errors name LlamaIndex's blocks (see `in_terms`)."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, glmv.InvalidRequestError) and (message := in_terms(error.message)) != error.message:
            error.message = message
            error.args = (message,)


class Intake:
    """The rules for the content of one request, and the notes about it.

    Args:
        model: the model's name, for messages.
        row: the model's catalogue row, or None.
        local_files: True allows every file that a typed field names; False allows no file; a list of folders allows
            the files in these folders.
        on_unsupported: "raise", or "warn" to leave out unsupported content with a note and a warning.

    Attributes:
        notes: one entry for each thing that was left out.
    """

    __slots__ = ("_local_files", "_model", "_row", "_warns", "notes")

    def __init__(
        self,
        model: str = "GLM-4V",
        *,
        row: glmv.Model | None = None,
        local_files: object = True,
        on_unsupported: OnUnsupported = "raise",
    ) -> None:
        self.notes: list[str] = []
        self._model, self._row = model, row
        self._local_files, self._warns = local_files, on_unsupported == "warn"

    def note(self, where: str, what: str) -> None:
        """Add a note about content that was left out; `where` is its position."""
        self.notes.append(f"{where}: {what}")

    def no_place(self, why: str) -> glmv.UnsupportedContent:
        """The error for content that a request cannot contain."""
        return glmv.UnsupportedContent(f"it cannot be sent to {self._model}. {why}")

    def refuse(self, error: glmv.InvalidRequestError, where: str) -> None:
        """Raise the error of one block with the block's position.

        With `on_unsupported` "warn", UnsupportedContent is not raised: it becomes a note and a warning.

        Raises:
            InvalidRequestError: an error of the same class as `error`.
        """
        message = in_terms(error.message)
        if not message.startswith(where):
            message = f"{where}: {message}"
        error = type(error)(message)
        if not (self._warns and isinstance(error, glmv.UnsupportedContent)):
            raise error from None
        self.notes.append(f"{error.message} This content was left out.")
        warnings.warn(self.notes[-1], stacklevel=2)

    def medium(self, kind: type[M], *, data: object = None, path: Any = None, url: Any = None, **named: Any) -> M:
        """The content of a block or a node -> a picture, a video or a file.

        Args:
            kind: the class to return.
            data: base64, as LlamaIndex's fields contain it, or an open file; the file is rewound after reading.
            path: the path of a file; used if there is no data.
            url: a URL that the platform fetches; used if there is neither data nor path.
            named: `name`, the name of the file; allowed only if `kind` is glmv.File.

        Raises:
            InvalidRequestError: the content is missing or invalid, or `local_files` does not allow the file.
        """
        row = self._row if self._warns else None
        kinds = f"{kind.__name__.lower()}s"
        if row is not None and getattr(row, kinds) == 0:
            raise self.no_place(f"The model takes no {kinds}.")
        make: Any = kind
        content: M
        match data:
            case bytes() | str() if data:
                # The base64 is used as it is; LlamaIndex's `resolve_image` would decode and encode it again.
                content = make.from_base64(data, **named)
            case _ if hasattr(data, "read"):
                content = make.from_file(data, **named)
            case _ if path:
                content = make.from_path(self._allowed(path))
            case _ if url:
                content = make.from_url(str(url), **named)
            case _:
                raise glmv.UnsupportedContent("it is empty: set its content, path or url.")
        return content

    def _allowed(self, path: str | os.PathLike[str]) -> Path:
        """The path to open, with links resolved unless every file is allowed. Raises if `local_files` excludes it."""
        roots = folders(self._local_files)
        if roots is True:
            return Path(path)
        try:
            real = Path(os.path.realpath(os.path.expanduser(path)))  # noqa: PTH111 - links are resolved, too
        except (OSError, ValueError) as error:
            raise glmv.InvalidRequestError(f"{glmv.shown(os.fspath(path))} is not a valid path ({error}).") from None
        if roots and any(real.is_relative_to(os.path.realpath(root)) for root in roots):
            return real
        raise glmv.InvalidRequestError(
            f"the file {glmv.shown(os.fspath(path))} is not read, because local_files is {glmv.shown(roots)}. "
            "Pass the content as bytes, or add the file's folder to local_files."
        )


def folders(value: object) -> LocalFiles:
    """`local_files` as the user writes it -> True, False or a list of absolute folders.

    Raises:
        InvalidRequestError: the value is of another type, or a path is empty (it would mean the working directory).
    """
    match value:
        case bool():
            return value
        case str() | os.PathLike():
            return folders([value])
        case Iterable():
            roots = list(value)
            if all(isinstance(root, str | os.PathLike) and os.fspath(root) for root in roots):
                # Links are resolved at each call.
                return [os.path.abspath(os.path.expanduser(root)) for root in roots]  # noqa: PTH100, PTH111
    raise glmv.InvalidRequestError(f"local_files must be True, False or a list of folders; got {glmv.shown(value)}")
