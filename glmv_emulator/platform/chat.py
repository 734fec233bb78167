"""Answers a chat request: checks it, measures its media, gets the answer, applies the limits, and counts tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from glmv_emulator.answers import Ask, Medium, Reply, Scripted, ToolCall, default_answer
from glmv_emulator.answers.upstream import Question, Reader
from glmv_emulator.http.journal import Exchange, Source
from glmv_emulator.platform.errors import Refusal
from glmv_emulator.platform.media import Dialect, look
from glmv_emulator.platform.messages import Place
from glmv_emulator.platform.messages import check as check_messages
from glmv_emulator.platform.models import Model, find
from glmv_emulator.platform.proxy import check_fields
from glmv_emulator.platform.rules import Parameters, check
from glmv_emulator.platform.search import search_results
from glmv_emulator.platform.settings import Settings
from glmv_emulator.platform.shapes import TOKENS_A_DELTA, Outcome, TokenCounts, new_id
from glmv_emulator.platform.state import State
from glmv_emulator.platform.upstream import Upstream, gathered
from glmv_emulator.platform.usage import count, prompt, texts, tokens

# Words that trigger the content filter, so that an application's handling of it can be tested.
CAUGHT_INPUT = "EMU-SENSITIVE-INPUT"
CAUGHT_OUTPUT = "EMU-SENSITIVE-OUTPUT"


Kind = Literal["chat", "task", "batch"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A chat request that passed all checks, with its measured media."""

    body: dict[str, Any]
    model: Model
    name: str
    parameters: Parameters
    messages: list[dict[str, Any]]
    media: list[Medium]
    prompt_tokens: int
    dialect: Dialect


def model_of(body: Any) -> tuple[Model, str]:
    """The model that a request body names, and its name as written in the body."""
    if not isinstance(body, dict):
        raise Refusal("1210", "请求体应为 JSON 对象", "the body must be a JSON object")
    name = body.get("model")
    if name is None:
        raise Refusal("1213", "model")
    if not isinstance(name, str):
        raise Refusal("1214", "model")
    model = find(name)
    if model is None:
        raise Refusal("1211", "", name[:64])
    return model, name


async def prepare(state: State, body: Any, dialect: Dialect, exchange: Exchange | None = None) -> Prepared:
    """Check a body and measure its media; raises `Refusal`. The results are recorded in the exchange."""
    model, name = model_of(body)
    if exchange is not None:
        exchange.model, exchange.stream = model.name, body.get("stream") is True
        exchange.request_id = None if body.get("request_id") is None else str(body["request_id"])
    if model.kind == "embedding":
        raise Refusal("1212", "对话", "chat")
    proxied = dialect == "proxy"
    parameters = check(_as_platform(body, state.settings) if proxied else body, model, state.settings, proxied=proxied)
    messages = body.get("messages")
    places = check_messages(messages, model, state.settings, proxied=proxied)
    media = await asyncio.to_thread(_look, state, places, model, dialect) if places else []
    if exchange is not None:
        exchange.media = tuple(one.seen for one in media)
        state.records.media(exchange, media)
    prompt_tokens = prompt(messages or [], media, parameters.tools, model)
    if model.context is not None and prompt_tokens > state.settings.read(model.context):
        raise Refusal("1261")
    texts_by_role = [(message["role"], text) for message in messages or [] for text in texts(message)]
    for number, (role, text) in enumerate(texts_by_role):
        if CAUGHT_INPUT in text:
            raise Refusal("1301", role="history" if number < len(texts_by_role) - 1 else role)
    return Prepared(body, model, name, parameters, messages or [], media, prompt_tokens, dialect)


