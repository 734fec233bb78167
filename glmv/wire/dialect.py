"""The differences between servers: the platform, proxies, hosts, and engines that serve open weights.

A request has only fields that its server knows and that the user asked for, because some servers refuse unknown fields
(`transformers serve` with 422, hosts with "Extra inputs are not permitted"). `encode` converts the user's options from
the platform's form to that of the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from glmv.hosts import is_platform

# `request_id` goes into a header elsewhere, see `request/prepare.py`.
_OWN_FIELDS = {"do_sample", "user_id", "request_id"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """The properties of one kind of server.

    Attributes:
        name: a value of `dialect=`.
        base64: the form of base64 in `url` fields: "raw" or "data_uri".
        thinking: the body key that switches thinking.
        own_fields: whether the body has the fields `do_sample`, `user_id` and `request_id`. Other servers get them as
            `temperature`, `user` and the header X-Request-Id.
        limits: what to do with a request that exceeds a limit or range of the platform (see `glmv/catalog`).
            "refuse": for the platform and servers that imitate it, which would refuse the request. "note": for a proxy,
            behind which the platform or a host with other limits may be; the request is sent, and `answer.notes` names
            the limit. "none": for an engine, which has limits of its own. Pictures are fitted if the value is "refuse"
            or "note". For servers other than the platform, the platform's number of concurrent calls is used only if
            the model has the platform's own name or a `base_model` (`glmv.find_model`).
        stream_usage: whether a stream reports usage only on request (`stream_options`).
        files: whether a message may have documents.
        functions_only: whether functions are the only tools.
        chooses_tools: which values of `tool_choice` work besides "auto". "no": none; "required": only "required";
            "name": both "required" and a function's name.
        takes_json: whether `response_format` works, with and without a JSON Schema.
        least_side: the fewest pixels of a picture's side; a note is recorded for a shorter side. 0 means no minimum.
        most_aspect: the largest ratio of a picture's longer side to its shorter side; None means no maximum.
        allows: body keys that the server passes on only if `allowed_openai_params` lists them.
    """

    name: str
    base64: Literal["raw", "data_uri"] = "data_uri"
    thinking: Literal["thinking", "chat_template_kwargs", "reasoning"] = "thinking"
    own_fields: bool = False
    limits: Literal["refuse", "note", "none"] = "note"
    stream_usage: bool = True
    files: bool = True
    functions_only: bool = False
    chooses_tools: Literal["no", "required", "name"] = "no"
    takes_json: bool = False
    allows: tuple[str, ...] = ()
    least_side: int = 0
    most_aspect: float | None = None

    def translated(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Converts options from the platform's form to that of this server. Converted options are not changed again."""
        if self.own_fields or not _OWN_FIELDS & options.keys():
            return options
        translated = {name: value for name, value in options.items() if name not in _OWN_FIELDS}
        if options.get("do_sample") is False:
            translated.pop("top_p", None)
            translated["temperature"] = 0  # greedy decoding (docs.vllm.ai, sampling parameters)
        if user := options.get("user_id"):
            translated["user"] = user
        return translated


DIALECTS = {
    row.name: row
    for row in (
        # "图片url或者base64编码", shown without a data: prefix; a prefix is refused with 1210 on some models
        # (github.com/QuantumNous/new-api/issues/136). `stream_options` was refused (new-api/issues/398), and usage
        # is sent anyway (docs.bigmodel.cn, "对话补全").
        Dialect("platform", base64="raw", own_fields=True, limits="refuse", stream_usage=False),
        # A proxy with the platform behind it: `thinking` is the platform's own field, and the proxy passes it on.
        # Usage: platform.openai.com/docs/api-reference/chat/create, `stream_options`.
        Dialect("openai"),
        # LiteLLM refuses `thinking` for models that it does not know as thinking ones, or silently drops it, unless
        # the request allows it (docs.litellm.ai/docs/completion/drop_params, "allowed_openai_params").
        # `response_format` is not among the fields that it passes on to zai (litellm/llms/zai/chat/transformation.py,
        # get_supported_openai_params), and the platform behind it supports only `tool_choice` "auto": the prompt asks
        # for both instead.
        Dialect("litellm", allows=("thinking",)),
        # openrouter.ai/docs/use-cases/reasoning-tokens: `reasoning.enabled`. `response_format` with both kinds of JSON:
        # /docs/structured-outputs; `tool_choice`: /docs/api-reference/overview.
        Dialect("openrouter", thinking="reasoning", chooses_tools="name", takes_json=True),
        # vLLM and SGLang: data URIs and `chat_template_kwargs` (github.com/zai-org/GLM-V README); `tool_choice`,
        # `response_format`, `user`, `stream_options`: vllm/entrypoints/openai/chat_completion/protocol.py,
        # sglang/srt/entrypoints/openai/protocol.py.
        # Both prepare pictures by the published processor, which refuses more than 200 to 1 (huggingface/transformers,
        # models/glm4v/image_processing_glm4v.py). Processors of its kind refuse sides of less than a cell of 28, or
        # take a side of 1 or 3 pixels for the colours (image_utils.py, infer_channel_dimension_format).
        Dialect(
            "vllm",
            least_side=28,
            most_aspect=200,
            thinking="chat_template_kwargs",
            limits="none",
            files=False,
            functions_only=True,
            chooses_tools="name",
            takes_json=True,
        ),
        # llama-server reads `tool_choice` as a string only; an object counts as "auto"
        # (github.com/ggml-org/llama.cpp, common/chat.cpp and tools/server).
        Dialect(
            "llama.cpp",
            thinking="chat_template_kwargs",
            limits="none",
            files=False,
            functions_only=True,
            chooses_tools="required",
            takes_json=True,
        ),
        # `transformers serve` knows OpenAI's fields, `seed`, `generation_config` and `chat_template_kwargs`, refuses
        # all others, and ignores `tool_choice`, `response_format` and `stream_options`; streams have usage
        # anyway (github.com/huggingface/transformers, cli/serving/chat_completion.py).
        Dialect(
            "transformers",
            least_side=28,
            most_aspect=200,
            thinking="chat_template_kwargs",
            limits="none",
            stream_usage=False,
            files=False,
            functions_only=True,
        ),
    )
}

_HOSTS = {"openrouter.ai": "openrouter"}


def dialect_of(base_url: str, name: str | None = None) -> Dialect:
    """The dialect by its name, or by the base URL if the name is None.

    bigmodel.cn, z.ai and openrouter.ai are recognized by the host. Servers that imitate the platform are recognized by
    the path `/api/paas/v4`.
    """
    if name is not None:
        return DIALECTS[name]
    if is_platform(base_url):
        return DIALECTS["platform"]
    return DIALECTS[_HOSTS.get(urlsplit(base_url).hostname or "", "openai")]
