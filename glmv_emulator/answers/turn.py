"""Finds what is being asked: the newest turn of a conversation, and the pictures that it is about."""

# ruff: noqa: ISC004 - a row of words and patterns reads better unbroken
from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from glmv_emulator.answers.blocks import without_blocks
from glmv_emulator.answers.duty import duties, sentences
from glmv_emulator.answers.values import Ask, Medium
from glmv_emulator.answers.words import STOP_WORDS, has, language_of, listed, stem, words

# A user who shows the model its own mistake speaks of the answer before, so the request before still stands.
_CORRECTION = (
    "errors?|invalid|not valid|incorrect|wrong|mistakes?|fix|failed|fails|failure|rejected|malformed|could not be|"
    "couldn't be|cannot be|can't be|did not|didn't|was not|wasn't|does not|doesn't|again|missing",
    "错误|无效|不合|不符|修正|更正|重新|失败|再次|缺少|没有按",
)
# A line in square brackets is a note beside a picture and asks for nothing.
NOTE = re.compile(r"^\s*\[[^\[\]{}\n\"]*\]\s*$", re.MULTILINE)
_FORM_TALK = (
    "json|schema|parsed?|valid\\w*|tools?|functions?|format|fields?|keys?|arguments?|repl(?:y|ies)|response|answer|output",
    "格式|解析|工具|函数|字段|回答|回复|输出",
)
_ALL_PICTURES = (
    r"pictures|images|photos|photographs|earlier|previous|before|both|compare\w*|first|second|third|which|"
    r"(?:picture|image|photo|figure)\s*#?\d",
    r"之前|前面|上一张|刚才|比较|对比|哪|两张|第.张|图片?\s*\d",
)

# Words of sentences that speak of the form of an answer and of nothing else.
_FORM = frozenset(
    stem(word)
    for word in listed(
        """answer answers reply respond response output write add include text plain prose word words explanation
        explain comment commentary markdown fence fences code function functions tool tools call calls invoke invocation
        use object valid format field fields key keys argument arguments parameter parameters value values match accept
        accepted allowed count counts permitted only must should need needs please nothing anything else other natural
        language directly instead without free sentence sentences message follow following instruction instructions
        exactly name names available listed below above choose pick one least send give given return produce step first
        now"""
    )
) | listed("直接 回答 不要 文字 文本 输出 必须 只能 工具 函数 调用 接回 要直")
_GRAMMAR = frozenset(stem(word) for word in STOP_WORDS)


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gave back, and the name it was called by ('' when nobody says)."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Numbered:
    """A medium, the number by which answers speak of it (from 1 within its kind), and the text right before it."""

    number: int
    medium: Medium
    note: str = ""


def text_of(message: dict[str, Any]) -> str:
    """The text of a message, whatever form its content has."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


class Turn:
    """The newest turn of the conversation in ``ask``: everything since the last answer in words."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        messages = ask.messages
        self.start = _start(messages)
        newest = messages[self.start :]
        self.since_result = _since_result(newest)
        first = next((i for i, message in enumerate(newest) if message.get("role") == "tool"), len(newest))
        self.text = _users_text(newest[:first]) or self.since_result
        self.standing = "\n".join(text_of(m) for m in messages if m.get("role") in ("system", "developer"))
        self.earlier = [text_of(m) for m in messages[: self.start] if m.get("role") == "user"]
        self.results = _results(newest)
        self.made = [name for message in newest for name in _called(message)]
        last: dict[str, Any] = next((m for m in reversed(messages) if m.get("role") != "system"), {})
        self.after_tool = last.get("role") == "tool"
        self.tool_names = [name for tool in ask.tools if (name := _name(tool))]

    @cached_property
    def is_correction(self) -> bool:
        """Whether the user shows the model a mistake in its answer before."""
        answered = any(m.get("role") == "assistant" for m in self.ask.messages[: self.start])
        return answered and bool(self.earlier) and has(self.text, *_CORRECTION) and has(self.text, *_FORM_TALK)

    @cached_property
    def wish(self) -> str:
        """The user's text that says what is wanted; under a correction that of the turn before."""
        if not self.is_correction:
            return self.text
        for text in reversed(self.earlier):
            if not has(text, *_CORRECTION) or text == self.earlier[0]:
                return text
        return self.text

    @cached_property
    def request(self) -> str:
        """The wish without schemas and without sentences that only tell how to answer."""
        plain = without_blocks(_query(self.wish))
        kept = [s for s in sentences(plain) if not duties(s, self.tool_names).force and not is_about_form(s)]
        return "\n".join(kept).strip() or plain

    @cached_property
    def language(self) -> Literal["en", "zh"]:
        """The language to answer in."""
        for text in (self.request, *reversed(self.earlier)):
            if text.strip():
                return "zh" if language_of(text) == "zh" else "en"
        return "en"

    @cached_property
    def media(self) -> list[Numbered]:
        """The media that the question is about, numbered in their order."""
        everything = self.ask.media
        newest = [medium for medium in everything if medium.message >= self.start]
        if not newest or (len(newest) < len(everything) and has(self.request, *_ALL_PICTURES)):
            newest = everything
        counts: dict[str, int] = {}
        found = []
        for medium in sorted(newest, key=lambda medium: (medium.message, medium.part)):
            counts[medium.kind] = counts.get(medium.kind, 0) + 1
            found.append(Numbered(counts[medium.kind], medium, _before(self.ask.messages, medium)))
        return found


