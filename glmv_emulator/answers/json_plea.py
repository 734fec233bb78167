"""Hears a plea for JSON, finds the shape that is wanted, and writes it the way the model family does."""

# ruff: noqa: E501 - a row of words and patterns reads better unbroken
from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from glmv_emulator.answers.blocks import blocks, without_blocks
from glmv_emulator.answers.duty import sentences
from glmv_emulator.answers.evidence import Evidence, Page
from glmv_emulator.answers.facts import Fact
from glmv_emulator.answers.fill import fill
from glmv_emulator.answers.pictures import about_media
from glmv_emulator.answers.tools import evidence_of
from glmv_emulator.answers.turn import Turn, text_of
from glmv_emulator.answers.words import content_words, has, stem, words

_JSON = re.compile(r"json|schema\b|结构化|键值", re.IGNORECASE)
_GIVE = (
    r"answer\w*|repl(?:y|ies|ied)|respon\w+|return\w*|output\w*|produc\w+|giv(?:e|en|ing)|giv\w+|format\w*|writ\w+|provid\w+|generat\w+|emit\w*|print\w*|send\w*|creat\w+|deliver\w*|mak(?:e|ing)|must|should|only|conform\w*|match\w*|follow\w*|extract\w*|fill\w*|put|using|use|as|in|valid|convert\w*|express\w*|shape\w*|encod\w+|want|need|adher\w+|satisf\w+|obey\w*|compl(?:y|ies)",
    r"输出|返回|回答|回复|给出|格式|必须|只|按照|以|用|生成|提取|填写|符合|遵循",
)
_NO_JSON = (
    r"(?:no|not|without|never|don't|instead of|avoid)\W+(?:\w+\W+){0,3}json|what is json|explain json",
    "不要.{0,6}json|不用.{0,4}json|什么是json",
)
_FIELDS = re.compile(
    r"\b(?:keys?|fields?|propert(?:y|ies)|attributes?|members|entries|columns)\b|字段|键|属性", re.IGNORECASE
)
_SCHEMA_KEYS = {
    "properties",
    "$ref",
    "$defs",
    "anyOf",
    "oneOf",
    "allOf",
    "items",
    "enum",
    "additionalProperties",
    "required",
    "definitions",
    "const",
}
_TYPE_NAMES = {"string", "number", "integer", "boolean", "array", "object", "null"}
_ANSWERS = {"answer", "reply", "response", "回答", "答案"}
_STOP_NAMES = {"json", "the", "and", "or", "a", "an", "is", "are", "of", "with", "following", "these", "only", "nothing", "else", "object",
               "schema", "as", "string", "number", "integer", "boolean", "list", "array", "each", "must", "be", "in", "no", "other", "to"}  # fmt: skip


def wanted_shape(turn: Turn) -> Any | None:
    """The JSON Schema that the answer must meet; None when nobody asks for JSON. ``{}`` is any object."""
    given = _from_response_format(turn.ask.response_format)
    if given is not None and not turn.ask.vision:
        return _shape_in_texts(turn) if given == {} else given
    return _shape_in_texts(turn) if _pleads(turn) else None


def _from_response_format(wanted: dict[str, Any] | None) -> Any | None:
    match wanted:
        case {"type": "json_object"}:
            return {}
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            return schema
        case _:
            return None


def _pleads(turn: Turn) -> bool:
    texts = [turn.standing, turn.wish, *([turn.text] if turn.is_correction else [])]
    return any(_pleads_in(text) for text in texts)


def _pleads_in(text: str) -> bool:
    if has(text, *_NO_JSON):
        return False
    if any(_as_schema(value) is not None for _, _, value in blocks(text)) and has(without_blocks(text), *_GIVE):
        return True
    return any(_JSON.search(sentence) and has(sentence, *_GIVE) for sentence in sentences(without_blocks(text)))


def _shape_in_texts(turn: Turn) -> Any:
    """The newest schema, example or list of fields in what the user and the system wrote."""
    told = [turn.text, turn.wish, turn.standing]
    told += [text_of(message) for message in reversed(turn.ask.messages) if message.get("role") in ("user", "system")]
    for text in told:
        found = [schema for _, _, value in blocks(text) if (schema := _as_schema(value)) is not None]
        if found:
            return found[-1]
    for text in told:
        for _, _, value in reversed(blocks(text)):
            if isinstance(value, dict) and value and not turn.is_correction:
                return _from_example(value)
    for text in told:
        if names := _field_names(without_blocks(text)):
            return {"type": "object", "properties": {name: {} for name in names}, "required": names}
    return {}


