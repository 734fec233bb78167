"""What the person at the keyboard named -> parts. A path typed here is meant to be read."""

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
    """Files, URLs, patterns and `-` (a picture on standard input) -> parts, in order.

    Raises:
        GLMVError: naming what is missing or no picture.
    """
    return [part for source in sources for part in _parts(source)]


_URLS = ("http://", "https://")
_EXAMPLE = '"What is in this picture?"'


def is_source(word: str) -> bool:
    """Whether a word names what there is to look at: a file, a folder, a URL, or a pattern that matches something."""
    return (
        word.startswith(_URLS)
        or os.path.exists(word)  # noqa: PTH110 - a path that is too long for `Path.exists` is a question
        or (glob.has_magic(word) and bool(_matches(word)))
    )


def check_order(command: str, sources: Sequence[str], question: str, *, more: str = "", folders: bool = False) -> None:
    """Refuse words that are not in order: sources that there are, then the question.

    Args:
        command: as "glmv ask".
        sources: the words before the last.
        question: the last word.
        more: what is to stand after the question in the command that is shown.
        folders: whether the command takes folders; else the files in them are named by a pattern.

    Raises:
        InvalidRequestError: with the command to write.
    """
    if not question.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in question):
        raise glmv.InvalidRequestError("The question is no text in this machine's encoding.")
    if question != "-" and os.path.exists(question):  # noqa: PTH110 - as above
        there = [word for word in (*sources, question) if os.path.exists(word)]  # noqa: PTH110 - as above
        like = " ".join(f'"{_all_of(word)}"' if not folders and _is_folder(word) else quoted([word]) for word in there)
        kind = "a folder" if _is_folder(question) else "a file"
        raise glmv.InvalidRequestError(
            f"The question comes last, and {question} is {kind}. Write: {command} {like} {_EXAMPLE}{more}"
        )
    named = len(sources)
    while named and not (sources[named - 1] == "-" or is_source(sources[named - 1])):
        named -= 1
    words = sources[named:]
    # Names of files have endings; a word that has none and stands before the last belongs to the question.
    if words and not any(_looks_like_a_file(word) for word in words):
        like = f"{quoted(sources[:named])} " if named else ""
        raise glmv.InvalidRequestError(
            f"No file is called {words[0]!r}. A question of several words stands in quotes: "
            f'{command} {like}"{" ".join((*words, question))}"{more}'
        )


def quoted(words: Sequence[str]) -> str:
    """Words as the shell of this machine takes them."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _looks_like_a_file(word: str) -> bool:
    return bool(Path(word).suffix.strip(".?!")) or "/" in word or "\\" in word or "://" in word or glob.has_magic(word)


def read_question() -> str:
    """The text on standard input, in UTF-8, in UTF-16 as PowerShell writes it, or in the machine's own encoding.

    Raises:
        InvalidRequestError: it is none of these.
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
        raise glmv.InvalidRequestError("The question on standard input is no text in UTF-8.") from None


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
        found = _matches(source)
        if not found:
            raise glmv.InvalidRequestError(f"No file matches {source!r}.")
        yield from (_kind(path).from_path(path) for path in found)
    elif _is_folder(source):
        raise glmv.InvalidRequestError(
            f'{source} is a folder. For one answer about its files write "{_all_of(source)}" instead; '
            f"for an answer to each: glmv batch {quoted([source])} {_EXAMPLE} -o answers.jsonl"
        )
    else:
        yield _kind(source).from_path(source)


def _matches(pattern: str) -> list[str]:
    """The files that a pattern matches, in order."""
    found = glob.glob(pattern, recursive=True)  # noqa: PTH207 - patterns may begin at the root
    return sorted(path for path in found if os.path.isfile(path))  # noqa: PTH113 - as above


def _is_folder(word: str) -> bool:
    return os.path.isdir(word)  # noqa: PTH112 - as above


def _all_of(folder: str) -> str:
    return os.path.join(folder, "*")  # noqa: PTH118 - as it was typed


def _kind(name: str) -> type[glmv.Image | glmv.Video]:
    return glmv.Video if Path(name).suffix.lower() in glmv.Video.suffixes else glmv.Image
