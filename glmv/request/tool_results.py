"""What the text of a tool's result holds beside words: pictures and videos that a framework wrote out.

Agents write a result that they have no message for as JSON, or as Python writes it: a model would be shown the letters
of base64, which cost thousands of tokens and mean nothing to it. Here such a text becomes the parts that it stands for.
A link that cannot be sent, and base64 of something else, is told to the model in words: a tool's output is no mistake
of the programmer, and does not end the run.
"""

from __future__ import annotations

import ast
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from glmv.errors import InvalidRequestError, UnsupportedContent
from glmv.media import File, Image, Video
from glmv.types import Media, Message, Part, Text

# Most texts hold nothing of these and are not looked at further.
_SUSPECT = re.compile(
    r"""[A-Za-z0-9+/_-]{60}|["']type["']\s*:\s*["'](?:image|video|input_image|resource_link)
    |<PIL\.|,\ sha256\ [0-9a-f]{12}\)|\b(?:Image|Video|File)\(https?:|<_io\.BytesIO\ |\bResourceLink\(
    |\btype='resource_link'|\bb["'][^"']""",
    re.VERBOSE,
)
# How Python writes what holds a picture and is lost: alone, or in a list, a tuple or a dict.
_LOST = re.compile(
    r"""\s*(?:[\[({].{0,2000}?)?(?:<(PIL\.[\w.]+)\ image\ mode=
    |((?:Image|Video|File)\((?:[^()\n]*,\ sha256\ [0-9a-f]{12}|https?:[^()\s]*)\))(?=\s*(?:[])},]|\Z))
    |<(_io\.BytesIO)\ object)""",
    re.DOTALL | re.VERBOSE,
)
# Base64 of both alphabets: in one piece, or in lines, as MIME and `base64.encodebytes` write it.
_LETTER = "[A-Za-z0-9+/_-]"
_BREAK = r"(?:\r?\n|(?:\\r)?\\n)"  # also as Python and JSON write it
_LINES = "|".join(rf"(?:{_LETTER}{{{width}}}{_BREAK}){{2,}}{_LETTER}{{0,{width}}}" for width in (76, 64))
_RUN = re.compile(
    rf"data:[\w.+-]+/[\w.+-]+;base64,(?:{_LINES}|{_LETTER}{{16,}})={{0,2}}"
    rf"|(?:(?<![A-Za-z0-9+/_\\-])|(?<=\\[nrt])|(?<=\\)(?![nrt]))(?:{_LINES}|{_LETTER}{{200,}})={{0,2}}"
)
_WHOLE = re.compile(r"(?:data:[\w.+-]+/[\w.+-]+;base64,)?[A-Za-z0-9+/_\s-]{60,}={0,2}")  # of a stripped text
_BYTES = re.compile(r"""\bb(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
_LINK = re.compile(r"ResourceLink\((?:[^()]|\([^()]*\))*\)|\A\w+=.*\btype='resource_link'.*\Z", re.DOTALL)
_LONG = 1000  # characters of base64 that are neither a picture nor words
_DEEPEST = 20
# Stands for a medium while other data is written; random, so that no tool can write it.
_MARK = secrets.token_hex(8)
_MARKS = re.compile(rf'"@{_MARK}:(\d+)@"|@{_MARK}:(\d+)@')

# Keys of content blocks: a dict with another key is data of the tool.
_BLOCK_KEYS = {
    "type", "base64", "url", "mime_type", "mimeType", "data", "source", "source_type", "image_url", "video_url", "id",
    "index", "extras", "detail", "cache_control", "filename", "name", "title", "text", "annotations", "_meta", "meta",
    "uri", "description", "size",
}  # fmt: skip
_KINDS: dict[str, type[Image | Video]] = {
    "image": Image,
    "image_url": Image,
    "input_image": Image,
    "video": Video,
    "video_url": Video,
}


def media_in_results(messages: tuple[Message, ...], tell: Callable[[str], None]) -> tuple[Message, ...]:
    """The same conversation with the media that texts of tools hold as parts of those messages.

    Args:
        messages: a conversation; only tool messages are looked at.
        tell: takes a note for each text that was changed.

    Raises:
        UnsupportedContent: a text is how Python writes an object that held a picture, which is lost.
    """
    if not any(message.role == "tool" for message in messages):
        return messages
    return tuple(
        _read(message, f"messages[{index}]", tell) if message.role == "tool" else message
        for index, message in enumerate(messages)
    )


def _read(message: Message, where: str, tell: Callable[[str], None]) -> Message:
    content: list[Part] = []
    for part in message.content:
        content += _ResultText(where, tell).parts(part.text) if isinstance(part, Text) else [part]
    return (
        message
        if len(content) == len(message.content)
        and all(new is old or new == old for new, old in zip(content, message.content, strict=True))
        else replace(message, content=tuple(content))
    )


class _ResultText:
    """Reads the texts of one result."""

    def __init__(self, where: str, tell: Callable[[str], None]) -> None:
        self._where = where
        self._tell = tell

    def parts(self, text: str) -> list[Part]:
        if not _SUSPECT.search(text):
            return [Text(text)]
        if lost := _LOST.match(text):
            what = next(name for name in lost.groups() if name)
            raise UnsupportedContent(
                f"{self._where} (tool): its text is how Python writes {what}, and the picture is lost: let the tool "
                "return what glmv.Image.of makes of it."
            )
        value = _value(text)
        match value:
            case dict() if (part := self._block(value, links=True)) is not None:
                parts: list[Part] = [part]
            case list() | tuple() if (found := self._blocks(value)) is not None:
                parts = found
            case dict() | list() | tuple():
                parts = self._in_value(value, text)
            case _:
                parts = list(self._in_text(text))
        if any(not isinstance(part, Text) for part in parts):
            self._tell(f"{self._where}: media in the text of a tool's result were sent as media.")
        return parts

    # ---- blocks of messages

    def _blocks(self, items: list[Any] | tuple[Any, ...]) -> list[Part] | None:
        """A list of texts and content blocks, with a medium among them -> parts; None for any other list."""
        if not all(isinstance(item, str) or (isinstance(item, dict) and item.keys() <= _BLOCK_KEYS) for item in items):
            return None
        if not any(isinstance(item, dict) and _is_medium(item) for item in items):
            return None
        parts: list[Part] = []
        for item in items:
            match item:
                case str(text) | {"type": "text", "text": str(text)}:
                    found = list(self._in_text(text))
                case _ if (part := self._block(item, links=True)) is not None:
                    found = [part]
                case _:
                    return None
            parts += [Text("\n"), *found] if parts else found
        return parts

    def _block(self, block: Mapping[str, Any], *, links: bool) -> Part | None:
        """A content block -> its part, or words in its place; None for anything else."""
        if not (block.keys() <= _BLOCK_KEYS and _is_medium(block)):
            return None
        kind = _kind(block)
        held = _held(block)
        if held is None:
            return None
        is_link = not held.startswith("data:") and "://" in held[:40]
        if is_link and not links:
            return None
        try:
            return kind.from_message(held) if is_link or held.startswith("data:") else kind.from_base64(held)
        except InvalidRequestError as error:
            return in_words(kind, error, self._where, self._tell)

    # ---- media inside of other data

    def _in_value(self, value: Any, text: str) -> list[Part]:
        found: list[Part] = []
        changed = self._walked(value, found, 0)
        if changed == value:
            return [Text(text)]
        written = json.dumps(changed, ensure_ascii=False, default=str)
        parts: list[Part] = []
        at = 0
        for mark in _MARKS.finditer(written):
            parts += [Text(written[at : mark.start()]), found[int(mark[1] or mark[2])]]
            at = mark.end()
        parts.append(Text(written[at:]))
        return [part for part in parts if part != Text("")]

    def _walked(self, value: Any, found: list[Part], depth: int) -> Any:
        if depth > _DEEPEST:
            return value
        part: Part | None = None
        match value:
            case dict():
                part = self._block(value, links=False)
                if part is None:
                    return {key: self._walked(item, found, depth + 1) for key, item in value.items()}
            case list() | tuple() | set():
                return [self._walked(item, found, depth + 1) for item in value]
            case bytes():
                part = self._bytes(value)
                if part is None:
                    return value
            case str():
                parts = list(self._in_text(value))
                if all(isinstance(one, Text) for one in parts):
                    return "".join(one.text for one in parts if isinstance(one, Text))
                marks = []
                for one in parts:
                    if isinstance(one, Text):
                        marks.append(one.text)
                    else:
                        found.append(one)
                        marks.append(f"@{_MARK}:{len(found) - 1}@")
                return "".join(marks)
            case _:
                return value
        found.append(part)
        return f"@{_MARK}:{len(found) - 1}@"

    def _in_text(self, text: str) -> Iterator[Part]:
        """Words, with pictures where base64 of them or a written link stood."""
        if len(text) >= 64 and _WHOLE.fullmatch(text.strip()) and (medium := _medium_of(text)) is not None:
            yield medium
            return
        at = 0
        written = (*_RUN.finditer(text), *_LINK.finditer(text), *_BYTES.finditer(text))
        for found in sorted(written, key=re.Match.start):
            if found.start() < at or (part := self._run(found.group())) is None:
                continue
            if found.start() > at:
                yield Text(text[at : found.start()])
            yield part
            at = found.end()
        if at < len(text) or not text:
            yield Text(text[at:] if at else text)

    def _run(self, run: str) -> Part | None:
        if _BYTES.fullmatch(run):
            return self._bytes(_value(run))
        if _LINK.fullmatch(run):
            uri, mime = re.search(r"""uri=(?:AnyUrl\()?['"]([^'"]+)""", run), re.search(r"mimeType='(\w+)/", run)
            if uri is None or mime is None or mime[1] not in _KINDS:
                return None
            return self._block({"type": mime[1], "url": uri[1]}, links=True)
        if (medium := _medium_of(run) or _medium_of(run.lstrip("-_"))) is not None:  # a rule may stand before it
            return medium
        if len(run) < _LONG or not _is_binary(run):
            return None
        self._tell(f"{self._where}: {len(run):,} characters of base64 in a tool's result were left out.")
        return Text(f"[{len(run):,} characters of base64 were left out]")

    def _bytes(self, found: Any) -> Part | None:
        """Bytes that Python wrote -> what they hold, or words in place of binary ones; None for bytes of a text."""
        if not isinstance(found, bytes):
            return None
        if (medium := _medium_of(found)) is not None:
            return medium
        with suppress(UnicodeDecodeError):
            found.decode()
            return None
        self._tell(f"{self._where}: {len(found):,} bytes in a tool's result were left out.")
        return Text(f"[{len(found):,} bytes were left out]")


def in_words(kind: type[Media], error: InvalidRequestError, where: str, tell: Callable[[str], None]) -> Text:
    """What the model is told in place of a medium of a tool's result that cannot be sent; `tell` takes a note."""
    what = {"Image": "picture", "Video": "video"}.get(kind.__name__, "file")
    tell(f"{where}: a {what} of a tool's result cannot be sent, and the model was told so: {error.message}")
    return Text(f"[A {what} of this result cannot be shown to you: {error.message.split('. ')[0]}]")


def _value(text: str) -> Any:
    """A text that is JSON, or what Python writes of plain values -> the value; None for any other text."""
    start = text.lstrip()[:2]
    if start[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            return json.loads(text)
    if start[:1] in ("{", "[", "(") or start in ("b'", 'b"'):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return ast.literal_eval(text.strip())
    return None


def _is_medium(block: Mapping[str, Any]) -> bool:
    return block.get("type") in _KINDS or (
        block.get("type") in ("file", "resource_link", "media") and bool(_mime(block))
    )


def _mime(block: Mapping[str, Any]) -> str:
    """The kind of picture or video that a block says it is, or ""."""
    mime = str(block.get("mime_type") or block.get("mimeType") or "")
    return mime if mime.partition("/")[0] in _KINDS else ""


def _kind(block: Mapping[str, Any]) -> type[Image | Video]:
    return _KINDS.get(str(block["type"])) or _KINDS.get(_mime(block).partition("/")[0]) or Image


def _held(block: Mapping[str, Any]) -> str | None:
    """The base64 or the URL of a block."""
    match block:
        case {"source": {"data": str(held)} | {"base64": str(held)} | {"url": str(held)}}:
            return held
        case {"image_url": {"url": str(held)} | str(held)} | {"video_url": {"url": str(held)} | str(held)}:
            return held
        case {"base64": str(held)} | {"data": str(held)} | {"url": str(held)} | {"uri": str(held)}:
            return held
        case _:
            return None


def _medium_of(data: str | bytes) -> Image | Video | None:
    """Bytes or base64 of a picture or a video, told by its first bytes; None for anything else."""
    if isinstance(data, str):
        data = "".join(data.replace("\\r", "").replace("\\n", "").split())
    for kind in (Image, Video):
        with suppress(InvalidRequestError):
            return kind.from_bytes(data) if isinstance(data, bytes) else kind.from_base64(data)
    return None


def _is_binary(run: str) -> bool:
    """Whether this is base64 of something that is no text: not a long word, hexadecimal digits or a sequence."""
    letters = run.partition(",")[2] or run
    if not (re.search("[A-Z]", letters) and re.search("[a-z]", letters) and re.search("[0-9]", letters)):
        return False
    try:
        File.from_base64(letters + "=" * (-len(letters) % 4)).data().decode()
    except UnicodeDecodeError:
        return True
    except InvalidRequestError:
        return False
    return False