def _as_schema(value: Any) -> Any | None:
    """The schema in a block of JSON, also within the wrappers in which schemas travel."""
    if not isinstance(value, dict):
        return None
    for key in ("json_schema", "schema", "function", "parameters"):
        if isinstance(value.get(key), dict) and (inner := _as_schema(value[key])) is not None:
            return inner
    named = value.get("type")
    typed = named in _TYPE_NAMES or (isinstance(named, list) and set(map(str, named)) <= _TYPE_NAMES)
    if isinstance(value.get("properties"), dict) or (typed and _SCHEMA_KEYS & set(value)) or "$ref" in value:
        return value
    if _SCHEMA_KEYS & set(value) & {"anyOf", "oneOf", "allOf"} and isinstance(
        next(iter(value.values())), (list, dict, str)
    ):
        return value
    return (
        value
        if typed
        and set(value)
        <= {"type", "title", "description", "format", "minLength", "maxLength", "pattern", "minimum", "maximum"}
        else None
    )


def _from_example(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case float():
            return {"type": "number"}
        case str():
            name = value.strip("<>[](){} ").lower()
            return {"type": name} if name in _TYPE_NAMES else {"type": "string"}
        case list():
            return {"type": "array", "items": _from_example(value[0]) if value else {}}
        case dict():
            parts = {str(key): _from_example(item) for key, item in value.items()}
            return {"type": "object", "properties": parts, "required": list(parts)}
        case _:
            return {}


def _field_names(text: str) -> list[str]:
    """The names listed beside a word such as "keys" or "字段"."""
    for sentence in sentences(text):
        if not (match := _FIELDS.search(sentence)):
            continue
        marked = re.findall(r"[`\"'“「]([\w$-]{1,40})[`\"'”」]", sentence)
        if marked:
            return list(dict.fromkeys(marked))
        behind = re.split(r"\bfrom\b|\bof the\b|\bonly\b|\bno other\b", sentence[match.end() :])[0]
        before = re.split(r"\bwith\b|\bhas\b|\bhaving\b|\bcontaining\b|包含|含有|带有", sentence[: match.start()])[-1]
        for piece in (behind, before):
            names = [name for name in re.findall(r"[A-Za-z_][\w-]*", piece) if name.lower() not in _STOP_NAMES]
            names = names or re.findall(r"[一-鿿]{1,8}", re.sub(r"[和与及：:、，]", " ", piece))
            if names and len(names) <= 30:
                return list(dict.fromkeys(names))
    return []


def write(turn: Turn, schema: Any, page: Callable[[], Page | None]) -> Any:
    """The value that the answer holds."""
    names = (
        " ".join(schema.get("properties", {}))
        if isinstance(schema, dict) and isinstance(schema.get("properties"), dict)
        else ""
    )
    titles = str(schema.get("title", "")) if isinstance(schema, dict) else ""
    evidence = evidence_of(turn, content_words(f"{names} {titles}"), page)
    if set(words(names)) & _ANSWERS and turn.media and turn.ask.vision:
        evidence.facts.append(Fact(tuple(frozenset({stem(word)}) for word in _ANSWERS), about_media(turn)))
    evidence.named_only = schema != {} and turn.ask.vision and any(item.medium.seen is not None for item in turn.media)
    if schema == {}:
        return _free(evidence)
    return fill(schema, evidence)


def _free(evidence: Evidence) -> dict[str, Any]:
    """An object of what is known, where nobody said which shape it has."""
    told: dict[str, Any] = {}
    for facts, _ in evidence.each[:1]:
        for key in ("width", "height", "format", "color", "brightness", "sha256"):
            for fact in facts:
                if any(name == frozenset({key}) or (key in name and len(name) == 1) for name in fact.names):
                    told.setdefault(key, fact.value)
    if not told:
        told["answer"] = evidence.guess() or (evidence.texts[0] if evidence.texts else "")
    return told


def dressed(value: Any, turn: Turn) -> str:
    """The value as text: bare for text models, else bare, fenced or boxed by seed, as the platform's models do."""
    bare = json.dumps(value, ensure_ascii=False)
    if not turn.ask.vision:
        return bare
    match turn.ask.seed % 3:
        case 0:
            return bare
        case 1:
            return f"```json\n{json.dumps(value, ensure_ascii=False, indent=2)}\n```"
        case _:
            return f"<|begin_of_box|>{bare}<|end_of_box|>"
