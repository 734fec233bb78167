"""LangChain's features of a chat model in ChatGLMV: options, copies, JSON, cache keys, traces, profile, tokens."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from typing import Any

import httpx
import pytest
from langchain.chat_models import base as langchain_base
from langchain.chat_models import init_chat_model
from langchain.embeddings import base as langchain_embeddings
from langchain.embeddings import init_embeddings
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage, trim_messages
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.prompt_values import ChatPromptValue
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableSequence
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from langchain_core.tools import tool

import glmv
import langchain_glmv
from langchain_glmv import ChatGLMV, GLMVEmbeddings, image, redact, video

KEY = "test-id.test-secret"


@tool
def look(at: str) -> str:
    """Look at something."""
    return at


def model(**options: Any) -> ChatGLMV:
    return ChatGLMV(**{"model": "glm-4.6v", "api_key": KEY, **options})


# ---- options


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ({"temprature": 0.5}, "Did you mean 'temperature'?"),
        ({"max_token": 5}, "Did you mean 'max_tokens'?"),
        ({"n": 2}, "batch()"),
        ({"logprobs": True}, "no log probabilities"),
        ({"zzz": 1}, "extra_body"),
        ({"temperature": 3}, "less than or equal to 1"),
    ],
)
def test_the_error_for_a_wrong_option_has_a_hint_and_does_not_show_the_key(option: dict[str, Any], hint: str) -> None:
    with pytest.raises(glmv.InvalidRequestError) as refusal:
        model(**option)
    assert hint in str(refusal.value)
    assert KEY not in repr(refusal.value)


def test_chat_glmv_accepts_option_names_of_other_chat_models() -> None:
    ours = ChatGLMV(
        model_name="glm-4v", zhipuai_api_key=KEY, zhipuai_api_base="https://x.example/v4", request_timeout=5
    )
    assert (ours.model, ours.model_name, ours.base_url, ours.timeout) == ("glm-4v", "glm-4v", "https://x.example/v4", 5)
    assert ours.api_key is not None
    assert ours.api_key.get_secret_value() == KEY


@pytest.mark.parametrize(
    "option", [{"n": 1}, {"logprobs": False}, {"presence_penalty": 0.0}, {"modalities": ["text"]}, {"logit_bias": None}]
)
def test_options_that_request_default_behaviour_are_ignored(option: dict[str, Any]) -> None:
    assert model(**option) == model()


def test_known_model_kwargs_become_options_and_others_become_keys_of_extra_body() -> None:
    ours = model(model_kwargs={"top_p": 0.4, "new_field": 1}, extra_body={"other": 2})
    assert (ours.top_p, ours.extra_body) == (0.4, {"other": 2, "new_field": 1})


def test_without_a_key_the_first_call_raises_and_names_the_environment_variable() -> None:
    keyless = ChatGLMV(model="glm-4.6v")
    with pytest.raises(glmv.AuthenticationError, match="ZHIPUAI_API_KEY"):
        keyless.invoke("hi")


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"temprature": 0.5}, "Did you mean 'temperature'?"),
        ({"n": 2}, "batch()"),
        ({"logprobs": True}, "no log probabilities"),
        ({"api_key": "other"}, "Pass it to the constructor"),
        ({"default_headers": {"authorization": "other"}}, "Pass it to the constructor"),
    ],
)
def test_a_wrong_option_of_a_call_is_refused_before_sending(options: dict[str, Any], hint: str) -> None:
    with pytest.raises(glmv.InvalidRequestError) as refusal:
        model(base_url="http://127.0.0.1:9").invoke("hi", **options)
    assert hint in str(refusal.value)


# ---- secrets


def test_repr_and_json_and_cache_key_and_pickle_of_a_model_do_not_contain_the_key() -> None:
    ours = model(default_headers={"x-token": "header-secret"})
    texts = [repr(ours), str(ours), langchain_glmv.dumps(ours), json.dumps(dumpd(ours)), ours.model_dump_json()]
    texts += [repr(ours.bind(stop=["x"])), str(ours._get_llm_string()), str(ours._get_invocation_params())]
    for text in texts:
        assert "test-secret" not in text
        assert "header-secret" not in text
    assert b"test-secret" not in pickle.dumps(ours)


def test_headers_of_one_call_are_hidden_in_traces_and_cache_keys() -> None:
    text = str(model()._get_invocation_params(extra_headers={"x-token": "header-secret"}))
    assert "header-secret" not in text
    assert "x-token" in text


# ---- copies and JSON


def test_a_pickle_keeps_settings_and_reads_the_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    copied = pickle.loads(pickle.dumps(model(temperature=0.3, thinking=True)))
    assert (copied.temperature, copied.thinking, copied.api_key) == (0.3, True, None)
    assert copied == model(temperature=0.3, thinking=True).model_copy(update={"api_key": None})


def test_a_deep_copy_of_a_model_shares_the_http_client_that_was_passed() -> None:
    with httpx.Client() as client:
        ours = model(http_client=client)
        copied = copy.deepcopy(ours)
    assert copied.http_client is client
    assert copied.api_key == ours.api_key


def test_changed_settings_of_a_copy_appear_in_its_serialized_form_and_cache_key() -> None:
    ours = model(temperature=0.3)
    assert ours._serialized["kwargs"]["temperature"] == 0.3
    other = ours.model_copy(update={"temperature": 0.9, "model": "glm-4.5v"})
    assert other._serialized["kwargs"]["temperature"] == 0.9
    assert ours._get_llm_string() != other._get_llm_string()
    assert other._get_ls_params()["ls_model_name"] == "glm-4.5v"


def test_a_copy_with_a_changed_base_url_has_clients_of_its_own() -> None:
    ours = model()
    clients = ours.clients
    elsewhere = ours.model_copy(update={"base_url": "https://x.example/v4"})
    assert elsewhere.clients is not clients
    assert elsewhere.clients.sync.address.base_url == "https://x.example/v4"
    assert ours.clients is clients


def test_a_copy_of_a_model_accepts_a_new_key_as_a_plain_string() -> None:
    other = model().model_copy(update={"api_key": "other-id.other-secret"})
    signer = other.clients.sync.address.signer
    assert signer is not None
    assert "other-secret" in signer.header(0.0)
    assert "other-secret" not in repr(other)


def test_a_model_and_a_chain_are_loaded_from_json_that_dumps_wrote() -> None:
    ours = model(temperature=0.3, base_url="https://x.example/v4")
    loaded = langchain_glmv.load(langchain_glmv.dumps(ours), api_key="other-id.other-secret")
    assert (loaded.temperature, loaded.base_url, loaded.model) == (0.3, "https://x.example/v4", "glm-4.6v")
    assert loaded.api_key.get_secret_value() == "other-id.other-secret"
    chain = ChatPromptTemplate.from_messages([("human", "{x}")]) | ours.bind_tools([look])
    again = langchain_glmv.load(langchain_glmv.dumps(chain))
    assert isinstance(again, RunnableSequence)
    assert again.last.bound.temperature == 0.3
    assert again.last.kwargs["tools"][0]["function"]["name"] == "look"


def test_a_model_is_loaded_from_json_that_names_the_module_of_its_class() -> None:
    written = json.loads(langchain_glmv.dumps(model(temperature=0.3)))
    assert written["id"] == ["langchain_glmv", "ChatGLMV"]
    loaded = langchain_glmv.load({**written, "id": ["langchain_glmv", "chat_models", "ChatGLMV"]})
    assert isinstance(loaded, ChatGLMV)
    assert loaded.temperature == 0.3


def test_a_pickle_names_the_package_but_none_of_its_modules() -> None:
    assert b"langchain_glmv." not in pickle.dumps(model())


@pytest.mark.parametrize(
    "change",
    [
        {"model": "glm-4.5v"},
        {"temperature": 0.9},
        {"base_url": "https://x.example/v4"},
        {"max_tokens": 9},
        {"thinking": True},
        {"stop": ["x"]},
        {"top_p": 0.2},
        {"extra_body": {"a": 1}},
        {"on_sensitive": "return"},
    ],
)
def test_every_setting_that_changes_answers_changes_the_cache_key(change: dict[str, Any]) -> None:
    assert model()._get_llm_string() != model(**change)._get_llm_string()


# ---- traces, profile, bound options and tools


def test_traces_name_the_provider_and_the_version_and_the_model_of_the_call() -> None:
    ours = model(temperature=0.3, max_tokens=7)
    assert ours._get_ls_params(stop=["x"], model="glm-4.5v") == {
        "ls_provider": "glmv",
        "ls_model_type": "chat",
        "ls_model_name": "glm-4.5v",
        "ls_temperature": 0.3,
        "ls_max_tokens": 7,
        "ls_stop": ["x"],
    }
    assert ours.metadata is not None
    assert ours.metadata["lc_versions"]["langchain-glmv"] == glmv.__version__


def test_the_profile_of_a_model_has_the_values_of_its_catalogue_row() -> None:
    row = glmv.find_model("glm-4.6v")
    assert row is not None
    profile = model().profile
    assert profile is not None
    assert (profile["max_input_tokens"], profile["max_output_tokens"]) == (row.context, row.max_output)
    assert profile["image_inputs"] is profile["tool_calling"] is profile["image_tool_message"] is True
    assert profile["audio_inputs"] is False


def test_an_unknown_model_has_no_profile_and_a_passed_profile_is_used() -> None:
    assert model(model="glm-99v").profile is None
    assert model(profile={"max_input_tokens": 5}).profile == {"max_input_tokens": 5}


@pytest.mark.parametrize("way", ["model_copy", "configurable_fields", "assignment"])
def test_changing_the_model_changes_its_profile_unless_the_profile_was_passed(way: str) -> None:
    def changed(before: ChatGLMV) -> Any:
        match way:
            case "model_copy":
                return before.model_copy(update={"model": "glm-4v-flash"})
            case "configurable_fields":
                configurable = before.configurable_fields(model=ConfigurableField(id="m"))
                return configurable.prepare({"configurable": {"m": "glm-4v-flash"}})[0]
            case _:
                copied = before.model_copy()
                copied.model = "glm-4v-flash"
                return copied

    before = model()
    assert changed(before).profile == model(model="glm-4v-flash").profile
    assert before.profile == model().profile
    assert changed(model(profile={"max_input_tokens": 5})).profile == {"max_input_tokens": 5}


def test_the_profile_of_glm_4v_flash_allows_only_picture_urls() -> None:
    profile = model(model="glm-4v-flash").profile
    assert profile is not None
    assert (profile["image_inputs"], profile["image_url_inputs"]) == (False, True)


def test_a_configurable_temperature_changes_the_temperature_but_not_the_model() -> None:
    configurable = model(temperature=0.1).configurable_fields(temperature=ConfigurableField(id="t"))
    prepared, _ = configurable._prepare({"configurable": {"t": 0.7}})
    assert isinstance(prepared, ChatGLMV)
    assert prepared.temperature == 0.7
    assert prepared.model == "glm-4.6v"


def test_fallbacks_of_a_model_are_kept_after_binding_tools_or_a_schema() -> None:
    with_fallback = model().with_fallbacks([model(model="glm-4.5v")])
    for bound in (
        with_fallback.bind_tools([look]),
        with_fallback.with_structured_output({"title": "A", "type": "object"}),
    ):
        assert isinstance(bound, RunnableWithFallbacks)
        assert len(bound.fallbacks) == 1


@pytest.mark.parametrize(
    "tool", [{"type": "web_search", "web_search": {"enable": True}}, {"type": "retrieval", "retrieval": {}}]
)
def test_bind_tools_does_not_change_built_in_tools_of_the_platform(tool: dict[str, Any]) -> None:
    assert model().bind_tools([look, tool]).kwargs["tools"][1] == tool  # type: ignore[attr-defined]  # a binding


@pytest.mark.parametrize("tool", [{"type": "code_interpreter"}, {"type": "text_editor_20250728", "name": "edit"}])
def test_built_in_tools_of_other_providers_are_refused(tool: dict[str, Any]) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=tool["type"]):
        model().bind_tools([tool])


def test_a_tool_without_a_description_gets_its_name_as_description() -> None:
    tool = {"name": "go", "input_schema": {"type": "object", "properties": {}}, "cache_control": {"type": "ephemeral"}}
    [bound] = model().bind_tools([tool]).kwargs["tools"]  # type: ignore[attr-defined]  # a binding
    assert bound["function"] == {"name": "go", "description": "go", "parameters": {"type": "object", "properties": {}}}


# ---- tokens


def test_tokens_are_counted_offline_and_grow_with_the_text() -> None:
    ours = model()
    assert ours.get_num_tokens("") == 0
    assert 2 <= ours.get_num_tokens("hello world") <= 4
    assert 2 <= ours.get_num_tokens("你好，世界") <= 5
    assert len(ours.get_token_ids("hello world")) == ours.get_num_tokens("hello world")


@pytest.mark.parametrize(("size", "tokens"), [((1120, 560), 40 * 20), ((28, 28), 9), ((6000, 6000), 86 * 86)])
def test_the_tokens_of_a_picture_are_counted_from_its_size_in_pixels(size: tuple[int, int], tokens: int) -> None:
    from PIL import Image as Pillow

    ours = model()
    text = ours.get_num_tokens_from_messages([HumanMessage("What?")])
    both = ours.get_num_tokens_from_messages([HumanMessage(["What?", image(Pillow.new("1", size))])])
    assert both - text == tokens + 2


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("glm-4.6v", 7400), ("glm-4.5v", 6120), ("glm-5.3-flash", 7931), ("somebody-elses-model", 7400)],
)
def test_the_tokens_of_a_picture_depend_on_the_model_family(name: str, tokens: int) -> None:
    from PIL import Image as Pillow

    ours = model(model=name)
    text = ours.get_num_tokens_from_messages([HumanMessage("What?")])
    both = ours.get_num_tokens_from_messages([HumanMessage(["What?", image(Pillow.new("1", (4000, 3000)))])])
    assert both - text == pytest.approx(tokens, rel=0.02)


def test_the_tokens_of_a_video_with_two_frames_are_not_counted_from_its_duration() -> None:
    pytest.importorskip("av", reason="the frame rate of a video is read by PyAV")
    from tests.emulator.platform.test_emulator_videos import clip

    ours = model()
    slides = ours.get_num_tokens_from_messages([HumanMessage(["What?", video(clip(10))])])
    assert slides < 2_000  # two frames of 1280 x 720; ten seconds at 25 a second come to 29,000


def test_counted_tokens_include_tools_and_tool_calls() -> None:
    ours = model()
    plain = [HumanMessage("hi"), AIMessage("")]
    calls = [HumanMessage("hi"), AIMessage("", tool_calls=[{"id": "c", "name": "look", "args": {"at": "sky"}}])]
    assert ours.get_num_tokens_from_messages(calls) > ours.get_num_tokens_from_messages(plain)
    assert ours.get_num_tokens_from_messages(plain, tools=[look]) > ours.get_num_tokens_from_messages(plain)


def test_trim_messages_with_the_model_as_token_counter_needs_no_tokenizer() -> None:
    history = [SystemMessage("Be brief."), HumanMessage("a " * 400), AIMessage("b"), HumanMessage("c")]
    result = trim_messages(history, token_counter=model(), max_tokens=60, include_system=True, start_on="human")
    assert [message.text for message in result] == ["Be brief.", "c"]


# ---- traces without pictures


def test_redact_shortens_base64_in_blocks_and_artifacts_and_texts_of_a_trace(red: str) -> None:
    blob = "QUJD" * 300
    messages = [
        HumanMessage(["What?", {"type": "image", "base64": red}]),
        ToolMessage("ok", tool_call_id="1", artifact=blob),
    ]
    trace = {"messages": [messages], "text": f"see data:image/png;base64,{red} there", "n": 3}
    redacted = redact(trace)
    assert red not in repr(redacted)
    assert blob not in repr(redacted)
    assert "sha256" in redacted["messages"][0][0].content[1]["base64"]
    assert redacted["text"].startswith("see data:image/png;base64,<")
    assert redacted["text"].endswith(" there")
    assert (redacted["n"], redacted["messages"][0][0].content[0]) == (3, "What?")
    assert messages[0].content[1]["base64"] == red  # type: ignore[index]  # a dict


@pytest.mark.parametrize(
    "wrap",
    [
        lambda message: LLMResult(generations=[[ChatGeneration(message=message)]]),
        lambda message: ChatPromptValue(messages=[message]),
        lambda message: {"output": (message,)},
        lambda message: dumpd(message),
    ],
    ids=["result", "prompt", "tuple", "dumped"],
)
def test_redact_removes_base64_from_results_and_prompts_and_dumped_messages(wrap: Any, red: str) -> None:
    result = wrap(AIMessage([{"type": "image", "base64": red, "mime_type": "image/png"}]))
    assert red in repr(result)
    assert red not in repr(redact(result))
    assert type(redact(result)) is type(result)


def test_redact_does_not_change_a_long_text_without_base64() -> None:
    prose = "The quick brown fox jumps over the lazy dog. " * 50
    assert redact(prose) == prose


# ---- init_chat_model and init_embeddings


def test_init_chat_model_makes_a_chat_glmv_after_register(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in (langchain_base, langchain_embeddings):
        monkeypatch.setattr(table, "_BUILTIN_PROVIDERS", dict(table._BUILTIN_PROVIDERS))
    with pytest.raises(ValueError, match="of_ours"):  # a name of this test's own: langchain remembers those it made
        init_chat_model("glm-4.5v", model_provider="of-ours")
    langchain_glmv.register("of-ours")
    for chat_model in (
        init_chat_model("of-ours:glm-4.5v", api_key=KEY, temperature=0.2),
        init_chat_model("glm-4.5v", model_provider="of-ours", api_key=KEY, temperature=0.2),
    ):
        assert isinstance(chat_model, ChatGLMV)
        assert (chat_model.model, chat_model.temperature) == ("glm-4.5v", 0.2)


def test_init_embeddings_makes_glmv_embeddings_after_register(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in (langchain_base, langchain_embeddings):
        monkeypatch.setattr(table, "_BUILTIN_PROVIDERS", dict(table._BUILTIN_PROVIDERS))
    langchain_glmv.register("My-Vectors")
    for embeddings in (
        init_embeddings("my-vectors:embedding-2", api_key=KEY),
        init_embeddings("embedding-2", provider="My-Vectors", api_key=KEY),
    ):
        assert isinstance(embeddings, GLMVEmbeddings)
        assert embeddings.model == "embedding-2"


def test_register_adds_chat_models_if_langchain_has_no_embeddings_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(langchain_base, "_BUILTIN_PROVIDERS", dict(langchain_base._BUILTIN_PROVIDERS))
    monkeypatch.delattr(langchain_embeddings, "_BUILTIN_PROVIDERS")
    langchain_glmv.register("without-vectors")
    assert isinstance(init_chat_model("without-vectors:glm-4.5v", api_key=KEY), ChatGLMV)


def test_register_raises_if_langchain_has_no_provider_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(langchain_base, "_BUILTIN_PROVIDERS")
    with pytest.raises(RuntimeError, match="ChatGLMV"):
        langchain_glmv.register()


class Missing:
    """A finder for which the package `langchain` is not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == "langchain":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_register_without_langchain_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "langchain"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match=r"not installed: pip install langchain$"):
        langchain_glmv.register()
