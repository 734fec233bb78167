"""Converts one content block, in any shape that LangChain accepts, to content parts of glmv, or raises an error.

The shapes are standard blocks (docs.langchain.com, "Standard content blocks"), the older `source_type` blocks, and
those of the APIs of OpenAI, Anthropic and GLM. Strings in blocks are not trusted: they open no file and fetch no URL.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import glmv

Part = glmv.Text | glmv.Image | glmv.Video | glmv.File
Block = Mapping[str, Any]

WORKS = "What works: blocks of type text, image, video or file (a document), by url or base64."
_KINDS = {glmv.Image: "an image", glmv.Video: "a video"}
_NO_AUDIO = "The GLM-4V family does not accept audio (the platform's glm-4-voice does): send a transcript as text."


@dataclass(slots=True)
class MessageContext:
    """The message that contains a block: its index and role, which error messages name. All messages share `notes`.

    References are resolved from `store`; a reference raises an error if there is no store.
    """

    index: int
    role: str
    model: str
    notes: list[str] = field(default_factory=list)
    store: glmv.PictureStore | None = None

    def refusal(self, kind: object, works: str = WORKS) -> glmv.UnsupportedContent:
        """The error for a block that cannot be sent."""
        return glmv.UnsupportedContent(
            f"messages[{self.index}] ({self.role}): a block of type {glmv.shown(kind)} cannot be sent to "
            f"{self.model if len(self.model) <= 100 else glmv.shown(self.model, 100)}. {works}"
        )

    def leave_out(self, what: str) -> None:
        """Add a note that something was left out because GLM's requests have no field for it."""
        self.notes.append(f"{what} was left out: GLM has no field for it.")

    def medium_of(self, reference: str, kind: type[glmv.Image | glmv.Video] | None = None) -> glmv.Image | glmv.Video:
        """The picture or video that a reference names.

        Raises:
            UnsupportedContent: there is no store.
            InvalidRequestError: the reference is not in the store, or names content of another kind than `kind`.
        """
        if self.store is None:
            raise glmv.UnsupportedContent(
                f"the reference {glmv.shown(reference)} cannot be resolved without a store: use "
                "ChatGLMV(picture_store=...)."
            )
        medium = self.store.get(reference)
        if kind is not None and not isinstance(medium, kind):
            raise glmv.InvalidRequestError(f"{reference} is {_KINDS[type(medium)]}: put it into a block of that type.")
        return medium


def is_reference(value: str) -> bool:
    """Whether a file id has the prefix of references to pictures and videos. The store checks the rest."""
    return value[: len(glmv.PictureStore.prefix)].lower() == glmv.PictureStore.prefix


def reference_in(block: object) -> str | None:
    """The reference to a picture or video in a block; None for any other block."""
    if not isinstance(block, Mapping):
        return None
    way, value = _way_and_value(block.get("file") if isinstance(block.get("file"), Mapping) else block)  # type: ignore[arg-type]
    return value if way == "id" and is_reference(value) else None


_REFERENCE = re.compile(
    rf"""\{{[^{{}}]{{0,200}}["']file_id["']\s*:\s*["']{re.escape(glmv.PictureStore.prefix)}\w+["'][^{{}}]{{0,200}}\}}"""
)


def with_blocks(text: str) -> str | list[Any]:
    """Finds blocks with references in the text of a tool's result.

    Returns a list of these blocks and the texts between them, or the text unchanged if it contains no such block.

    LangGraph turns the result of a tool into text, unless the result is a list of blocks.
    """
    if glmv.PictureStore.prefix not in text:
        return text
    with suppress(ValueError, RecursionError):
        items = json.loads(text)
        if isinstance(items, list) and all(isinstance(item, str) or _is_written(item) for item in items):
            return items
    found: list[Any] = []
    at = 0
    for match in _REFERENCE.finditer(text):
        with suppress(ValueError, SyntaxError):
            block = ast.literal_eval(match[0])
            if _is_written(block):
                found += [text[at : match.start()], block]
                at = match.end()
    return [item for item in (*found, text[at:]) if item] if found else text


def _is_written(item: object) -> bool:
    return isinstance(item, dict) and isinstance(item.get("type"), str) and reference_in(item) is not None


# The keys under which documents and blocks of tool results contain blocks.
HOLDERS = ("content", "output", "value", "source")


def holds_reference(content: object) -> bool:
    """Whether a message's content contains a reference to a picture or a video, at any depth."""
    match content:
        case str():
            return glmv.PictureStore.prefix in content
        case list():
            return any(map(holds_reference, content))
        case Mapping():
            if reference_in(content) is not None:
                return True
            return any(holds_reference(content[key]) for key in HOLDERS if key in content)
        case _:
            return False