def _as_platform(body: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Convert a body for vLLM or SGLang to a body for the platform.

    `enable_thinking` (README of zai-org/GLM-V) becomes `thinking`.
    """
    check_fields(body, settings)
    extra = body.get("chat_template_kwargs")
    if not isinstance(extra, dict) or not isinstance(extra.get("enable_thinking"), bool):
        return body
    return body | {"thinking": {"type": "enabled" if extra["enable_thinking"] else "disabled"}}


def _look(state: State, places: list[Place], model: Model, dialect: Dialect) -> list[Medium]:
    own, uploaded = state.hosting.own, state.files.of_a_message
    return [look(place, model, state.settings, dialect, own, uploaded) for place in places]


def ask_of(state: State, prepared: Prepared, kind: Kind) -> Ask:
    """The `Ask` that describes a request to scripts and rules."""
    parameters = prepared.parameters
    return Ask(
        messages=prepared.messages,
        media=prepared.media,
        tools=parameters.tools,
        # The platform's own API has "auto" only (bigmodel.cn docs, chat completion, tool_choice).
        tool_choice=prepared.body.get("tool_choice") if prepared.dialect == "proxy" else None,
        response_format=parameters.response_format,
        thinking=parameters.thinking,
        stream=parameters.stream,
        model=prepared.model.name,
        kind=kind,
        seed=state.settings.seed if parameters.seed is None else parameters.seed,
        stubborn=state.settings.stubborn,
        body=prepared.body,
    )


async def _reply(state: State, prepared: Prepared, kind: Kind) -> Reply:
    ask = ask_of(state, prepared, kind)
    if state.script.function is not None:
        return await state.script.call(ask)
    # Reading a picture is slow, so it is done in a worker thread.
    return await asyncio.to_thread(default_answer, ask) if prepared.media else default_answer(ask)


async def answer(state: State, prepared: Prepared, scripted: Scripted | None = None, kind: Kind = "chat") -> Outcome:
    """The answer to a request, cut to the request's limits. ``scripted`` is the scripted answer, if there is one.

    Raises:
        Refusal: the upstream server does not answer or refuses the request, or the request cannot be converted for it.
        FunctionFailed: the function given to `Emulator.answer` failed.
    """
    parameters = prepared.parameters
    if (upstream := upstream_for(state, prepared, scripted)) is not None:
        reader = await gathered(upstream, question_of(upstream, prepared, stream=False), reader_of(prepared))
        return replace(outcome_of(state, prepared), **outcome_fields(reader, prepared))
    reply = scripted.reply if scripted is not None else await _reply(state, prepared, kind)
    text, reasoning, calls, finish_reason, completion = _within(reply, parameters, prepared.messages)
    figures = {
        "prompt_tokens": prepared.prompt_tokens,
        "completion_tokens": completion,
        "reasoning_tokens": count(reasoning),
    }
    figures |= reply.usage or {}
    script_usage = reply.usage or {}
    # Reasoning is part of the completion, even if a script sets only one of the two counts.
    if "reasoning_tokens" not in script_usage:
        figures["reasoning_tokens"] = min(figures["reasoning_tokens"], figures["completion_tokens"])
    elif "completion_tokens" not in script_usage:
        figures["completion_tokens"] = max(figures["reasoning_tokens"], figures["completion_tokens"])
    return outcome_of(
        state,
        prepared,
        text,
        reasoning,
        calls,
        finish_reason,
        TokenCounts(**{name.removesuffix("_tokens"): tokens for name, tokens in figures.items()}),
        TOKENS_A_DELTA if reply.chunking is None else reply.chunking,
    )


def outcome_of(
    state: State,
    prepared: Prepared,
    text: str = "",
    reasoning: str = "",
    calls: Sequence[ToolCall] = (),
    finish_reason: str = "stop",
    usage: TokenCounts | None = None,
    chunking: int | Sequence[str] = TOKENS_A_DELTA,
) -> Outcome:
    """An answer with a new id."""
    parameters = prepared.parameters
    proxied = prepared.dialect == "proxy"
    identity = new_id(state.settings.era, proxied=proxied)
    return Outcome(
        id=identity,
        request_id=parameters.request_id or identity,
        created=int(state.now()),
        model=prepared.name if proxied else prepared.model.name,
        text=text,
        reasoning=reasoning,
        calls=list(calls),
        finish_reason=finish_reason,
        usage=usage or TokenCounts(prepared.prompt_tokens, 0),
        chunking=chunking,
        proxied=proxied,
        include_usage=parameters.include_usage,
        # OpenAI-compatible servers always send fragments.
        tool_stream=parameters.tool_stream or proxied,
        arguments_object="arguments-object" in state.settings.strict and not parameters.tool_stream,
        content_array="content-array" in state.settings.strict and prepared.model.kind == "vision",
        web_search=() if proxied else search_results(parameters.tools, prepared.messages),
    )


def _within(
    reply: Reply, parameters: Parameters, messages: list[dict[str, Any]]
) -> tuple[str, str, Sequence[ToolCall], str, int]:
    """Text, reasoning, calls, finish reason and completion tokens of a reply, cut to the limits of the request."""
    text, reason = reply.content, reply.finish_reason
    ends = [text.index(word) for word in parameters.stop if word in text]
    if ends:
        text = text[: min(ends)]
    if reason is None and any(CAUGHT_OUTPUT in written for written in texts(messages[-1])):
        half = text[: len(text) // 2]
        return half, reply.reasoning, (), "sensitive", count(reply.reasoning) + count(half)
    # Reasoning counts towards max_tokens; it may use all of it, and then the text is empty.
    reasoning_tokens = tokens(reply.reasoning)
    text_tokens = tokens(text)
    left = max(0, parameters.max_tokens - len(reasoning_tokens))
    if len(reasoning_tokens) > parameters.max_tokens or len(text_tokens) > left:
        cut = "".join(text_tokens[:left]), "".join(reasoning_tokens[: parameters.max_tokens])
        return *cut, (), reason or "length", parameters.max_tokens
    calls, call_tokens = _calls_within(reply.tool_calls, left - len(text_tokens))
    if call_tokens > left - len(text_tokens):
        return text, reply.reasoning, calls, reason or "length", parameters.max_tokens
    finish_reason = reason or ("tool_calls" if calls else "stop")
    return text, reply.reasoning, calls, finish_reason, len(reasoning_tokens) + len(text_tokens) + call_tokens


def _calls_within(calls: Sequence[ToolCall], left: int) -> tuple[list[ToolCall], int]:
    """The tool calls that fit into `left` tokens, and the number of tokens of all calls, even those that do not fit.
    The arguments of the last call that is returned may be cut off, as when a real model reaches its limit."""
    result, total = [], 0
    for call in calls:
        written = tokens(f"{call.name}{call.written}")
        cut = "".join(written[: max(0, left - total)])
        total += len(written)
        if total <= left:
            result.append(call)
        elif len(cut) >= len(call.name):
            result.append(ToolCall(call.name, cut[len(call.name) :]))
    return result, total


# The source of an answer


def source_of(state: State, prepared: Prepared, scripted: Scripted | None) -> Source:
    """The source of the answer to a request. The rules answer in place of the upstream server if the last message has
    a test word of the content filter."""
    if scripted is not None:
        return "script"
    if state.script.function is not None:
        return "function"
    caught = any(CAUGHT_OUTPUT in written for written in texts(prepared.messages[-1]))
    return "rules" if caught or state.upstream is None else "upstream"


# Answers of an upstream server


def upstream_for(state: State, prepared: Prepared, scripted: Scripted | None) -> Upstream | None:
    """The upstream server if it answers this request, else None."""
    return state.upstream if source_of(state, prepared, scripted) == "upstream" else None


def question_of(upstream: Upstream, prepared: Prepared, *, stream: bool) -> Question:
    """The `Question` from which the request to an upstream server is made."""
    proxied = prepared.dialect == "proxy"
    answer_format = prepared.body.get("response_format") if proxied else prepared.parameters.response_format
    return Question(
        body=prepared.body,
        messages=prepared.messages,
        media=prepared.media,
        response_format=answer_format,
        model=upstream.model or prepared.name,
        stream=stream,
        proxied=proxied,
    )


def reader_of(prepared: Prepared) -> Reader:
    """A reader for an upstream server's answer; it keeps reasoning if the request has thinking enabled."""
    return Reader(thinking=prepared.parameters.thinking)


def outcome_fields(reader: Reader, prepared: Prepared) -> dict[str, Any]:
    """The fields of an `Outcome` from an upstream server's answer; token counts that it lacks are computed."""
    calls = [ToolCall(name, written) for name, written in reader.calls]
    reasoning = count(reader.reasoning)
    completion = reasoning + count(reader.text) + sum(count(f"{call.name}{call.written}") for call in calls)
    figures = reader.usage
    return {
        "text": reader.text,
        "reasoning": reader.reasoning,
        "calls": calls,
        "finish_reason": reader.finish_reason or "stop",
        "usage": TokenCounts(
            prompt=_figure(figures.get("prompt_tokens"), prepared.prompt_tokens),
            completion=_figure(figures.get("completion_tokens"), completion),
            reasoning=_figure(_inner(figures, "completion_tokens_details", "reasoning_tokens"), reasoning),
            cached=_figure(_inner(figures, "prompt_tokens_details", "cached_tokens"), 0),
        ),
    }


def _inner(figures: Any, group: str, name: str) -> Any:
    details = figures.get(group)
    return details.get(name) if isinstance(details, dict) else None


def _figure(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise
