"""Finds pictures and videos that a framework wrote into the text of tool results, as JSON or as a Python repr.

Without this, the model would read base64 as text, which costs thousands of tokens and means nothing to it. Such a text
is replaced by the content parts that it describes. A link that cannot be sent, and base64 of other data, is replaced by
a text for the model: a tool's output is not the programmer's mistake, so it does not raise an error.
"""

from __future__ import annotations

import ast
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from glmv.errors import InvalidRequestError, UnsupportedContent
from glmv.media import File, Image, Video
from glmv.request.cause import AddNote
from glmv.types import Media, Message, Part, Text

# A text without a match has no media: most texts are not examined further.
_SUSPECT = re.compile(
    r"""[A-Za-z0-9+/_-]{60}|["']type["']\s*:\s*["'](?:image|video|input_image|resource_link)
    |<PIL\.|<_io\.BytesIO\ |<memory\ at\ 0x|\[\[\[\s*\d|,\ sha256\ [0-9a-f]{12}\)|\b(?:Image|Video|File)\(https?:
    |\bResourceLink\(|\btype='resource_link'|\bb["'][^"']""",
    re.VERBOSE,
)
# The repr of an object whose picture is lost: alone, or in a list, a tuple or a dict.
_LOST = re.compile(
    r"""\s*(?:\w{0,80}[\[({].{0,2000}?)?(?:<(PIL\.[\w.]+)\ image\ mode=
    |((?:Image|Video|File)\((?:[^()\n]*,\ sha256\ [0-9a-f]{12}|https?:[^()\s]*)\))(?=\s*(?:[])},]|\Z))
    |<(_io\.BytesIO)\ object|<(memory)\ at\ 0x)""",
    re.DOTALL | re.VERBOSE,
)
# The text of an array of 8-bit pixels: of such a type, or so large that numpy or torch abbreviates it. They write at
# most 1,000 values in full (numpy.org, `set_printoptions`), so only this many characters are searched.
_LONGEST_ARRAY = 20_000
_PIXELS = re.compile(
    r".{0,2000}?\[\[\[\s*\d{1,3}(?:,?\s+\d{1,3}){2,3}\],?\s(?=.*(?:\n\s*\.\.\.|dtype=(?:torch\.)?uint8))", re.DOTALL
)
# Base64 in both alphabets: in one piece, or in lines as MIME and `base64.encodebytes` write it.
_LETTER = "[A-Za-z0-9+/_-]"
_BREAK = r"(?:\r?\n|(?:\\r)?\\n)"  # also as Python and JSON write it
_LINES = "|".join(rf"(?:{_LETTER}{{{width}}}{_BREAK}){{2,}}{_LETTER}{{0,{width}}}" for width in (76, 64))
_RUN = re.compile(
    rf"data:[\w.+-]+/[\w.+-]+;base64,(?:{_LINES}|{_LETTER}{{16,}})={{0,2}}"
    rf"|(?:(?<![A-Za-z0-9+/_\\-])|(?<=\\[nrt])|(?<=\\)(?![nrt]))(?:{_LINES}|{_LETTER}{{200,}})={{0,2}}"
    rf"|(?<=[\"']){_LETTER}{{60,}}={{0,2}}(?=[\"'])"  # a small picture in quotation marks
)
_WHOLE = re.compile(r"(?:data:[\w.+-]+/[\w.+-]+;base64,)?[A-Za-z0-9+/_\s-]{60,}={0,2}")  # of a stripped text
_BYTES = re.compile(r"""\bb(?:'(?:[^'\\]+|\\.)*+'|"(?:[^"\\]+|\\.)*+")""", re.DOTALL)
_LINK = re.compile(r"ResourceLink\((?:[^()]|\([^()]*\))*\)|\A\w+=.*\btype='resource_link'.*\Z", re.DOTALL)
_LONG = 1000  # characters of base64 that are neither a picture nor words
_DEEPEST = 20
# Replaces media while other data is written as JSON; random, so that a tool cannot produce it.
_MARK = secrets.token_hex(8)
_MARKS = re.compile(rf'"@{_MARK}:(\d+)@"|@{_MARK}:(\d+)@')

# Keys of content blocks: a dict with any other key is data of the tool.
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


def media_in_results(messages: tuple[Message, ...], add_note: AddNote) -> tuple[Message, ...]:
    """The same conversation, with media in the texts of tool messages converted to parts of those messages.

    Args:
        messages: a conversation; only tool messages are examined.
        add_note: records a note for each text that was changed.

    Raises:
        UnsupportedContent: a text is the repr of a picture object, and so the picture itself is lost.
    """
    if not any(message.role == "tool" for message in messages):
        return messages
    return tuple(
        _read(message, f"messages[{index}]", add_note) if message.role == "tool" else message
        for index, message in enumerate(messages)
    )


