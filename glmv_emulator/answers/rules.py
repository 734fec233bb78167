"""The answers if nothing is scripted. There are four rules, and the first that applies makes the answer.

1. A tool call, if the newest user text, or the last paragraph of the system messages, contains the exact name of an
   offered tool, and this turn has no tool result yet: the first tool named there is called. A name must be a whole
   word: a Latin letter, a digit, `_` or `-` next to it makes it another word, a dot does not. Names within JSON do not
   count. On `/v1`, `tool_choice` can also force a call or forbid it ("none"). If a
   call is forced, its tool is the one that `tool_choice` names, else the one named in these texts, else the first.
2. JSON, if the request has a `response_format`, or if the newest user text or a system message contains a JSON Schema.
3. A description of all that was measured and read (`describe`), if there are media. The results of this turn's tools
   come before it.
4. The results of this turn's tools. If there are none: one sentence that says that this is an emulator.

Arguments and JSON are filled by the names of properties, see `fill`. A turn is everything since the last text answer.
All other words of a request are ignored.
"""

from __future__ import annotations

import json
from typing import Any

from glmv_emulator.answers.conversation import Conversation
from glmv_emulator.answers.describe import describe
from glmv_emulator.answers.evidence import evidence_of
from glmv_emulator.answers.fill import fill
from glmv_emulator.answers.texts import ANY_OBJECT, Language, last_paragraph, named_in, schema_in
from glmv_emulator.answers.values import Ask, Reply, ToolCall, text_of

LONGEST_RESULT = 1000  # characters of a tool's result that are repeated


def answer(ask: Ask) -> Reply:
    """The reply to a request. It depends on ``ask`` alone."""
    conversation = Conversation(ask)
    if (name := tool_to_call(conversation)) is not None:
        arguments = fill(conversation.tools[name], evidence_of(conversation))
        call = ToolCall(name, arguments if isinstance(arguments, dict) else {})
        return Reply(reasoning=_reasoning(conversation), tool_calls=[call])
    text = in_words(conversation)
    if (schema := wanted_schema(conversation)) is not None:
        text = in_json(conversation, schema, text)
    return Reply(text, _reasoning(conversation))


def tool_to_call(conversation: Conversation) -> str | None:
    """The name of the tool that rule 1 calls."""
    names = list(conversation.tools)
    match conversation.ask.tool_choice:
        case "none":
            return None
        case "required" if names:
            return _named(conversation, names) or names[0]
        case {"function": {"name": str(name)}} if name in names:
            return name
    return None if conversation.results else _named(conversation, names)


def _named(conversation: Conversation, names: list[str]) -> str | None:
    return named_in(conversation.question, names) or named_in(last_paragraph(conversation.ask.system), names)


def wanted_schema(conversation: Conversation) -> dict[str, Any] | None:
    """The JSON Schema of rule 2; None if the request does not ask for JSON."""
    match conversation.ask.response_format:
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return schema
        case {"type": "json_object" | "json_schema"}:
            return _schema_in_texts(conversation) or ANY_OBJECT
        case _:
            return _schema_in_texts(conversation)


def _schema_in_texts(conversation: Conversation) -> dict[str, Any] | None:
    system = [text_of(m) for m in conversation.ask.messages if m.get("role") in ("system", "developer")]
    return schema_in((conversation.question, *reversed(system)))


def in_json(conversation: Conversation, schema: dict[str, Any], words: str) -> str:
    """JSON for a schema. If a `response_format` requests JSON, the answer has no other text.

    Otherwise `Ask.seed` selects the text around the JSON, which models vary too. If `Ask.stubborn` is set, the first
    answer is ``words``, and the next answer is JSON.
    """
    ask = conversation.ask
    enforced = (ask.response_format or {}).get("type") in ("json_object", "json_schema")
    if ask.stubborn and not enforced and not conversation.answered_in_words:
        return words
    value = fill(schema, evidence_of(conversation, words))
    bare = json.dumps(value, ensure_ascii=False)
    match 0 if enforced else ask.seed % 3:
        case 0:
            return bare
        case 1:
            return f"```json\n{json.dumps(value, ensure_ascii=False, indent=2)}\n```"
        case _:
            return f"<|begin_of_box|>{bare}<|end_of_box|>"


def in_words(conversation: Conversation) -> str:
    """The answer of rules 3 and 4."""
    chinese = conversation.language == "zh"
    texts = []
    for result in conversation.results:
        text = " ".join(result.text.split())
        text = text if len(text) <= LONGEST_RESULT else f"{text[:LONGEST_RESULT]}…"
        texts += [f"{result.name}: {text}" if result.name else text] if text else []
    parts = [("工具返回：" if chinese else "The tools returned: ") + "; ".join(texts)] if texts else []
    parts += [describe(item, conversation.language) for item in conversation.media]
    if parts:
        return "\n".join(parts)
    if chinese:
        return "这是 GLM-4V 的模拟器，不是模型：它测量图片，并返回预先写好的回答。"
    return (
        "This is an emulator of GLM-4V and not a model: it measures pictures, and says what a script tells it to say."
    )


def _reasoning(conversation: Conversation) -> str:
    """What was looked at: "I looked at 2 pictures and 1 video.", in the language of the question."""
    if not conversation.ask.thinking:
        return ""
    media = [item.medium for item in conversation.media]
    looked = _counted([one.kind for one in media if one.data is not None or one.seen], conversation.language)
    missed = _counted([one.kind for one in media if one.data is None and not one.seen], conversation.language)
    if conversation.language == "zh":
        sentences = [f"我查看了{looked}。"] if looked else []
        sentences += [f"有{missed}没有查看。"] if missed else []
        return "".join([*sentences, "我只根据测量结果回答。" if looked else "没有可以测量的内容。"])
    sentences = [f"I looked at {looked}."] if looked else []
    sentences += [f"I did not look at {missed}."] if missed else []
    return " ".join([*sentences, "I answer from measurements only." if looked else "There is nothing to measure."])


_COUNTED = {"image": ("picture", "张图片"), "video": ("video", "个视频"), "file": ("file", "个文件")}


def _counted(kinds: list[str], language: Language) -> str:
    """Kinds of media -> "2 pictures and 1 video"; empty if there are none."""
    numbers = [(kinds.count(kind), *words) for kind, words in _COUNTED.items() if kind in kinds]
    if language == "zh":
        return "和".join(f" {number} {chinese}" for number, _, chinese in numbers)
    *most, last = [f"{number} {english}{'' if number == 1 else 's'}" for number, english, _ in numbers] or [""]
    return f"{', '.join(most)} and {last}" if most else last
