"""Judges whether a sentence obliges the model to call a tool, by the meaning of its words and not by a wording.

A clause obliges when it speaks of calling (call, use, through ...), of a tool (tool, function, a name), and
either forces (must, only, mandatory ...) or commands. Negations turn it round; two of them turn it back:
"no answer without a call".
"""

# ruff: noqa: E501 - a row of words and patterns reads better unbroken
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_ENDS = re.compile(r"(?<=[.!?])\s+|[\n。！？；;]+")
_CLAUSE_ENDS = re.compile(
    r"[,;:，；：—()]|\s-\s|(?<!nothing)(?<!anything)\s+but\s+(?!only)|\s+instead\b(?!\s+of)", re.IGNORECASE
)

_CALL = re.compile(
    r"\b(?:call(?:s|ed|ing)?|us(?:e|es|ed|ing|age)|invok\w+|invocation|run(?:s|ning)?|execut\w+|employ\w*|utili[sz]\w+"
    r"|trigger\w*|pick\w*|choos\w+|chosen|select\w*|through|via|by means|appl(?:y|ies|ied|ying)|dispatch\w*|issu\w+"
    r"|emit\w*|with)\b|调用|使用|用|执行|触发|通过|借助|选择|选用|选取|运行",
    re.IGNORECASE,
)
_TARGET = re.compile(r"\b(?:tools?|functions?|tool[ -]calls?|function[ -]calls?)\b|工具|函数", re.IGNORECASE)
_FORCE = re.compile(
    r"\b(?:must|have to|has to|had to|(?:is|are) to|needs? to|needed|requir\w+|requisite|mandatory|obligatory|oblig\w+"
    r"|compulsory|shall|should|ought|only|solely|exclusively|always|every|ensure|make sure|necessary|necessarily"
    r"|expected|forced|insist\w*|nothing (?:else|but)|no other|counts?|acceptable|accepted|essential)\b"
    r"|必须|务必|必需|必要|只能|只可|只有|应当|应该|须|一定|需要|强制|要求|每次|仅|才",
    re.IGNORECASE,
)
_ANSWER = re.compile(
    r"\b(?:answer\w*|repl(?:y|ies)|respon\w+|react|output|solve|do (?:it|this|that|so))\b|回答|回复|答复|作答|响应",
    re.IGNORECASE,
)
_MANNER = re.compile(r"\b(?:by|through|via|with|as|using|in the form)\b|通过|以|借助|用", re.IGNORECASE)
_COMMAND = re.compile(
    r"^\W*(?:(?:please|now|then|and|so|always|simply|just|first|next|kindly|also|therefore|okay|ok|go ahead and"
    r"|i (?:want|need|would like|'d like) you to|let us|let's|(?:can|could|would|will) you(?: please)?|you)\W+)*"
    r"(?:call|us(?:e|ing)|invok(?:e|ing)|run|execute|employ|utili[sz]e|trigger|pick|choose|select|apply|dispatch|issue|emit"
    r"|make|answer|reply|respond|by means|through|via|with)\b",
    re.IGNORECASE,
)
_PLAIN_COMMAND = re.compile(
    r"^\W*(?:(?:please|now|always|so|then)\W+)*(?:call|invoke|execute|trigger)\b|^\W*(?:请|现在|立即|务必)*(?:调用|执行)",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|never|no|none|nothing(?! but)|nor|neither|without|avoid\w*|refrain\w*|forbidden|prohibited|cannot|unless|until|except"
    r"|other than|instead of|rather than|anything but)\b|n't\b|不要|不必|无需|不得|禁止|别|不需|勿|不能|不可|不准|不允许|不许|没有|除非|除了",
    re.IGNORECASE,
)
_FREE = re.compile(
    r"\b(?:may|might|optional\w*|as needed|at your discretion|feel free|"
    r"(?<!even )(?<!only )if (?!you (?:know|can|could|already))|(?<!even )when(?:ever)? (?:needed|necessary|required|useful|helpful|appropriate)"
    r"|(?<!can )(?<!could )(?<!would )you can(?! only|not)|can be|could be)|如果|若|可以|如有|必要时|需要时|酌情|按需",
    re.IGNORECASE,
)
# "replies in which you call no tool" tells of a case and forbids nothing.
_DESCRIBES = re.compile(
    r"\b(?:which|when(?:ever)?|where|while|if|as long as|in case)\b|如果|若|时候?|当", re.IGNORECASE
)
_ONE_OF = re.compile(r"\b(?:one of|either|any of|at least one|one or more|or)\b|其中|之一|任一|或", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Duty:
    """What a sentence demands: ``force`` 0 nothing, 1 a request, 2 a demand, -1 it forbids tools.

    ``names`` are the tools that it names, ``one_of`` whether one of them is enough.
    """

    force: int
    names: tuple[str, ...]
    one_of: bool


def sentences(text: str) -> list[str]:
    """The sentences of an English or Chinese text."""
    return [piece.strip() for piece in _ENDS.split(text) if piece and piece.strip()]


def duties(sentence: str, names: Sequence[str]) -> Duty:
    """Judge one sentence, given the names of the tools at hand."""
    named = tuple(name for name in names if _names(sentence, name))
    force = 0
    if not (named or _TARGET.search(sentence)) or (
        sentence.rstrip().endswith(("?", "？")) and not _COMMAND.match(sentence)
    ):
        return Duty(0, named, one_of=False)
    free = bool(_FREE.search(sentence)) and not re.search(r"\bonly\b|只能|仅", sentence, re.IGNORECASE)
    for clause in _CLAUSE_ENDS.split(sentence):
        found = _judge(clause, names, free=free)
        force = found if found < 0 and force == 0 else max(force, found)
    if force == 0:
        force = _judge(sentence, names, free=free)
    return Duty(force, named, bool(_ONE_OF.search(sentence)))


def _names(sentence: str, name: str) -> bool:
    return bool(re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", sentence))


def _judge(clause: str, names: Sequence[str], *, free: bool) -> int:
    targets = [match.start() for match in _TARGET.finditer(clause)]
    targets += [clause.find(name) for name in names if _names(clause, name)]
    calls = [match.start() for match in _CALL.finditer(clause)]
    if not targets or not calls:
        return 0
    target = max(targets)
    call = min(calls)
    negations = len(_NEGATION.findall(clause[: max(target, call)]))
    if negations % 2:
        return 0 if _DESCRIBES.search(clause) else -1
    if free:
        return 0
    if _FORCE.search(clause) or negations:
        return 2
    if _COMMAND.match(clause) or re.search(r"[\u4e00-\u9fff]", clause):
        manner = _ANSWER.search(clause) and _MANNER.search(clause)
        return 2 if manner or _PLAIN_COMMAND.match(clause) else 1
    return 0