def _read(message: Message, where: str, add_note: AddNote) -> Message:
    content: list[Part] = []
    for part in message.content:
        content += _ResultText(where, add_note).parts(part.text) if isinstance(part, Text) else [part]
    return (
        message
        if len(content) == len(message.content)
        and all(new is old or new == old for new, old in zip(content, message.content, strict=True))
        else replace(message, content=tuple(content))
    )


class _ResultText:
    """Reads the texts of one tool result."""

    def __init__(self, where: str, add_note: AddNote) -> None:
        self._where = where
        self._add_note = add_note

    def parts(self, text: str) -> list[Part]:
        if not _SUSPECT.search(text):
            return [Text(text)]
        if lost := _LOST.match(text):
            what = next(name for name in lost.groups() if name)
            raise UnsupportedContent(
                f"{self._where} (tool): its text is the repr of {what}, so the picture is lost: convert "
                "the picture with glmv.Image.of before the tool returns it."
            )
        if "[[[" in text and _PIXELS.match(text, 0, _LONGEST_ARRAY):
            self._add_note(
                f"{self._where}: the text of a tool's result is the repr of an array, so the model sees numbers and "
                "not a picture: let the tool return a picture made with PIL.Image.fromarray(array)."
            )
        value = _value(text)
        match value:
            case dict() if (part := self._block(value, links=True)) is not None:
                parts: list[Part] = [part]
            case list() | tuple() if (blocks := self._blocks(value)) is not None:
                parts = blocks
            case dict() | list() | tuple():
                parts = self._in_value(value, text)
            case bytes() if (part := self._bytes(value)) is not None:
                parts = [part]
            case _:
                parts = list(self._in_text(text))
        if any(not isinstance(part, Text) for part in parts):
            self._add_note(f"{self._where}: media in the text of a tool's result were sent as media, not as text.")
        return parts

    # ---- blocks of messages

    def _blocks(self, items: list[Any] | tuple[Any, ...]) -> list[Part] | None:
        """The parts for a list of texts and content blocks that has a picture or video; None for any other list."""
        if not all(isinstance(item, str) or (isinstance(item, dict) and item.keys() <= _BLOCK_KEYS) for item in items):
            return None
        if not any(isinstance(item, dict) and _is_medium(item) for item in items):
            return None
        parts: list[Part] = []
        for item in items:
            match item:
                case str(text) | {"type": "text", "text": str(text)}:
                    new_parts = list(self._in_text(text))
                case _ if (part := self._block(item, links=True)) is not None:
                    new_parts = [part]
                case _:
                    return None
            parts += [Text("\n"), *new_parts] if parts else new_parts
        return parts

    def _block(self, block: Mapping[str, Any], *, links: bool) -> Part | None:
        """The part for a content block with a picture or video; if its content cannot be sent, a text in its place.

        None for a dict that is not such a block, and for a block with a link unless `links` is true.
        """
        if not (block.keys() <= _BLOCK_KEYS and _is_medium(block)):
            return None
        kind = _kind(block)
        content = _content(block)
        if content is None:
            return None
        is_link = not content.startswith("data:") and "://" in content[:40]
        if is_link and not links:
            return None
        try:
            return kind.from_message(content) if is_link or content.startswith("data:") else kind.from_base64(content)
        except InvalidRequestError as error:
            return in_words(kind, error, self._where, self._add_note)

    # ---- media inside of other data

    def _in_value(self, value: Any, text: str) -> list[Part]:
        media: list[Part] = []
        changed = self._walked(value, media, 0)
        if changed == value:
            return [Text(text)]
        json_text = json.dumps(changed, ensure_ascii=False, default=str)
        parts: list[Part] = []
        at = 0
        for mark in _MARKS.finditer(json_text):
            parts += [Text(json_text[at : mark.start()]), media[int(mark[1] or mark[2])]]
            at = mark.end()
        parts.append(Text(json_text[at:]))
        return [part for part in parts if part != Text("")]

    def _walked(self, value: Any, media: list[Part], depth: int) -> Any:
        if depth > _DEEPEST:
            return value
        part: Part | None = None
        match value:
            case dict():
                part = self._block(value, links=False)
                if part is None:
                    return {key: self._walked(item, media, depth + 1) for key, item in value.items()}
            case list() | tuple() | set():
                return [self._walked(item, media, depth + 1) for item in value]
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
                        media.append(one)
                        marks.append(f"@{_MARK}:{len(media) - 1}@")
                return "".join(marks)
            case _:
                return value
        media.append(part)
        return f"@{_MARK}:{len(media) - 1}@"

    def _in_text(self, text: str) -> Iterator[Part]:
        """The text as parts, with pictures and videos in place of base64, bytes and links."""
        if len(text) >= 64 and _WHOLE.fullmatch(text.strip()) and (medium := _medium_of(text)) is not None:
            yield medium
            return
        at = 0
        for literal in _BYTES.finditer(text):
            if (part := self._bytes(_value(literal[0]))) is not None:
                yield from self._outside_of_bytes(text, at, literal.start())
                yield part
                at = literal.end()
        yield from self._outside_of_bytes(text, at, len(text))
        if not text:
            yield Text(text)

    def _outside_of_bytes(self, text: str, start: int, end: int) -> Iterator[Part]:
        """The parts for a range of the text. The range excludes bytes of pictures: a search of them takes seconds."""
        at = start
        matches = (*_RUN.finditer(text, start, end), *_LINK.finditer(text, start, end))
        for match in sorted(matches, key=re.Match.start):
            if match.start() < at or (part := self._run(match.group())) is None:
                continue
            if match.start() > at:
                yield Text(text[at : match.start()])
            yield part
            at = match.end()
        if at < end:
            yield Text(text[at:end])

    def _run(self, run: str) -> Part | None:
        if _LINK.fullmatch(run):
            uri, mime = re.search(r"""uri=(?:AnyUrl\()?['"]([^'"]+)""", run), re.search(r"mimeType='(\w+)/", run)
            if uri is None or mime is None or mime[1] not in _KINDS:
                return None
            return self._block({"type": mime[1], "url": uri[1]}, links=True)
        plain = run.lstrip("-_")  # a line of dashes may precede it
        if (medium := _medium_of(run) or (_medium_of(plain) if plain != run else None)) is not None:
            return medium
        if len(run) < _LONG or not _is_binary(run):
            return None
        self._add_note(f"{self._where}: {len(run):,} characters of base64 in a tool's result were left out.")
        return Text(f"[{len(run):,} characters of base64 were left out]")

    def _bytes(self, data: Any) -> Part | None:
        """The picture or video in `data`; for other binary data a text instead; None for bytes of plain text."""
        if not isinstance(data, bytes):
            return None
        if (medium := _medium_of(data)) is not None:
            return medium
        with suppress(UnicodeDecodeError):
            data.decode()
            return None
        self._add_note(f"{self._where}: {len(data):,} bytes in a tool's result were left out.")
        return Text(f"[{len(data):,} bytes were left out]")


