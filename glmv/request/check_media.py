"""Checks pictures, videos and files of a request against the model's row, and fits pictures."""

from __future__ import annotations

import logging
import operator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from glmv.catalog.row import MIB
from glmv.errors import LimitExceeded, UnsupportedContent
from glmv.media import File, Image, Video
from glmv.media.pixels import MAX_PIXELS
from glmv.media.text import human_size
from glmv.request.cause import AddNote, Cause
from glmv.request.limits import Limits
from glmv.types import Media, Message, Part, Text, media_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glmv.catalog.row import Model
    from glmv.wire.dialect import Dialect

log = logging.getLogger("glmv")


class Position(NamedTuple):
    """The position of a content part in the request."""

    message: int
    part: int

    def __str__(self) -> str:
        return f"messages[{self.message}], part {self.part}"


def placed_media(messages: tuple[Message, ...]) -> list[tuple[Position, Media]]:
    """All pictures, videos and files of a request, with their positions."""
    return [(Position(m, p), part) for m, message in enumerate(messages) for p, part in media_in(message.content)]


def checked_media(
    messages: tuple[Message, ...], media: Sequence[tuple[Position, Media]], model: Model, limits: Limits
) -> tuple[Message, ...]:
    """Check the media of a request against the model's row: counts, sizes, formats, order. Pictures are fitted.

    Args:
        messages: the messages of the request.
        media: the media in them, see `placed_media`.
        model: the row.
        limits: records notes, and decides whether a request over a limit is refused.

    Raises:
        LimitExceeded, UnsupportedContent: if `limits` refuses; the message names the limit, the model, the position and
            an alternative. Also if a part cannot be sent to any server.
    """
    if not media:
        return messages
    _counts(media, model, limits)
    return tuple(_fitted(message, index, model, limits) for index, message in enumerate(messages))


def check_served(media: Sequence[tuple[Position, Media]], dialect: Dialect, add_note: AddNote) -> None:
    """Check what a server requires of pictures for every model: a complete file, and sides that the server can read.

    Pictures with `fit=False` are not checked.

    Args:
        media: the media of the request, see `placed_media`.
        dialect: the server's dialect.
        add_note: records a note.

    Raises:
        UnsupportedContent: the file of a picture was cut short.
    """
    for position, part in media:
        if isinstance(part, Image) and part.fit:
            _served(part, position, dialect, add_note)


def _served(image: Image, position: Position, dialect: Dialect, add_note: AddNote) -> None:
    if image.cut_short is not None:
        raise UnsupportedContent(
            f"{position}: {image!r} was cut short: {image.cut_short}. Save or download it again, or pass fit=False to "
            "send it as it is."
        )
    if dialect.most_aspect is not None:
        _note_aspect(image, dialect.most_aspect, "the published image processor, which this server uses,", add_note)
    if dialect.limits == "none" and (count := (image.width or 0) * (image.height or 0)) > MAX_PIXELS:
        note = (
            f"{image!r} has {count // 10**6} megapixels, which servers that decode pictures with Pillow refuse: "
            "if the call fails, send image.fitted(max_side=6000)[0]."
        )
        add_note(Cause(note))
    if image.width and image.height and min(image.width, image.height) < dialect.least_side:
        note = (
            f"{image!r} has a side of less than {dialect.least_side} pixels, which some versions of this server's "
            "image processor refuse: if the call fails, enlarge the picture."
        )
        add_note(Cause(note))


def _counts(parts: Sequence[tuple[Position, Media]], model: Model, limits: Limits) -> None:
    """Check the numbers of pictures, videos and files, and whether they may be combined."""
    groups = [
        ("picture", [position for position, part in parts if isinstance(part, Image)], model.images),
        ("video", [position for position, part in parts if isinstance(part, Video)], model.videos),
        ("file", [position for position, part in parts if isinstance(part, File)], model.files),
    ]
    for what, positions, most in groups:
        if not positions or most is None:
            continue
        if most == 0:
            limits.over(UnsupportedContent, f"{positions[0]}: {model.name} does not accept {what}s. {_INSTEAD[what]}")
        elif len(positions) > most:
            limit = f"{most} {what}" + "s" * (most > 1)
            limits.over(
                LimitExceeded,
                f"{model.name} takes {limit} in a request, over all turns; got {len(positions)}. The first one above "
                f"the limit is at {positions[most]}. Leave some out, or ask in several requests.",
            )
    present = [(what, positions[0]) for what, positions, _ in groups if positions]
    if len(present) > 1 and not model.mixed_media:
        # "不支持同时理解文件、视频和图像" (docs.bigmodel.cn, GLM-4.6V); the guide of 2024: video and image
        (one, here), (other, there), *_ = present
        frames = _FRAMES if "video" in (one, other) else ""
        limits.over(
            UnsupportedContent,
            f"{model.name} does not accept a {one} and a {other} in the same request; got a {one} at {here} and a "
            f"{other} at {there}. Ask in two requests{frames}.",
        )


_INSTEAD = {
    "picture": "Models that do are glm-4.6v, glm-4.5v, glm-4v-plus-0111 and others: glmv.models().",
    "video": "Use a model that does, such as glm-4.6v, or send some pictures of it: *video.frames(8).",
    "file": "Use a model that does, such as glm-4.6v, or put the text of the file into the prompt.",
}
_FRAMES = ", or turn the video into pictures with video.frames(8)"


def _fitted(message: Message, index: int, model: Model, limits: Limits) -> Message:
    """The message with fitted pictures, and with videos first if the model requires it."""
    content = tuple(_part(part, Position(index, p), model, limits) for p, part in enumerate(message.content))
    if model.video_first:
        ordered = tuple(sorted(content, key=lambda part: not isinstance(part, Video)))
        if not all(map(operator.is_, ordered, content)):
            limits.add_note(f"The video was moved to the front of messages[{index}], where {model.name} requires it.")
            content = ordered
    same = all(map(operator.is_, content, message.content))  # comparing pictures with == would compute their digests
    return message if same else replace(message, content=content)


