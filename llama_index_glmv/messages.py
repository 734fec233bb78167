"""LlamaIndex's messages and `image_documents` -> glmv messages.

Every block is converted, or refused with an error that names its type. The `path` of a block or a node is a typed field
that the programmer sets, so the file is read. Its `url` is sent to the platform, which fetches it; this module fetches
nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import IOBase
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Union

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.schema import BaseNode, ImageNode, Node, NodeWithScore
from pydantic import BaseModel

import glmv
from llama_index_glmv.intake import Intake, is_base64

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool
    from PIL.Image import Image as PILImage

ImageSource = Union[
    ImageBlock,
    VideoBlock,
    DocumentBlock,
    BaseNode,
    NodeWithScore,
    glmv.Part,
    str,
    PathLike[str],
    bytes,
    "PILImage",
]
"""The types of one picture that `image_documents` takes.

A str with a scheme is a URL, a long str of base64 characters is base64, any other str is a path.
"""

ImageDocuments = Sequence[ImageSource] | ImageSource
"""Several pictures, or one."""

_SCHEME = re.compile(r"\s*[a-zA-Z][a-zA-Z0-9+.-]+:")  # two letters at least: C:\ is a Windows drive

# LlamaIndex turns a tool result that is not a block into text with `str()`. This pattern recognizes such texts of
# pictures, blocks and bytes.
_REPRESENTED = re.compile(
    r"""\s*(?:[\[({].*?)?(?:\b(\w+Block)\(block_type='|<(PIL\.[\w.]+)\ image\ mode=|<(_io\.BytesIO)\ object
    |((?:Image|Video|File)\((?:[^()\n]*,\ sha256\ [0-9a-f]{12}|https?:[^()\s]*)\))(?=\s*(?:[])},]|\Z))
    |b['"](?:\\x89PNG|\\xff\\xd8\\xff|GIF8|RIFF))""",
    re.DOTALL | re.VERBOSE,
)

# The repr of a node whose picture is in a file or behind a URL. Its text may be useful without the picture.
_NODE = re.compile(r"\b(Image(?:Node|Document))\(id_='")
_ITS_PICTURE = re.compile(r"\bimage_(?:path|url)='|\bpath=(?:Posix|Windows)Path\(|\burl=\w*Url\(")

Role = Literal["system", "user", "assistant", "tool"]

# The platform has the roles system, user, assistant and tool (docs.bigmodel.cn, "对话补全").
ROLES: dict[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


def to_glmv(messages: Iterable[ChatMessage], intake: Intake) -> list[glmv.Message]:
    """LlamaIndex's messages -> glmv messages.

    Args:
        messages: the conversation; neither the messages nor their blocks are changed.
        intake: the rules for content; it collects notes about content that is left out.

    Returns:
        The messages that have content or tool calls, and all tool messages. Their parts are in the order of the
        blocks. glmv later moves media of tool and assistant messages into user messages.

    Raises:
        UnsupportedContent: a block cannot be sent; the error names message, role and type.
        InvalidRequestError: the newest message is an empty user message.
    """
    result: list[glmv.Message] = []
    empty: str | None = None  # the newest message, if it is the user's and empty
    for index, message in enumerate(messages):
        mapped = _message(message, index, intake)
        empty = None
        if mapped is not None:
            result.append(mapped)
        elif ROLES[message.role] == "user":
            empty = f"messages[{index}] ({message.role.value})"
            intake.note(f"messages[{index}]", "an empty user message was left out.")
    if empty is not None:
        raise glmv.InvalidRequestError(f"{empty} is empty: give it text, or a block with a picture, a video or a file.")
    return result


def reads_files(messages: Iterable[ChatMessage]) -> bool:
    """Whether a block names a file that `to_glmv` will read; async callers then use a worker thread."""
    return any(_path_of(block) for message in messages for block in message.blocks)


def _path_of(block: object) -> bool:
    match block:
        case CitableBlock(content=blocks):
            return any(map(_path_of, blocks))
        case CitationBlock(cited_content=inner):
            return _path_of(inner)
        case _:
            return getattr(block, "path", None) is not None


def _message(message: object, index: int, intake: Intake) -> glmv.Message | None:
    if not isinstance(message, ChatMessage):
        kind = type(message).__name__
        raise glmv.InvalidRequestError(f"messages[{index}] is a {kind}; use a ChatMessage, with blocks for pictures.")
    role = ROLES[message.role]
    where = f"messages[{index}] ({message.role.value})"
    parts: list[glmv.Part] = []
    calls: list[glmv.ToolCall] = []
    thoughts: list[str] = []
    for block in message.blocks:
        match block:
            case TextBlock() if role == "tool" and (python_repr := _REPRESENTED.match(block.text)):
                intake.refuse(_not_a_picture(python_repr), f"{where}, TextBlock")
            case TextBlock():
                if role == "tool" and (node := _NODE.search(block.text)) and _ITS_PICTURE.search(block.text):
                    intake.note(
                        where,
                        f"the text has the repr of {node[1]}, which shows the model no picture. To show it, let the "
                        "tool return an ImageBlock with the path or URL of the node.",
                    )
                parts.append(glmv.Text(block.text))
            case ThinkingBlock() if role == "assistant":
                thoughts.append(block.content or "")
            case ToolCallBlock() if role == "assistant":
                calls.append(_call(block.tool_call_id, block.tool_name, block.tool_kwargs))
            case _:
                parts.extend(parts_of_block(block, where, intake))
    legacy = message.additional_kwargs
    if role == "assistant" and not calls:
        calls.extend(legacy_calls(legacy.get("tool_calls")))
    if role != "user":
        parts = _in_lines(parts)
    if not (calls or role == "tool" or any(not isinstance(part, glmv.Text) or part.text for part in parts)):
        # Chat engines pass system messages without any block, and the platform refuses empty content.
        return None
    return glmv.Message(
        role,
        parts,
        tool_calls=calls,
        tool_call_id=legacy.get("tool_call_id") if role == "tool" else None,
        reasoning="\n".join(thoughts) or None,
    )


def _not_a_picture(python_repr: re.Match[str]) -> glmv.UnsupportedContent:
    what = next((name for name in python_repr.groups() if name), "bytes")
    return glmv.UnsupportedContent(
        f"it is the repr of {what}, which shows the model no picture. LlamaIndex turns the result of a tool into text, "
        "unless it is a block or a list of blocks: return [TextBlock(text=...), ImageBlock(path=...)]."
    )


def _in_lines(parts: list[glmv.Part]) -> list[glmv.Part]:
    """Puts each text on a new line, as `ChatMessage.content` does, because the parts are sent as one string."""
    first = next((part for part in parts if isinstance(part, glmv.Text)), None)
    return [
        glmv.Text(f"\n{part.text}") if isinstance(part, glmv.Text) and part is not first else part for part in parts
    ]


def parts_of_block(block: object, where: str, intake: Intake) -> list[glmv.Part]:
    """One block -> its parts.

    If media in a tool's result cannot be sent, a sentence for the model replaces them, unless the block gives a path.

    Args:
        block: a content block of a type that messages of every role can contain.
        where: the block's position, for errors and notes, such as "messages[2] (tool)".
        intake: the rules for content; it collects notes about content that is left out.

    Raises:
        InvalidRequestError: the block cannot be sent; the error names its position and type.
    """
    try:
        return list(_parts_of_block(block, where, intake))
    except glmv.InvalidRequestError as error:
        if (what := _MEDIA.get(type(block))) is not None and where.endswith("(tool)") and not _path_of(block):
            # The output of a tool is not the programmer's mistake, and the model can continue without it.
            intake.note(where, f"a {what} in a tool's result was replaced by a sentence. The reason: {error.message}")
            return [glmv.Text(f"[A {what} in this result cannot be shown to you: {error.message.split('. ')[0]}]")]
        intake.refuse(error, f"{where}, {type(block).__name__}")
        return []


_MEDIA: dict[type, str] = {ImageBlock: "picture", VideoBlock: "video", DocumentBlock: "file"}


def _parts_of_block(block: object, where: str, intake: Intake) -> Iterator[glmv.Part]:
    match block:
        case TextBlock():
            yield glmv.Text(block.text)
        case ImageBlock():
            yield intake.medium(glmv.Image, data=block.image, path=block.path, url=block.url)
            if block.detail is not None:
                intake.note(where, f"detail={glmv.shown(block.detail)} was left out; GLM-4V has no such field.")
        case VideoBlock():
            yield intake.medium(glmv.Video, data=block.video, path=block.path, url=block.url)
            for name, value in (("detail", block.detail), ("fps", block.fps)):
                if value is not None:
                    intake.note(where, f"{name}={glmv.shown(value)} was left out; GLM-4V chooses the frames itself.")
        case DocumentBlock():
            yield intake.medium(glmv.File, data=block.data, path=block.path, url=block.url, name=block.title)
        case CitableBlock():
            yield glmv.Text(f"[{block.title}] ({block.source})")
            for inner in block.content:
                yield from parts_of_block(inner, f"{where}, CitableBlock", intake)
        case CitationBlock():
            yield from parts_of_block(block.cited_content, f"{where}, CitationBlock", intake)
            yield glmv.Text(f"[{block.title}] ({block.source})")
        case CachePoint():
            intake.note(where, "a CachePoint was left out; the platform caches prompts automatically.")
        case ThinkingBlock() | ToolCallBlock():
            raise intake.no_place("Put it into an assistant message.")
        case _:
            raise intake.no_place(
                "GLM-4V takes text, pictures, videos and files: describe other content in a TextBlock."
            )


def parts_of_documents(documents: ImageDocuments | None, intake: Intake) -> list[glmv.Part]:
    """`image_documents` -> parts, in order.

    Args:
        documents: one or several of: blocks, nodes, scored nodes, documents, paths, URLs, bytes, Pillow pictures.
        intake: the rules for content; it collects notes about content that is left out.

    Raises:
        InvalidRequestError: an item cannot be sent or has no picture; the error names its position and type.
    """
    parts: list[glmv.Part] = []
    for index, document in enumerate(_listed(documents)):
        where = f"image_documents[{index}]"
        try:
            parts.extend(_parts_of_document(document, where, intake))
        except glmv.InvalidRequestError as error:
            intake.refuse(error, where)
    return parts


def _listed(documents: Any) -> Iterable[Any]:
    match documents:
        case None:
            return ()
        case str() | bytes() | bytearray() | IOBase() | BaseModel():  # pydantic's models iterate over their fields
            return (documents,)
        case Mapping() | memoryview():  # they would iterate over keys and numbers
            return (documents,)
        case Iterable():
            return documents
        case _:
            return (documents,)


def _parts_of_document(document: ImageSource, where: str, intake: Intake) -> Iterator[glmv.Part]:
    match document:
        case NodeWithScore():
            yield from _parts_of_document(document.node, where, intake)
        case ImageBlock() | VideoBlock() | DocumentBlock():
            yield from parts_of_block(document, where, intake)
        case BaseNode():
            yield from _parts_of_node(document, intake)
        case glmv.Text() | glmv.Image() | glmv.Video() | glmv.File():
            yield document
        case str() if _SCHEME.match(document):
            yield intake.medium(glmv.Image, url=document)
        case str() if is_base64(document):
            yield intake.medium(glmv.Image, data=document)
        case str() | PathLike():
            yield intake.medium(glmv.Image, path=document)
        case _:
            yield glmv.Image.of(document)


def _parts_of_node(node: BaseNode, intake: Intake) -> Iterator[glmv.Image | glmv.Video]:
    kinds: list[tuple[type[glmv.Image | glmv.Video], Any, Any, Any]] = []
    match node:
        case ImageNode():
            kinds = [(glmv.Image, node.image, node.image_path, node.image_url)]
        case Node():
            resources = ((glmv.Image, node.image_resource), (glmv.Video, node.video_resource))
            kinds = [
                (kind, resource.data, resource.path, resource.url)
                for kind, resource in resources
                if resource is not None
            ]
    kinds = [one for one in kinds if any(one[1:])]
    if not kinds:
        hint = "Its metadata names a file, which is not opened because metadata is not trusted: set image_path."
        names_file = bool(node.metadata.get("file_path"))
        raise glmv.UnsupportedContent(f"this {type(node).__name__} has no picture. {hint * names_file}".strip())
    for kind, data, path, url in kinds:
        yield intake.medium(kind, data=data, path=path, url=url)


def with_linked(messages: Sequence[glmv.Message], kwargs: dict[str, Any], intake: Intake) -> list[glmv.Message]:
    """Add the media of `image_url=` and `video_url=`, two keywords of ZhipuAIMultiModal, to the newest user message.

    Args:
        messages: the conversation.
        kwargs: options of the call; both keywords are removed. Their value is a URL, base64, or a list of these.
        intake: the rules for content; it collects notes about content that is left out.

    Raises:
        InvalidRequestError: a value cannot be sent; the error names its keyword.
    """
    parts: list[glmv.Part] = []
    kinds: tuple[tuple[str, type[glmv.Image | glmv.Video]], ...] = ("image_url", glmv.Image), ("video_url", glmv.Video)
    for name, kind in kinds:
        value = kwargs.pop(name, None)
        for url in value if isinstance(value, list | tuple) else [value] if value else []:
            try:
                parts.append(_linked(kind, url, intake))
            except glmv.InvalidRequestError as error:
                intake.refuse(error, name)
    result = list(messages)
    if not parts:
        return result
    at = next((index for index in reversed(range(len(result))) if result[index].role == "user"), None)
    if at is None:
        return [*result, glmv.Message("user", parts)]
    result[at] = glmv.Message("user", [*parts, *result[at].content])
    return result


def _linked(kind: type[glmv.Image | glmv.Video], url: object, intake: Intake) -> glmv.Image | glmv.Video:
    if not isinstance(url, str):
        raise glmv.InvalidRequestError(f"it must be a URL or base64; got {type(url).__name__}. {_ELSEWHERE}")
    if _SCHEME.match(url) and not url.startswith("data:"):
        return intake.medium(kind, url=url)
    try:
        return intake.medium(kind, data=url)
    except glmv.InvalidRequestError as error:
        raise type(error)(f"it must be a URL or base64. {error.message} {_ELSEWHERE}") from None


_ELSEWHERE = "Pass files and pictures in image_documents=, or in the blocks of a message."


def chat_arguments(
    tools: Sequence[BaseTool],
    user_msg: str | ChatMessage | None,
    chat_history: Sequence[ChatMessage] | None,
    *,
    parallel: bool,
    required: bool,
    options: dict[str, Any],
) -> dict[str, Any]:
    """The keyword arguments of `chat` for a conversation with tools.

    Args:
        tools: the tools that the model may call.
        user_msg: the new user message; as a `ChatMessage` it can contain pictures.
        chat_history: the messages before `user_msg`; the list is not changed.
        parallel: False keeps only the first call of an answer.
        required: whether the model must call a tool. The platform supports "auto" only; if the answer has no call, glmv
            repeats the request once and returns the second answer.
        options: further options of the call; its `tool_choice` overrides `required`.
    """
    messages = list(chat_history or ())
    match user_msg:
        case str():
            messages.append(ChatMessage(role="user", content=user_msg))
        case ChatMessage():
            messages.append(user_msg)
    arguments: dict[str, Any] = {"messages": messages, **options}
    if tools:
        # LlamaIndex checks OpenAI's limit of a description (1,024 characters); the platform documents no limit.
        arguments["tools"] = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
        if arguments.get("tool_choice") is None and required:
            # glmv lets a class validate the arguments only if the name of the tool is given.
            named = len(tools) == 1 and isinstance(options.get("validate"), type)
            arguments["tool_choice"] = tools[0].metadata.get_name() if named else "required"
        if arguments.get("tool_choice"):
            arguments.setdefault("on_misfit", "return")  # tools validate their arguments, agents report errors
        if not parallel:
            arguments["parallel_tool_calls"] = False
    return arguments


def _call(call_id: object, name: str, arguments: object) -> glmv.ToolCall:
    try:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError) as error:  # such as a circular reference
        raise glmv.UnsupportedContent(
            f"The arguments of {glmv.shown(name, 60)} cannot be written as JSON: {error}"
        ) from None
    return glmv.ToolCall(str(call_id or ""), name, text or "{}")


def legacy_calls(calls: object) -> list[glmv.ToolCall]:
    """`additional_kwargs["tool_calls"]` of other integrations (dicts or OpenAI's objects) -> glmv's tool calls."""
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        return []
    tool_calls = []
    for call in calls:
        function = _get(call, "function")
        name = _get(function, "name")
        if name:
            tool_calls.append(_call(_get(call, "id"), str(name), _get(function, "arguments") or "{}"))
    return tool_calls


def _get(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