def in_words(kind: type[Media], error: InvalidRequestError, where: str, add_note: AddNote) -> Text:
    """The text for the model in place of a picture, video or file that a tool returned and that cannot be sent.

    `add_note` records the reason.
    """
    what = {"Image": "picture", "Video": "video"}.get(kind.__name__, "file")
    add_note(f"{where}: a {what} in a tool's result was replaced by a sentence. The reason: {error.message}")
    return Text(f"[A {what} in this result cannot be shown to you: {error.message.split('. ')[0]}]")


# The most values of a repr that are parsed: `ast` takes 20 microseconds for each and blocks all threads meanwhile. In a
# longer repr base64, bytes and links are found by a search of the text.
_MOST_VALUES = 20_000


def _value(text: str) -> Any:
    """The value of a text that is JSON or the repr of plain values; None for any other text and for a long repr."""
    start = text.lstrip()[:2]
    if start[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            return json.loads(text)
    if (start[:1] in ("{", "[", "(") or start in ("b'", 'b"')) and text.count(", ") < _MOST_VALUES:
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return ast.literal_eval(text.strip())
    return None


def _is_medium(block: Mapping[str, Any]) -> bool:
    return block.get("type") in _KINDS or (
        block.get("type") in ("file", "resource_link", "media") and bool(_mime(block))
    )


def _mime(block: Mapping[str, Any]) -> str:
    """The media type that a block names, if this is a type of pictures or videos; else ""."""
    mime = str(block.get("mime_type") or block.get("mimeType") or "")
    return mime if mime.partition("/")[0] in _KINDS else ""


def _kind(block: Mapping[str, Any]) -> type[Image | Video]:
    return _KINDS.get(str(block["type"])) or _KINDS.get(_mime(block).partition("/")[0]) or Image


def _content(block: Mapping[str, Any]) -> str | None:
    """The base64 or the URL of a block."""
    match block:
        case {"source": {"data": str(content)} | {"base64": str(content)} | {"url": str(content)}}:
            return content
        case {"image_url": {"url": str(content)} | str(content)} | {"video_url": {"url": str(content)} | str(content)}:
            return content
        case {"base64": str(content)} | {"data": str(content)} | {"url": str(content)} | {"uri": str(content)}:
            return content
        case _:
            return None


def _medium_of(data: str | bytes) -> Image | Video | None:
    """The picture or video that the data contains as bytes or base64; None for other data."""
    if isinstance(data, str):
        data = "".join(data.replace("\\r", "").replace("\\n", "").split())
    for kind in (Image, Video):
        with suppress(InvalidRequestError):
            return kind.from_bytes(data) if isinstance(data, bytes) else kind.from_base64(data)
    return None


def _is_binary(run: str) -> bool:
    """Whether this is base64 of binary data, and not a long word, hexadecimal digits or a sequence of letters."""
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
