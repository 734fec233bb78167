"""Notes on features of a request about which the platform's documents disagree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from glmv.media import File, Image, Video
from glmv.request.cause import AddNote, Cause
from glmv.request.check_options import thinking_kind
from glmv.types import Media

if TYPE_CHECKING:
    from glmv.catalog.row import Model
    from glmv.options import ChatRequest

# Fields of a row whose doubts concern requests with pictures, videos or files.
_OF_MEDIA = {"images", "video_base64", "video_formats", "file_forms"}
# Other fields, with the option without which their doubts do not concern a request.
_OF_OPTIONS = {
    "max_output": "max_tokens",
    "temperature": "temperature",
    "stop": "stop",
    "tools": "tools",
    "reasoning_effort": "reasoning_effort",
    "thinking": "thinking",
    "thinking_values": "thinking",
}
# docs.z.ai: "6–64 characters"; docs.bigmodel.cn asks for a unique one only.
_LEAST_REQUEST_ID = 6


def note_doubts(request: ChatRequest, media: Sequence[Media], model: Model, add_note: AddNote) -> None:
    """Record a note for each doubtful feature of the model that the request uses, and for a short `request_id`.

    Args:
        request: the original request, before pictures are fitted.
        media: the pictures, videos and files in it.
        model: the row of its model.
        add_note: records a note.

    Raises:
        ValueError: a doubt is about a field that this module does not know.
    """
    for line in model.doubts:
        field, _, doubt = line.partition(": ")
        option = _OF_OPTIONS.get(field)
        if (field in _OF_MEDIA and not media) or (option is not None and option not in request.options):
            continue
        for what in _relied_on(field, request, media, model):
            add_note(Cause(f"{what}, and the platform's documents disagree about this: {doubt}."))
    request_id = request.options.get("request_id")
    if request_id is not None and len(request_id) < _LEAST_REQUEST_ID:
        documents = "docs.bigmodel.cn states no length, docs.z.ai requires 6 to 64 characters"
        note = f"request_id={request_id!r} was sent, and the platform's documents disagree about it: {documents}."
        add_note(Cause(note))


def _relied_on(field: str, request: ChatRequest, media: Sequence[Media], model: Model) -> list[str]:
    """The beginnings of notes that say how a request relies on a field of the model's row; [] if it does not."""
    name, options = model.name, request.options
    match field:
        case "status":
            return [f"Whether {name} is still offered was not checked"]
        case "context":
            tokens = _at_least(request)
            return [f"About {tokens:,} tokens were sent to {name}"] if tokens > (model.context or math.inf) else []
        case "max_output":
            wanted = options.get("max_tokens") or 0
            return [f"max_tokens={wanted} was sent to {name}"] if wanted > (model.output_sure or 0) else []
        case "roles":
            has_system = any(message.role == "system" and message.text for message in request.messages)
            return [f"The system message was sent to {name} inside the user message"] if has_system else []
        case "images":
            pictures = sum(isinstance(part, Image) for part in media)
            return [f"{pictures} pictures were sent to {name}"] if pictures > (model.images_sure or 0) else []
        case "video_base64":
            videos = [part for part in media if isinstance(part, Video) and part.url is None]
            return [f"A video was sent to {name} as base64"] if videos else []
        case "video_formats":
            videos = [part for part in media if isinstance(part, Video)]
            return [f"{video!r} was sent to {name}" for video in videos if video.container not in (None, "mp4")]
        case "file_forms":
            files = [part for part in media if isinstance(part, File) and not (part.url or part.file_id)]
            return [f"A file was sent to {name} inside the request"] if files else []
        case "temperature":
            return [f"temperature=0 was sent to {name}"] if options.get("temperature") == 0 else []
        case "stop":
            return [f"A stop word was sent to {name}"] if options.get("stop") else []
        case "tools":
            return [f"Tools were sent to {name}"] if options.get("tools") else []
        case "reasoning_effort":
            effort = options.get("reasoning_effort")
            return [f"reasoning_effort={effort!r} was sent to {name}"] if effort else []
        case "thinking":
            return [f"thinking was switched on for {name}"] if _thinking(request) == "enabled" else []
        case "thinking_values":
            return [f"thinking was switched off for {name}"] if _thinking(request) == "disabled" else []
        case _:
            raise ValueError(f"{name}: check_doubts has no rule for the field {field}")


def _thinking(request: ChatRequest) -> object:
    thinking = request.options.get("thinking")
    return None if thinking in (None, "auto") else thinking_kind(thinking)


def _at_least(request: ChatRequest) -> int:
    """A low estimate of the tokens of a request's texts: one per four bytes (4 letters, or 1.3 Chinese characters)."""
    return sum(len(message.text.encode(errors="replace")) for message in request.messages) // 4
