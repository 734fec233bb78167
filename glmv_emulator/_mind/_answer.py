"""Decides what kind of answer a request gets."""

from __future__ import annotations

from glmv_emulator._mind._chat import small_talk
from glmv_emulator._mind._pictures import about_media
from glmv_emulator._mind._turn import Turn
from glmv_emulator._mind._values import Ask, Reply


def answer(ask: Ask) -> Reply:
    """The reply to a request. Pure: it depends on ``ask`` alone."""
    turn = Turn(ask)
    text = about_media(turn) if turn.media and ask.vision else small_talk(turn)
    return Reply(text, _reasoning(turn) if ask.thinking else "", [])


def _reasoning(turn: Turn) -> str:
    looked_at = sum(item.medium.seen is not None for item in turn.media)
    if turn.language == "zh":
        return f"用户在这一轮给了 {len(turn.media)} 个媒体，其中查看了 {looked_at} 个。我只根据测量结果回答。"
    total = len(turn.media)
    return f"The turn holds {total} media and {looked_at} of them were looked at. I answer from measurements only."