def is_about_form(sentence: str) -> bool:
    """Whether a sentence only tells in which form to answer, and asks for nothing itself."""
    if re.search(r"json|schema", sentence, re.IGNORECASE):
        return True
    said = {stem(word) for word in words(sentence)} - _GRAMMAR
    return bool(said) and said <= _FORM


# Prompts that carry pages to answer from put the question itself behind such a word.
_QUERY = re.compile(
    r"^\W{0,3}(?:user )?(?:query|question|request|问题|提问|查询)(?: \w+)?\W{0,2}[:：]\s*(\S.*?)"
    r"(?=^\W{0,3}(?:answer|response|refined answer|assistant|回答|答案)\b.{0,20}[:：]?\s*$|\Z)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
MOST_NOTE = 300  # characters of the text before a picture that belong to it


def _query(text: str) -> str:
    found = _QUERY.findall(text)
    return found[-1].strip() if found else text


def _before(messages: list[dict[str, Any]], medium: Medium) -> str:
    content = messages[medium.message].get("content") if medium.message < len(messages) else None
    if not isinstance(content, list) or not 0 < medium.part <= len(content):
        return ""
    part = content[medium.part - 1]
    text = part.get("text") if isinstance(part, dict) else None
    return text[-MOST_NOTE:] if isinstance(text, str) else ""


def _start(messages: list[dict[str, Any]]) -> int:
    """Index of the first message after the last answer in words."""
    last_user = max((i for i, m in enumerate(messages) if m.get("role") == "user"), default=0)
    for index in range(last_user - 1, -1, -1):
        message = messages[index]
        if message.get("role") == "assistant" and not message.get("tool_calls"):
            return index + 1
    return 0


def _name(tool: dict[str, Any]) -> str:
    function = tool.get("function")
    return str(function.get("name") or "") if isinstance(function, dict) else ""


def _called(message: dict[str, Any]) -> list[str]:
    calls = message.get("tool_calls")
    if message.get("role") != "assistant" or not isinstance(calls, list):
        return []
    return [_name(call) for call in calls if isinstance(call, dict)]


def _results(messages: list[dict[str, Any]]) -> list[Result]:
    names: dict[str, str] = {}
    found = []
    for message in messages:
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            if isinstance(call, dict):
                names[str(call.get("id"))] = _name(call)
        if message.get("role") == "tool":
            name = names.get(str(message.get("tool_call_id"))) or str(message.get("name") or "")
            found.append(Result(name, text_of(message)))
    return found


def _since_result(messages: list[dict[str, Any]]) -> str:
    """What the user wrote after the last result of a tool; '' without any result."""
    last = max((i for i, message in enumerate(messages) if message.get("role") == "tool"), default=len(messages))
    return _users_text(messages[last:])


def _users_text(messages: list[dict[str, Any]]) -> str:
    """What the user wrote, without notes: lines in square brackets, as stand beside pictures, ask for nothing."""
    texts = [text_of(message) for message in messages if message.get("role") == "user"]
    return "\n".join(text for text in texts if NOTE.sub("", text).strip())
