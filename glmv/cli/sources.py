"""Turns paths and URLs on the command line into content parts. Files are read, because the user typed their paths."""

from __future__ import annotations

import glob
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import glmv


def parts(sources: Sequence[str]) -> list[glmv.Image | glmv.Video]:
    """The content parts for files, URLs, patterns and `-` (a picture on standard input), in order.

    Raises:
        GLMVError: a source does not exist, or is not a picture or a video; the message names it.
    """
    return [part for source in sources for part in _parts(source)]


_URLS = ("http://", "https://")
_EXAMPLE = '"What is in this picture?"'


def is_source(word: str) -> bool:
    """Whether a word is a source: an existing file or folder, a URL, or a pattern that matches a file."""
    return (
        word.startswith(_URLS)
        or os.path.exists(word)  # noqa: PTH110 - a path that is too long for `Path.exists` is a question
        or (glob.has_magic(word) and bool(_matches(word)))
    )


def check_order(command: str, sources: Sequence[str], question: str, *, more: str = "", folders: bool = False) -> None:
    """Check the order of the words on the command line: existing sources, then the question.

    Args:
        command: the command, such as "glmv ask".
        sources: the words before the last one.
        question: the last word.
        more: the words after the question in the suggested command.
        folders: whether the command takes folders. If not, the suggestion replaces a folder by a pattern for its files.

    Raises:
        InvalidRequestError: the order is wrong; the message suggests a command.
    """
    if not question.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in question):
        raise glmv.InvalidRequestError("The question is not text in this machine's encoding.")
    if question != "-" and os.path.exists(question):  # noqa: PTH110 - as above
        there = [word for word in (*sources, question) if os.path.exists(word)]  # noqa: PTH110 - as above
        like = " ".join(f'"{_all_of(word)}"' if not folders and _is_folder(word) else quoted([word]) for word in there)
        kind = "a folder" if _is_folder(question) else "a file"
        raise glmv.InvalidRequestError(
            f"The question comes last, but {question} is {kind}. Write: {command} {like} {_EXAMPLE}{more}"
        )
    count = len(sources)
    while count and not (sources[count - 1] == "-" or is_source(sources[count - 1])):
        count -= 1
    words = sources[count:]
    # File names have endings. A word without one before the last word belongs to the question.
    if words and not any(_looks_like_a_file(word) for word in words):
        like = f"{quoted(sources[:count])} " if count else ""
        raise glmv.InvalidRequestError(
            f"No file is called {words[0]!r}. Put a question of several words in quotes: "
            f'{command} {like}"{" ".join((*words, question))}"{more}'
        )


def quoted(words: Sequence[str]) -> str:
    """Words quoted for the shell of this machine."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _looks_like_a_file(word: str) -> bool:
    return bool(Path(word).suffix.strip(".?!")) or "/" in word or "\\" in word or "://" in word or glob.has_magic(word)


def read_question() -> str:
    """The text on standard input, in UTF-8, in UTF-16 as PowerShell writes it, or in the machine's own encoding.

    Raises:
        InvalidRequestError: the text is in none of these encodings.
    """
    data = _input()
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return data.decode(sys.stdin.encoding or "utf-8")
    except UnicodeDecodeError:
        raise glmv.InvalidRequestError("The question on standard input is not text in UTF-8.") from None


def _input() -> bytes:
    if sys.stdin is None:
        raise glmv.InvalidRequestError("There is no standard input to read from.")
    return sys.stdin.buffer.read()


def _parts(source: str) -> Iterator[glmv.Image | glmv.Video]:
    if source == "-":
        yield glmv.Image.from_bytes(_input(), name="standard input")
    elif source.startswith(_URLS):
        yield _kind(source.partition("?")[0]).from_url(source)
    elif glob.has_magic(source) and not os.path.exists(source):  # noqa: PTH110 - as above
        paths = _matches(source)
        if not paths:
            raise glmv.InvalidRequestError(f"No file matches {source!r}.")
        yield from (_kind(path).from_path(path) for path in paths)
    elif _is_folder(source):
        raise glmv.InvalidRequestError(
            f'{source} is a folder. For one answer about all its files write "{_all_of(source)}"; '
            f"for one answer about each file: glmv batch {quoted([source])} {_EXAMPLE} -o answers.jsonl"
        )
    else:
        yield _kind(source).from_path(source)


def _matches(pattern: str) -> list[str]:
    """The files that a pattern matches, in order."""
    paths = glob.glob(pattern, recursive=True)  # noqa: PTH207 - patterns may begin at the root
    return sorted(path for path in paths if os.path.isfile(path))  # noqa: PTH113 - as above


def _is_folder(word: str) -> bool:
    return os.path.isdir(word)  # noqa: PTH112 - as above


def _all_of(folder: str) -> str:
    return os.path.join(folder, "*")  # noqa: PTH118 - as it was typed


def _kind(name: str) -> type[glmv.Image | glmv.Video]:
    return glmv.Video if Path(name).suffix.lower() in glmv.Video.suffixes else glmv.Image
