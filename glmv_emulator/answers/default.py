"""Decides what kind of answer a request gets."""

from __future__ import annotations

from functools import cache

from glmv_emulator.answers.chat import after_tools, small_talk, stubbornly
from glmv_emulator.answers.evidence import Page
from glmv_emulator.answers.json_plea import dressed, wanted_shape, write
from glmv_emulator.answers.pictures import about_items, about_media, chosen_media
from glmv_emulator.answers.reading import sheet_of
from glmv_emulator.answers.sheet import Sheets
from glmv_emulator.answers.tools import calls_for, left_to_say
from glmv_emulator.answers.turn import Turn
from glmv_emulator.answers.values import Ask, Call, Reply


def answer(ask: Ask) -> Reply:
    """The reply to a request. Pure: it depends on ``ask`` alone."""
    turn = Turn(ask)

    @cache
    def page() -> Page | None:
        return page_of(turn)

    # A stubborn model gives in only when it is shown its own mistake.
    obeys = not ask.stubborn or turn.is_correction
    if calls := calls_for(turn, page):
        return Reply("", _because_of(turn, calls), calls) if obeys else Reply(stubbornly(turn), _reasoning(turn), [])
    shape = wanted_shape(turn)
    if shape is not None:
        text = dressed(write(turn, shape, page), turn) if obeys else stubbornly(turn)
    elif turn.results and not turn.since_result:
        # A picture that a tool returned stands in the turn as well; the newest is the one to speak of.
        seen = about_items(left_to_say(turn), turn.media[-1:], turn.language) if turn.media and ask.vision else ""
        text = "\n".join(part for part in (after_tools(turn), seen) if part)
    elif turn.media and ask.vision:
        text = about_media(turn)
    else:
        text = small_talk(turn)
    return Reply(text, _reasoning(turn), [])


def page_of(turn: Turn) -> Page | None:
    """All that can be read in the pictures at hand; of pictures that tools returned, the newest."""
    items = [item for item in chosen_media(turn.request, turn.media) if item.medium.kind == "image"]
    if turn.results and items:
        items = items[-1:]
    sheets = [sheet for item in items if (sheet := sheet_of(item)) is not None] if turn.ask.vision else []
    return Sheets(sheets) if sheets else None


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