def parts_of(block: object, context: MessageContext) -> list[Part]:
    """A block -> its parts, usually one.

    Raises:
        UnsupportedContent: the block cannot be sent; the error names the block's type, its message, the model, and
            the supported blocks.
        InvalidRequestError: the block's content is invalid; the error begins with the block's position.
    """
    try:
        return _parts(block, context)
    except glmv.InvalidRequestError as error:
        if not error.message.startswith("messages["):
            kind = block.get("type") if isinstance(block, Mapping) else "text"
            error.message = f"messages[{context.index}] ({context.role}), block {glmv.shown(kind, 60)}: {error.message}"
        raise


def _parts(block: Any, context: MessageContext) -> list[Part]:
    match block:
        case str(text) | {"type": "text", "text": str(text)}:
            _unsent(block, context)
            return [glmv.Text(text)] if text else []
        case {"type": str(kind)}:
            _unsent(block, context)
            convert = _CONVERTERS.get(kind)
            if convert is None:
                raise context.refusal(kind)
            return convert(block, context)
        case {"text": str(text)}:
            return [glmv.Text(text)] if text else []
        case {"cachePoint": _}:
            context.leave_out("cachePoint")
            return []
        case Mapping():
            raise context.refusal(next(iter(block), "nothing"))
        case _:
            raise context.refusal(type(block).__name__)


def _unsent(block: object, context: MessageContext) -> None:
    if isinstance(block, Mapping) and block.get("cache_control") is not None:
        context.leave_out("cache_control")


def _way_and_value(block: Block) -> tuple[str, str]:
    """How a block names its content: ("url" | "base64" | "id" | "text", value), or ("", "")."""
    match block:
        case {"source": dict(source)}:
            return _way_and_value(source)
        case {"file_id": str(value)} | {"source_type": "id", "id": str(value)}:
            return "id", value
        case {"base64": str(value)} | {"file_data": str(value)}:
            return "base64", value
        case {"type": "text", "data": str(value)}:
            return "text", value
        case {"data": str(value)}:
            return "base64", value
        case {"url": str(value)}:
            return "url", value
        case {"text": str(value)}:
            return "text", value
    for name in ("image_url", "video_url", "file_url"):
        match block.get(name):
            case str(value) | {"url": str(value)}:
                return "url", value
    return "", ""


def medium_in(block: object, *, by: tuple[str, ...]) -> str | None:
    """What a block contains: "picture", "video" or "file"; None for any other block.

    Args:
        by: the allowed sources of the content: "url", "base64", "id". The result is None for a block with another one.
    """
    if not isinstance(block, Mapping) or _way_and_value(block)[0] not in by:
        return None
    convert = _CONVERTERS.get(str(block.get("type")))
    if convert not in (_image, _video, _file):
        return None
    kind = _mime(block, "").partition("/")[0] if convert is _file else "video" if convert is _video else "image"
    return {"image": "picture", "video": "video"}.get(kind, "file")


def lacks_mime_type(block: object) -> bool:
    """Whether a block is a standard base64 picture without `mime_type`."""
    return (
        isinstance(block, Mapping)
        and block.get("type") == "image"
        and "mime_type" not in block
        and ("base64" in block or block.get("source_type") == "base64")
    )


def with_mime_type(block: Any) -> Any:
    """Adds the MIME type to a copy of a standard base64 picture that lacks it. Returns any other block unchanged.

    Raises:
        UnsupportedContent: the content is not a picture.
    """
    if not lacks_mime_type(block):
        return block
    _, value = _way_and_value(block)
    return {**block, "mime_type": _begins_as(value)}


# How many characters of base64 to read for the format of a picture: enough for its header, checked in 0.1 ms.
_HEAD = 64 * 1024


def _begins_as(base64: str) -> str | None:
    """The media type of a picture. Reads only the beginning of a large picture, so as not to block an event loop."""
    for end in (_HEAD, _HEAD + 1) if len(base64) > _HEAD else ():
        try:
            return glmv.Image.from_base64(base64[:end]).mime
        except glmv.InvalidRequestError:  # the cut is not a valid end of base64, or all of it is invalid
            continue
    return glmv.Image.from_base64(base64).mime


def _image(block: Block, context: MessageContext) -> list[Part]:
    holders = (block, block.get("image_url"), block.get("extras"))
    if any(isinstance(one, Mapping) and one.get("detail") is not None for one in holders):
        context.leave_out("detail")
    return _medium(block, context, glmv.Image, "an image")


def _video(block: Block, context: MessageContext) -> list[Part]:
    return _medium(block, context, glmv.Video, "a video")


def _medium(block: Block, context: MessageContext, make: type[glmv.Image | glmv.Video], what: str) -> list[Part]:
    match _way_and_value(block):
        case "url", value:
            return [make.from_message(value)]
        case "base64", value:
            return [make.from_base64(value)]
        case "id", value if context.store is not None or is_reference(value):
            return [context.medium_of(value, make)]
        case _:
            raise context.refusal(block.get("type"), _missing(block, what))


