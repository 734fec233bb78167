"""Finds codes and known sentences in the message of an error whose own code is missing or unknown.

First, quotes of the request are removed from the message, because they are the user's text and not an error.
The patterns are compiled when the first error is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Sentences of servers without error codes that mean that a prompt is too long, with their sources.
_OVERFLOWS = "(?i)" + "|".join(
    (
        "maximum context length",  # OpenAI, OpenRouter, vLLM ("This model's ..."), SGLang ("Requested token count")
        "longer than the maximum model length",  # vLLM: "The decoder prompt (length 44) is ..."
        r"too long to fit into the model \(context length",  # vLLM with pictures: vllm-project/vllm#12165
        # Newer vLLM: "You passed 44001 input tokens and requested 0 output tokens. However, ..."
        "the model's context length is only",
        "longer than the model's context length",  # SGLang: "The input (61709 tokens) is ..."
        "prompt is too long after expanding multimodal tokens",  # SGLang with pictures, managers/scheduler.py
        r"prompt_tokens \(\d+\) must be less than max_seq_len",  # SiliconFlow, code 20015
        r"input length \(\d+ tokens\) exceeds the maximum allowed length",  # SGLang: sgl-project/sglang#4048
        "exceeds? the available context size",  # llama.cpp
        "context size has been exceeded",  # LM Studio
        "loaded with (?:a )?context length of only",  # LM Studio: lmstudio-ai/lmstudio-bug-tracker#546
        "tokens to keep from the initial prompt is greater than the context length",  # LM Studio
        r"requested tokens \(\d+\) exceed context window",  # llama-cpp-python
        "input length exceeds (?:the |maximum )*context length",  # Ollama
        "input exceeds context length",  # Ollama, runner.go
        "prompt too long; exceeded (?:max )?context length",  # Ollama's cloud
        r"input token count \(?\d*\)? ?exceeds the maximum number of tokens",  # Gemini
        "range of input length should be",  # DashScope
        r"prompt is too long: \d+ tokens",  # Anthropic
        "exceed context limit",  # Anthropic: "input length and `max_tokens` exceed context limit"
        "exceeds the context window of this model",  # OpenAI, Responses API
        r"`inputs` tokens \+ `max_new_tokens` must be",  # Text Generation Inference
        r"\bContextWindowExceededError\b",  # LiteLLM
    )
)
# A code or name of an upstream server in a gateway's message, as JSON, escaped JSON, Python's repr or prose. The word
# "code" or "type" and a separator must precede it, so that no other number matches.
_QUOTED = (
    r"""(?i)(?:\b(?:error_?)?(?:code|type)|错误码)\\*["']?\s*[:=：]\s*"""
    r"""\\*["']?([0-9]{4}|[A-Za-z_]{8,60})(?![0-9A-Za-z_.-])"""
)
# The platform's own sentences (docs.bigmodel.cn "错误码", docs.z.ai "Errors"), for gateways that repeat nothing else.
_SENTENCES: tuple[tuple[str, str], ...] = (
    ("(?i)余额不足|已欠费|Insufficient balance or no resource package", "1113"),
    ("(?i)可能(?:包含)?不安全或敏感|may contain unsafe or sensitive content", "1301"),
    ("(?i)Prompt exceeds max(?:imum)? length|Prompt ?超长", "1261"),
    ("已达到 ?5 ?小时的使用上限", "1308"),
    ("账户已达到速率限制|API的并发数过高", "1302"),
    ("该模型当前访问量过大", "1305"),
    # OpenAI's, which LiteLLM repeats with the code "429".
    ("(?i)You exceeded your current quota, please check your plan", "insufficient_quota"),
    # one-api and new-api, model/token.go: 401 or 403, without a code.
    ("该令牌额度已用尽", "pre_consume_token_quota_failed"),
    # SiliconFlow, code 30001, 403. The sentence is not from a document.
    ("(?i)account balance is insufficient", "insufficient_quota"),
    # LiteLLM (litellm/exceptions.py).
    (r"\bContentPolicyViolationError\b", "content_policy_violation"),
)
# The beginning of a quote of the request: pydantic's errors as repr or text, and fields of the body.
_REQUEST = r"""\\*["'](?:input|messages|content|prompt|body)\\*["']\s*[:=]|\binput_value\s*=|\binput\s*[:=]\s*[{\["']"""
# Text in quotation marks; an unclosed quote extends to the end. An apostrophe in a word does not count.
_IN_QUOTES = r"""(?<![\w\\])(?:"[^"]*(?:"|$)|'(?:[^']|'(?=\w))*(?:'|$)|“[^”]*(?:”|$)|「[^」]*(?:」|$))"""
# Quoted text is the server's own if it is a name, a number or JSON, or follows a field for the reason.
_NAME = r"(?a)[\w.:/-]{0,80}"
_REASON_FIELD = r"""(?:message|msg|detail|details|error|error_msg|reason)\\*["']?\s*[:=]\s*b?$"""


def says_overflow(message: str) -> bool:
    """Whether a server says that a prompt is too long."""
    return re.search(_OVERFLOWS, message) is not None


def quoted_codes(message: str) -> Iterator[str]:
    """All values in a message that are marked as a code or type, known or not."""
    return (quoted[1] for quoted in re.finditer(_QUOTED, message))


def code_meant(message: str) -> str | None:
    """The error code for a known sentence in a message, or None."""
    return next((code for sentence, code in _SENTENCES if re.search(sentence, message)), None)


def own_words(message: str) -> str:
    """Returns a message without the parts that quote the request: codes in the user's text are not error codes."""
    if begins := re.search(_REQUEST, message):
        message = message[: begins.start()]
    return re.sub(_IN_QUOTES, _replacement, message)


def _replacement(quoted: re.Match[str]) -> str:
    text = quoted[0][1:-1]
    own = re.fullmatch(_NAME, text) or text.lstrip()[:1] in ("{", "[") or re.search(_REASON_FIELD, _before(quoted))
    return quoted[0] if own else ""


def _before(quoted: re.Match[str]) -> str:
    return quoted.string[max(0, quoted.start() - 30) : quoted.start()]
