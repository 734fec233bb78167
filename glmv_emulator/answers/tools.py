"""Chooses which tools are called, and with which arguments.

Under "auto" a tool is called when its name or description shares content words with what is asked, or when
the text obliges the model to call one. After a tool has answered, it is called again only when more was asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from glmv_emulator.answers.blocks import without_blocks
from glmv_emulator.answers.duty import Duty, duties, sentences
from glmv_emulator.answers.evidence import Evidence, Page
from glmv_emulator.answers.facts import Fact, facts_of
from glmv_emulator.answers.fill import fill
from glmv_emulator.answers.mentions import entities, numbers, quotations
from glmv_emulator.answers.pictures import chosen_media
from glmv_emulator.answers.reading import sheet_of
from glmv_emulator.answers.turn import Turn, is_about_form
from glmv_emulator.answers.values import Call
from glmv_emulator.answers.words import content_words, content_words_at, has

MOST_TEXT = 20_000  # characters of one text in which values are sought

_ONE_BY_ONE = ("then|afterwards|after that|finally|next|first|before|once you", "然后|之后|接着|最后|再|首先|先")
_STEPS = re.compile(
    r"[,;.!?\n，；。！？]+|\b(?:and then|and also|and|then|after that|afterwards|finally)\b"
    r"|然后|之后|接着|再|并且|并|和|以及",
    re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class Tool:
    """A function that may be called."""

    name: str
    description: str
    parameters: Any

    @cached_property
    def name_words(self) -> set[str]:
        """The stems of its name."""
        return content_words(self.name)

    @cached_property
    def own_words(self) -> set[str]:
        """The stems of its name and description."""
        return self.name_words | content_words(self.description)

    @cached_property
    def known_words(self) -> set[str]:
        """All stems that belong to the tool itself, so that they are no values."""
        names = _property_names(self.parameters)
        return self.own_words | content_words(" ".join(names))

    def score(self, wanted: set[str]) -> int:
        """How much it has in common with the words of a request; its name counts for more."""
        return 3 * len(self.name_words & wanted) + len(self.own_words & wanted)


def _property_names(schema: Any) -> list[str]:
    known = schema.get("properties") if isinstance(schema, dict) else None
    return list(known)[:50] if isinstance(known, dict) else []


def tools_of(raw: list[dict[str, Any]]) -> list[Tool]:
    """The functions among the tools of a request."""
    found = []
    for entry in raw:
        function = entry.get("function")
        if entry.get("type", "function") == "function" and isinstance(function, dict) and function.get("name"):
            parameters = function.get("parameters")
            description = str(function.get("description") or "")
            found.append(Tool(str(function["name"]), description, {} if parameters is None else parameters))
    return found


def calls_for(turn: Turn, page: Callable[[], Page | None]) -> list[Call]:
    """The calls that the newest turn asks for; none when words are enough."""
    tools = tools_of(turn.ask.tools)
    if not tools:
        return []
    user = _strongest(without_blocks(turn.wish), turn.tool_names)
    if turn.is_correction:
        user = max(user, _strongest(without_blocks(turn.text), turn.tool_names), key=lambda duty: duty.force)
    standing = _strongest(without_blocks(turn.standing), turn.tool_names)
    if user.force < 0 or (standing.force < 0 and user.force <= 0):
        return []
    steps = _plan(turn.request, tools)
    if turn.made:
        return _further(turn, tools, steps, standing, page)
    duty = user if user.force >= max(1, standing.force) else standing
    obliged = user.force > 0 or standing.force > 1
    if obliged and duty.names:
        tools = [tool for tool in tools if tool.name in duty.names]
        if len(tools) > 1 and not duty.one_of and duty is user and duty.force == 1:
            return [_call(turn, tool, turn.request, page) for tool in tools]
        steps = [(tool, step) for tool, step in steps if tool in tools]
    if len({tool.name for tool, _ in steps}) > 1 and not (obliged and duty.one_of and duty.force > 1):
        if _is_sequence(turn.request, steps):
            return [_call(turn, *steps[0], page)]
        return _distinct([_call(turn, tool, step, page) for tool, step in steps])
    wanted = content_words(turn.request)
    best = max(tools, key=lambda tool: tool.score(wanted))
    if best.score(wanted) == 0 and not obliged:
        return []
    return [_call(turn, best, "", page)]


def _further(
    turn: Turn, tools: list[Tool], steps: list[tuple[Tool, str]], standing: Duty, page: Callable[[], Page | None]
) -> list[Call]:
    """What is still to be called after ``turn.made``."""
    if _is_sequence(turn.request, steps) and len(turn.made) < len(steps):
        return [_call(turn, *steps[len(turn.made)], page)]
    fresh = [tool for tool in tools if tool.name not in turn.made]
    after = _strongest(without_blocks(turn.since_result), turn.tool_names)
    if after.force > 0:
        wanted = [tool for tool in tools if tool.name in after.names] or fresh or tools
        return [_call(turn, max(wanted, key=lambda tool: tool.score(content_words(turn.request))), "", page)]
    if standing.force > 1 and fresh and not set(standing.names) & set(turn.made):
        return [_call(turn, max(fresh, key=lambda tool: tool.score(content_words(turn.request))), "", page)]
    if turn.since_result:
        wanted_words = content_words(turn.since_result)
        best = max(tools, key=lambda tool: tool.score(wanted_words))
        if 3 * len(best.name_words & wanted_words) > 0 and best.name not in turn.made:
            return [_call(turn, best, turn.since_result, page)]
    return []


def _strongest(text: str, names: list[str]) -> Duty:
    judged = [duties(sentence, names) for sentence in sentences(text)]
    if not judged:
        return Duty(0, (), one_of=False)
    top = max(judged, key=lambda duty: (duty.force, len(duty.names)))
    if top.force <= 0:
        return min(judged, key=lambda duty: duty.force)
    if not top.names:
        # "You must call a function. The functions are: a, b."
        named = next((duty.names for duty in judged if duty.names and duty.force >= 0), ())
        return Duty(top.force, named, one_of=top.one_of or len(named) > 1)
    return top


def _is_sequence(request: str, steps: list[tuple[Tool, str]]) -> bool:
    """Whether the steps come one after the other: said so, or since a tool comes again after another one."""
    names = [tool.name for tool, _ in steps]
    return len(names) > 1 and (has(request, *_ONE_BY_ONE) or (len(set(names)) < len(names) and len(set(names)) > 1))


def left_to_say(turn: Turn) -> str:
    """The request without the pieces that name a tool: what is to be answered once the tools have been called."""
    tools = tools_of(turn.ask.tools)
    pieces = [piece for piece in _pieces(turn.request) if piece.strip() and not _named_in(piece, tools)]
    return ", ".join(piece.strip() for piece in pieces) or turn.request


def _pieces(request: str) -> list[str]:
    pieces, position = [], 0
    for match in _STEPS.finditer(request):
        pieces.append(request[position : match.start()])
        position = match.end()
    return [*pieces, request[position:]]


def _named_in(piece: str, tools: list[Tool]) -> list[Tool]:
    """The tools that a piece names, in its order."""
    own = {tool.name: _distinctive(tool, tools) for tool in tools}
    named = [(at, tool) for tool in tools for word, at in content_words_at(piece) if word in own[tool.name]]
    named += [(piece.find(tool.name), tool) for tool in tools if tool.name in piece]
    return list(dict.fromkeys(tool for _, tool in sorted(named, key=lambda pair: pair[0])))


def _plan(request: str, tools: list[Tool]) -> list[tuple[Tool, str]]:
    """The tools that a request names in its order, each with the piece of the request that names it."""
    steps: list[tuple[Tool, str]] = []
    for piece in _pieces(request):
        named = _named_in(piece, tools)
        if not named and steps:
            tool, text = steps[-1]
            steps[-1] = (tool, f"{text}, {piece}")
        steps += [(tool, piece) for tool in named]
    return steps


def _distinctive(tool: Tool, tools: list[Tool]) -> set[str]:
    """The words of a tool's name that no other tool's name has."""
    others = {word for other in tools if other.name != tool.name for word in other.name_words}
    return tool.name_words - others


def _call(turn: Turn, tool: Tool, step: str, page: Callable[[], Page | None]) -> Call:
    evidence = evidence_of(turn, tool.known_words, page, step)
    arguments = fill(tool.parameters, evidence)
    return Call(tool.name, arguments if isinstance(arguments, dict) else {})


def _distinct(calls: list[Call]) -> list[Call]:
    kept: list[Call] = []
    for call in calls:
        if call not in kept:
            kept.append(call)
    return kept


def evidence_of(turn: Turn, known: set[str], page: Callable[[], Page | None], step: str = "") -> Evidence:
    """What the turn offers as values: first ``step``, the piece of the request at hand, then all of it."""
    texts = [step] if _names_values(step) else [text for text in (step, turn.request) if text.strip()]
    texts += [result.text for result in reversed(turn.results)]
    named = {word for name in turn.tool_names for word in content_words(name)}
    orders = [s for s in sentences(without_blocks(turn.wish)) if s not in turn.request and not is_about_form(s)]
    chosen = chosen_media(turn.request, turn.media)
    facts = [fact for item in chosen for fact in facts_of(item, turn.language)]
    each: list[tuple[list[Fact], Callable[[], Page | None]]] = [
        (facts_of(item, turn.language), partial(sheet_of, item)) for item in turn.media if item.medium.seen is not None
    ]
    texts = list(dict.fromkeys(text[:MOST_TEXT] for text in texts))
    return Evidence(texts, facts, known | named, page, each, orders)


def _names_values(step: str) -> bool:
    """Whether a piece of a request holds values of its own."""
    return bool(numbers(step) or quotations(step) or entities(f"x {step.strip()}"))
