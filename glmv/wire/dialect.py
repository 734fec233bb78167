"""How a server speaks: the differences between the platform, proxies, hosts, and engines that serve open weights.

A body holds what its server knows and nothing that nobody asked for: some servers refuse a field that they do not know
(`transformers serve` with 422, hosts with "Extra inputs are not permitted"). What the user asked for in the platform's
terms is written in the server's (`encode`).
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
    """One row for each kind of server.

    Attributes:
        name: what `dialect=` takes.
        base64: "raw" base64 in `url` fields, or a "data_uri".
        thinking: the body key that switches thinking.
        own_fields: whether `do_sample`, `user_id` and `request_id` are fields of the body. Elsewhere they are written
            as `temperature`, `user` and the header X-Request-Id.
        limits: what becomes of a request that is over a limit or a range of the platform (see `glmv/catalog`).
            "refuse": on the platform itself, and where a path says that a server stands in for it, since it would
            refuse the request for certain. "note": the platform, or a host with limits of its own, may be behind a
            proxy, which does not tell; what the user asks for is sent, and `answer.notes` names the limit. Pictures are
            fitted there, too. "none": an engine's limits are decided by how it was started, and the platform's say
            nothing. How many calls at once the platform documents holds outside of it only for a model by the
            platform's own name or by `base_model` (`glmv.find_model`).
        stream_usage: whether a stream has to be asked for usage (`stream_options`).
        files: whether a message may hold documents.
        functions_only: whether tools other than functions are unknown.
        chooses_tools: whether `tool_choice` other than "auto" is obeyed: "no", "required" alone, or that and a "name".
        takes_json: whether `response_format` is obeyed, with a JSON Schema and without.
        least_side: pixels of a picture's sides at least; a smaller one is noted. 0 is for any.
        most_aspect: the longer side of a picture by the shorter one, at most; None for any.
        allows: keys that have to be named in `allowed_openai_params` to be handed on.
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
        """Options of the platform alone -> the same in the terms of this server; the same again changes nothing."""
        if self.own_fields or not _OWN_FIELDS & options.keys():
            return options
        told = {name: value for name, value in options.items() if name not in _OWN_FIELDS}
        if options.get("do_sample") is False:
            told.pop("top_p", None)
            told["temperature"] = 0  # greedy decoding (docs.vllm.ai, sampling parameters)
        if user := options.get("user_id"):
            told["user"] = user
        return told


DIALECTS = {
    row.name: row
    for row in (
        # "图片url或者base64编码", shown without a data: prefix; a prefix is refused with 1210 on some models
        # (github.com/QuantumNous/new-api/issues/136). `stream_options` was refused (new-api/issues/398), and the usage
        # comes unasked (docs.bigmodel.cn, "对话补全").
        Dialect("platform", base64="raw", own_fields=True, limits="refuse", stream_usage=False),
        # A proxy with the platform behind it: `thinking` is the platform's own field, and the proxy hands it on.
        # Usage: platform.openai.com/docs/api-reference/chat/create, `stream_options`.
        Dialect("openai"),
        # LiteLLM refuses `thinking` for models that it does not know as thinking ones, or drops it in silence, unless
        # the request allows it (docs.litellm.ai/docs/completion/drop_params, "allowed_openai_params").
        # `response_format` is not among what it hands on to zai (litellm/llms/zai/chat/transformation.py,
        # get_supported_openai_params), and the platform behind it obeys no `tool_choice` but "auto": both in words.
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
        # all others, and ignores `tool_choice`, `response_format` and `stream_options`; streams have their usage
        # unasked (github.com/huggingface/transformers, cli/serving/chat_completion.py).
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
    """The row for a base URL, unless the user named one.

    bigmodel.cn, z.ai and openrouter.ai are told by host, servers that stand in for the platform by the path
    `/api/paas/v4`.
    """
    if name is not None:
        return DIALECTS[name]
    if is_platform(base_url):
        return DIALECTS["platform"]
    return DIALECTS[_HOSTS.get(urlsplit(base_url).hostname or "", "openai")]
