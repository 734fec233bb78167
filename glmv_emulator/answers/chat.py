"""What is said when there is no picture to speak of."""

from __future__ import annotations

import re

from glmv_emulator.answers.pictures import about_media
from glmv_emulator.answers.turn import NOTE, Turn
from glmv_emulator.answers.words import content_words, has

LONGEST_RESULT = 1000  # characters of a tool's result that are repeated

_GREETING = ("hello|hi|hey|good (?:morning|evening|afternoon|day)|greetings", "你好|您好|早上好|晚上好")
_QUESTION = re.compile(
    r"[?？]|\b(?:what|which|who|whom|whose|where|when|how|why)\b|什么|谁|哪|多少|几|如何|怎么", re.IGNORECASE
)


def small_talk(turn: Turn) -> str:
    """A short answer to words alone; it repeats what the conversation itself says, and knows nothing else."""
    if (quoted := _recall(turn)) is not None:
        return quoted
    greeted = has(turn.request, *_GREETING)
    if turn.language == "zh":
        return ("你好！" if greeted else "") + "这里只有文字，没有图片。请发一张图片，我会说出测量到的内容。"
    return ("Hello! " if greeted else "") + "There are only words here. Send a picture, and I say what I measure in it."


def _recall(turn: Turn) -> str | None:
    """The sentence of the conversation that shares most with the question, when one does."""
    if not _QUESTION.search(turn.request):
        return None
    pieces = [s.strip() for s in re.split(r"(?<=[.!?])\s+|[\n。！？]+", turn.request) if s.strip()]
    questions = [piece for piece in pieces if _QUESTION.search(piece)]
    wanted = content_words(questions[-1] if questions else turn.request)
    sources = [piece for piece in pieces if piece not in questions]
    for text in (*turn.earlier, turn.standing):
        sources += [s.strip() for s in re.split(r"(?<=[.!?])\s+|[\n。！？]+", text) if s.strip()]
    best = max(sources, key=lambda source: len(wanted & content_words(source)), default="")
    shared = len(wanted & content_words(best))
    return best if shared and 3 * shared >= len(wanted) and not _QUESTION.search(best) else None


def after_tools(turn: Turn) -> str:
    """An answer out of what the tools gave back in this turn; '' when that was pictures only."""
    told = []
    for result in turn.results:
        text = _shortened(NOTE.sub("", result.text))
        if text:
            told.append(f"{result.name}: {text}" if result.name else text)
    if not told:
        return "" if turn.media else ("工具没有返回内容。" if turn.language == "zh" else "The tools gave back nothing.")
    return f"工具返回：{'；'.join(told)}" if turn.language == "zh" else f"According to the tools, {'; '.join(told)}"


def stubbornly(turn: Turn) -> str:
    """Prose where something else was asked for."""
    if turn.media:
        return about_media(turn)
    if turn.language == "zh":
        return "好的，我先用普通文字回答这个要求。"
    return "Certainly; let me first put this into plain words."


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_RESULT else f"{text[:LONGEST_RESULT]}…"