def _part(part: Part, position: Position, model: Model, limits: Limits) -> Part:
    match part:
        case Text():
            return part
        case Image():
            return _image(part, position, model, limits)
        case Video():
            return _video(part, position, model, limits)
        case File():
            return _file(part, position, model, limits)
        case _:
            raise UnsupportedContent(f"{position}: a part of type {type(part).__name__} cannot be sent.")


def _image(image: Image, position: Position, model: Model, limits: Limits) -> Image:
    if image.url is not None:
        return image
    if not model.image_base64:
        limits.over(
            UnsupportedContent,
            f"{position}: {model.name} takes pictures by URL only; {image!r} is not a URL. "
            "Pass a public URL with Image.from_url, or use a model that takes base64, such as glm-4.6v-flash.",
        )
    if not image.fit:
        _misfit(image, position, model, limits)
        fitted = image
    else:
        fitted, note = image.fitted_for(model, keep=limits.keep)
        if note is not None:
            log.debug("Fitted at %s: %s", position, note)
            limits.add_note(note)
    _note_narrow(fitted, model, limits)
    return fitted


def _note_narrow(image: Image, model: Model, limits: Limits) -> None:
    """Record a note on a picture that the published processor refuses as too narrow; the platform may accept it."""
    if model.processor and model.processor.most_aspect is not None:
        _note_aspect(image, model.processor.most_aspect, f"the published processor of {model.name}", limits.add_note)


def _note_aspect(image: Image, most: float, processor: str, add_note: AddNote) -> None:
    if not image.width or not image.height:
        return
    if max(image.width, image.height) > most * min(image.width, image.height):
        note = (
            f"{image!r} is more than {most:g} times as long as it is wide, and {processor} "
            "refuses such pictures: if the call fails, cut the picture into pieces."
        )
        add_note(Cause(note))


def _misfit(image: Image, position: Position, model: Model, limits: Limits) -> None:
    hint = "Remove fit=False to have the picture fitted, or change the picture yourself."
    if model.image_formats and image.format not in model.image_formats:
        limits.over(
            UnsupportedContent,
            f"{position}: {model.name} takes {_spoken(model.image_formats)}; {image!r} is {image.format}. {hint}",
        )
    if model.image_bytes is not None and (image.size or 0) > model.image_bytes:
        limits.over(
            LimitExceeded,
            f"{position}: {model.name} accepts pictures of at most {model.image_bytes // MIB} MB; {image!r} has "
            f"{human_size(image.size or 0)}. {hint}",
        )
    if model.image_side is not None and max(image.width or 0, image.height or 0) > model.image_side:
        limits.over(
            LimitExceeded,
            f"{position}: {model.name} accepts pictures of at most {model.image_side}x{model.image_side} pixels; "
            f"{image!r} has {image.width}x{image.height}. {hint}",
        )


def _video(video: Video, position: Position, model: Model, limits: Limits) -> Video:
    if video.url is not None:
        return video
    if not model.video_base64:
        limits.over(
            UnsupportedContent, f"{position}: {model.name} takes videos by URL only. Pass one with Video.from_url."
        )
    if model.video_formats and video.container not in model.video_formats:
        limits.over(
            UnsupportedContent,
            f"{position}: {model.name} takes {_spoken(model.video_formats)} videos; got {video!r}. "
            "Convert it, or send pictures of it: *video.frames(8).",
        )
    if model.video_bytes is not None and (video.size or 0) > model.video_bytes:
        limits.over(
            LimitExceeded,
            f"{position}: {model.name} takes videos of at most {model.video_bytes // MIB} MB; {video!r} has "
            f"{human_size(video.size or 0)}. Compress or cut it, or send pictures of it: *video.frames(8).",
        )
    if model.video_seconds is not None and (video.duration or 0) > model.video_seconds + ROUNDING_SECONDS:
        limits.over(
            LimitExceeded,
            f"{position}: {model.name} takes videos of at most {model.video_seconds:g} s; {video!r} lasts "
            f"{video.duration:.1f} s. Cut it, or use a model without this limit, such as glm-4.6v.",
        )
    if model.video_seconds is not None and video.duration is None:
        most = f"{model.video_seconds:g} s"
        unknown = f"the duration of {video!r} is unknown, so it was not checked"
        limits.add_note(Cause(f"{model.name} takes videos of at most {most}; {unknown}."))
    return video


ROUNDING_SECONDS = 0.5
"""A video may be this much longer than the limit: a clip cut to "30 seconds" ends at the next frame or audio packet."""


def _file(file: File, position: Position, model: Model, limits: Limits) -> File:
    form = "url" if file.url is not None else "id" if file.file_id is not None else "data"
    if model.file_forms and form not in model.file_forms:
        ways = " or ".join(_FORMS[form] for form in model.file_forms)
        limits.over(UnsupportedContent, f"{position}: {model.name} does not accept a file by {form}; use {ways}.")
    if model.file_bytes is not None and (file.size or 0) > model.file_bytes:
        limits.over(
            LimitExceeded,
            f"{position}: {model.name} takes files of at most {model.file_bytes // MIB} MB; {file!r} has "
            f"{human_size(file.size or 0)}. Split it.",
        )
    return file


_FORMS = {"url": "File.from_url", "data": "File.from_path or from_bytes", "id": "File.from_id"}


def _spoken(formats: tuple[str, ...]) -> str:
    return ", ".join("JPEG" if name == "jpg" else name.upper() for name in formats)
