"""The rules for the content of one request: which files may be opened, and what to do with what cannot be sent."""

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


# What messages of the core name, and what holds the same in a message of LlamaIndex.
_MAKERS = re.compile(r"(?:\bglmv\.)?\b(Image|Video)\.(from_path|from_bytes|from_url|from_base64)\b(?!\()")
_SHORTENED = "Where a history is shortened, let it begin with a user message."
_BUFFERED = "Where a history is shortened, let it begin with a user message, as LlamaIndex's Memory does."
_FIELDS = {"from_path": "path", "from_url": "url"}


def in_terms(text: str) -> str:
    """A message or a note of the core -> the same with `ImageBlock(path=...)` in place of `glmv.Image.from_path`."""
    text = text.replace(_SHORTENED, _BUFFERED)
    return _MAKERS.sub(
        lambda found: f"{found[1]}Block({_FIELDS.get(found[2]) or found[1].lower()}=...)",
        text,
    )


class in_our_terms:  # noqa: N801  # a context manager, read like a function
    """`with in_our_terms():` lets errors of the core out with blocks of LlamaIndex in their messages."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, glmv.InvalidRequestError) and (told := in_terms(error.message)) != error.message:
            error.message = told
            error.args = (told,)


class Intake:
    """The rules of one request, and the notes that come of it.

    Args:
        model: the one that is asked, for messages.
        row: what the catalogue says that it takes.
        local_files: True reads what typed fields name, False nothing, folders only what lies in them.
        on_unsupported: "raise", or "warn" to leave out what cannot be sent with a note and a warning.

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
        """Tell the caller what was left out."""
        self.notes.append(f"{where}: {what}")

    def no_place(self, why: str) -> glmv.UnsupportedContent:
        """The error for content that the wire has no place for."""
        return glmv.UnsupportedContent(f"it cannot be sent to {self._model}. {why}")

    def refuse(self, error: glmv.InvalidRequestError, where: str) -> None:
        """Raise an error of one block with its place; or note it, if the caller prefers to go on without.

        Raises:
            InvalidRequestError: of the same class as `error`.
        """
        message = in_terms(error.message)
        if not message.startswith(where):
            message = f"{where}: {message}"
        error = type(error)(message)
        if not (self._warns and isinstance(error, glmv.UnsupportedContent)):
            raise error from None
        self.notes.append(f"{error.message} It was left out.")
        warnings.warn(self.notes[-1], stacklevel=2)

    def medium(self, kind: type[M], *, data: object = None, path: Any = None, url: Any = None, **named: Any) -> M:
        """What a block or a node holds -> a picture, a video or a file.

        Args:
            kind: which of them.
            data: base64, as LlamaIndex' fields hold it, or an open file, which is left at its beginning.
            path: a file, if there is no data.
            url: for the platform to fetch, if there is neither.
            named: a `name` for a file.

        Raises:
            InvalidRequestError: there is nothing, or it will not do.
        """
        row = self._row if self._warns else None
        kinds = f"{kind.__name__.lower()}s"
        if row is not None and getattr(row, kinds) == 0:
            raise self.no_place(f"The model takes no {kinds}.")
        make: Any = kind
        made: M
        match data:
            case bytes() | str() if data:
                # It is kept as it is: `resolve_image` of LlamaIndex would decode and encode it again.
                made = make.from_base64(data, **named)
            case _ if data is not None and hasattr(data, "read"):
                made = make.from_file(data, **named)
            case _ if path:
                made = make.from_path(self._allowed(path))
            case _ if url:
                made = make.from_url(str(url), **named)
            case _:
                raise glmv.UnsupportedContent("it is empty, it has neither content nor path nor url.")
        return made

    def _allowed(self, path: str | os.PathLike[str]) -> Path:
        """The file itself, links resolved, when `local_files` has it."""
        roots = folders(self._local_files)
        if roots is True:
            return Path(path)
        try:
            real = Path(os.path.realpath(os.path.expanduser(path)))  # noqa: PTH111 - links are resolved, too
        except (OSError, ValueError) as error:
            raise glmv.InvalidRequestError(f"{glmv.shown(os.fspath(path))} is no path ({error}).") from None
        if roots and any(real.is_relative_to(os.path.realpath(root)) for root in roots):
            return real
        raise glmv.InvalidRequestError(
            f"the file {glmv.shown(os.fspath(path))} is not read, because local_files is {glmv.shown(roots)}. "
            "Give the content as bytes, or name its folder in local_files."
        )


def folders(given: object) -> LocalFiles:
    """`local_files` as people write it -> True, False or absolute folders.

    Raises:
        InvalidRequestError: it is something else; an empty path would be the working directory.
    """
    match given:
        case bool():
            return given
        case str() | os.PathLike():
            return folders([given])
        case Iterable():
            roots = list(given)
            if all(isinstance(root, str | os.PathLike) and os.fspath(root) for root in roots):
                # Links are resolved at each call.
                return [os.path.abspath(os.path.expanduser(root)) for root in roots]  # noqa: PTH100, PTH111
    raise glmv.InvalidRequestError(f"local_files is True, False or a list of folders; got {glmv.shown(given)}")
