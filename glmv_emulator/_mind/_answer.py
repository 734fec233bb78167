"""Decides what kind of answer a request gets."""

from __future__ import annotations

from functools import cache

from glmv_emulator._mind._chat import after_tools, small_talk, stubbornly
from glmv_emulator._mind._evidence import Page
from glmv_emulator._mind._json_plea import dressed, wanted_shape, write
from glmv_emulator._mind._pictures import about_media
from glmv_emulator._mind._tools import calls_for
from glmv_emulator._mind._turn import Turn
from glmv_emulator._mind._values import Ask, Call, Reply


def answer(ask: Ask) -> Reply:
    """The reply to a request. Pure: it depends on ``ask`` alone."""
    turn = Turn(ask)

    @cache
    def page() -> Page | None:
        return None

    # A stubborn model gives in only when it is shown its own mistake.
    obeys = not ask.stubborn or turn.is_correction
    if calls := calls_for(turn, page):
        return Reply("", _because_of(turn, calls), calls) if obeys else Reply(stubbornly(turn), _reasoning(turn), [])
    shape = wanted_shape(turn)
    if shape is not None:
        text = dressed(write(turn, shape, page), turn) if obeys else stubbornly(turn)
    elif turn.results and not turn.since_result:
        # Pictures that tools returned stand in the turn as well.
        seen = about_media(turn) if turn.media and ask.vision else ""
        text = "\n".join(part for part in (after_tools(turn), seen) if part)
    elif turn.media and ask.vision:
        text = about_media(turn)
    else:
        text = small_talk(turn)
    return Reply(text, _reasoning(turn), [])


def _because_of(turn: Turn, calls: list[Call]) -> str:
    if not turn.ask.thinking:
        return ""
    names = ", ".join(call.name for call in calls)
    if turn.language == "zh":
        return f"用户的要求需要调用 {names}。"
    return f"What is asked for is the affair of {names}."


def _reasoning(turn: Turn) -> str:
    if not turn.ask.thinking:
        return ""
    looked_at = sum(item.medium.seen is not None for item in turn.media)
    total = len(turn.media)
    if turn.language == "zh":
        return f"这一轮有 {total} 个媒体，其中查看了 {looked_at} 个。我只根据测量结果回答。"
    return f"The turn holds {total} media and {looked_at} of them were looked at. I answer from measurements only."