def _missing(block: Block, what: str) -> str:
    """The advice for a block that contains neither a URL nor base64."""
    kind = what.rpartition(" ")[2]
    for key in (kind, "data", "base64", "bytes"):
        match block.get(key):
            case None:
                continue
            case str():
                return f"Use the key 'base64' in place of {key!r}; langchain_glmv.{kind}(source) makes the whole block."
            case value:
                type_name = type(value).__name__
                return f"The block's {key!r} is {type_name}: langchain_glmv.{kind}(source) takes bytes and open files."
    if _way_and_value(block)[0] == "id":
        return f"Give {what} by url or base64; the platform has no file ids for it."
    return f"Give {what} by url or base64; langchain_glmv.{kind}(source) makes the block."


def _file(block: Block, context: MessageContext) -> list[Part]:
    inner = block.get("file")
    if isinstance(inner, Mapping):  # the shape of OpenAI's API
        block = {"type": "file", **inner}
    way, value = _way_and_value(block)
    mime = _mime(block, value)
    match mime.partition("/")[0]:
        case "image":
            return _image(block, context)
        case "video":
            return _video(block, context)
        case "audio":
            raise context.refusal(mime, _NO_AUDIO)
    name = _name(block)
    match way:
        case "url" if not value.startswith("data:"):
            return [glmv.File.from_url(value, name=name)]
        case "id" if is_reference(value):
            return [context.medium_of(value)]
        case "id":
            return [glmv.File.from_id(value)]
        case "url" | "base64" if mime.startswith("text/"):
            return [_titled(name, _decoded(value))]
        case "url" | "base64":
            return [glmv.File.from_base64(value, name=name, mime=mime or None)]
        case "text":
            return [_titled(name, value)]
        case _:
            raise context.refusal(block.get("type"), "Give the document by url, base64 or file_id.")


def _mime(block: Block, value: str) -> str:
    source = block.get("source")
    mime = block.get("mime_type") or (source.get("media_type") if isinstance(source, Mapping) else None)
    if not mime and value.startswith("data:"):
        mime = value[5:].partition(";")[0]
    return str(mime or "").lower()


def _name(block: Block) -> str | None:
    extras = block.get("extras")
    inner = extras if isinstance(extras, Mapping) else {}
    for key in ("filename", "title", "name"):
        if name := block.get(key) or inner.get(key):
            return str(name)
    return None


def _titled(title: str | None, text: str) -> glmv.Text:
    return glmv.Text(f"{title}\n{text}" if title else text)


def _decoded(value: str) -> str:
    return glmv.File.from_base64(value).data().decode("utf-8", "replace")


def _texts(block: Block, context: MessageContext) -> list[Part]:
    """A block with results of a search or a tool -> its title and source as text, then its content."""
    for key in ("content", "output", "json", "value"):
        match block.get(key):
            case None | "" | []:
                continue
            case str(text):
                body: list[Part] = [glmv.Text(text)]
            case list(blocks) if key != "json":
                body = [part for inner in blocks for part in parts_of(inner, context)]
            case data:
                body = [glmv.Text(json.dumps(data, ensure_ascii=False, default=str))]
        head = [str(block[name]) for name in ("title", "source") if isinstance(block.get(name), str)]
        return [*(glmv.Text(f"{line}\n") for line in head), *body]
    raise context.refusal(block.get("type"))


def _document(block: Block, context: MessageContext) -> list[Part]:
    match block.get("source"):
        case {"type": "content", "content": content}:
            return _texts({"type": "document", "title": block.get("title"), "content": content}, context)
        case _:
            return _file(block, context)


def _non_standard(block: Block, context: MessageContext) -> list[Part]:
    value = block.get("value")
    if isinstance(value, Mapping) and value.get("type") == "non_standard":
        raise context.refusal("non_standard")
    return _parts(value, context)


def _nothing(block: Block, context: MessageContext) -> list[Part]:
    context.leave_out(str(block.get("type")))
    return []


def _audio(block: Block, context: MessageContext) -> list[Part]:
    raise context.refusal(block.get("type"), _NO_AUDIO)


_CONVERTERS: dict[str, Callable[[Block, MessageContext], list[Part]]] = {
    "image": _image,
    "image_url": _image,
    "input_image": _image,
    "input_text": lambda block, context: _parts({"text": block.get("text")}, context),
    "video": _video,
    "video_url": _video,
    "file": _file,
    "file_url": _file,
    "input_file": _file,
    "media": _file,
    "text-plain": _file,
    "document": _document,
    "search_result": _texts,
    "custom_tool_call_output": _texts,
    "json": _texts,
    "non_standard": _non_standard,
    "cache_point": _nothing,
    "audio": _audio,
    "audio_url": _audio,
    "input_audio": _audio,
}
