"""Conversion of LiteLLM's messages and options; LiteLLM is not imported."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import glmv

pytest.importorskip("litellm", reason="the oldest frameworks are tested without it")

from glmv_litellm.clients import ClientCache
from glmv_litellm.messages import to_glmv
from glmv_litellm.options import NotOfGLM, call_settings


def part_after(part: dict[str, Any]) -> Any:
    ((message),) = to_glmv([{"role": "user", "content": [part]}])
    return message["content"][0]


def test_message_keys_that_litellm_and_frameworks_add_are_left_out() -> None:
    message = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm.", "provider_specific_fields": {"a": 1}}
    assert to_glmv([{**message, "thinking_blocks": [], "cache_breakpoint": True}]) == [
        {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}
    ]


def test_a_message_object_is_converted_with_its_method_model_dump() -> None:
    message = SimpleNamespace(model_dump=lambda: {"role": "user", "content": "Hello", "images": None})
    assert to_glmv([message]) == [{"role": "user", "content": "Hello"}]


def test_converting_messages_does_not_change_the_callers_messages() -> None:
    messages = [{"role": "user", "content": [{"type": "file", "file": {"file_id": "https://a.example/b.pdf"}}], "x": 1}]
    before = repr(messages)
    to_glmv(messages)
    assert repr(messages) == before


@pytest.mark.parametrize(
    ("file", "becomes"),
    [
        (
            {"file_id": "https://a.example/b.pdf", "format": "application/pdf"},
            {"type": "file", "file": {"file_url": "https://a.example/b.pdf"}},
        ),
        (
            {"file_id": "https://a.example/b", "format": "video/mp4"},
            {"type": "video_url", "video_url": {"url": "https://a.example/b"}},
        ),
        (
            {"file_data": "data:image/png;base64,AAAA", "filename": "a.png"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ),
        (
            {"file_data": "data:video/mp4;base64,AAAA"},
            {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
        ),
        (
            {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
        ),
        (
            {"file_id": "data:image/png;base64,AAAA"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ),
        ({"file_data": "https://a.example/b.pdf"}, {"type": "file", "file": {"file_url": "https://a.example/b.pdf"}}),
        ({"file_id": "file-123"}, {"type": "file", "file": {"file_id": "file-123"}}),
    ],
)
def test_a_file_part_becomes_a_picture_a_video_or_a_file(file: dict[str, Any], becomes: dict[str, Any]) -> None:
    assert part_after({"type": "file", "file": file}) == becomes


def test_a_part_that_is_not_a_file_is_passed_on_unchanged() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    assert part_after(part) is part


def test_options_of_glmv_in_extra_body_are_taken_out_of_it_and_used_as_options() -> None:
    given = {"temperature": 0.5, "stream": True, "extra_body": {"thinking": True, "new_field": 1}}
    assert call_settings(given).options == {
        "on_misfit": "return",
        "temperature": 0.5,
        "thinking": True,
        "extra_body": {"new_field": 1},
    }


@pytest.mark.parametrize(
    ("given", "sent"), [({"type": "enabled", "budget_tokens": 9}, True), ({"type": "disabled"}, {"type": "disabled"})]
)
def test_thinking_with_a_token_budget_becomes_thinking_without_a_budget(given: Any, sent: Any) -> None:
    assert call_settings({"thinking": given}).options["thinking"] == sent


def test_options_of_the_connection_are_separated_from_options_of_the_call() -> None:
    settings = call_settings({"dialect": "vllm", "seed": 1}, api_base="http://127.0.0.1:1/v1", headers={"a": "b"})
    assert settings.connection == {"dialect": "vllm", "base_url": "http://127.0.0.1:1/v1"}
    assert settings.options == {"on_misfit": "return", "seed": 1, "extra_headers": {"a": "b"}}


def test_the_default_timeouts_of_litellm_are_ignored() -> None:
    assert "timeout" not in call_settings({}, timeout=600.0).options
    assert "timeout" not in call_settings({}, timeout=6000.0).options
    assert call_settings({}, timeout=7.0).options["timeout"] == 7.0


def test_a_base_model_that_is_not_in_the_catalogue_is_ignored() -> None:
    assert call_settings({}, base_model="glm-4.6v").options["base_model"] == "glm-4.6v"
    assert "base_model" not in call_settings({}, base_model="azure/gpt-4").options


@pytest.mark.parametrize("given", [{"n": 1}, {"logprobs": False}, {"presence_penalty": 0.0}, {"modalities": ["text"]}])
def test_unsupported_options_at_their_default_value_are_left_out(given: dict[str, Any]) -> None:
    assert call_settings(given).options == {"on_misfit": "return"}


@pytest.mark.parametrize("given", [{"n": 2}, {"logprobs": True}, {"frequency_penalty": 0.5}, {"logit_bias": {"1": 2}}])
def test_unsupported_options_are_refused_unless_drop_params_is_set(given: dict[str, Any]) -> None:
    with pytest.raises(NotOfGLM, match=rf"{next(iter(given))}=.* drop_params"):
        call_settings(given)
    assert call_settings(given, drop=True).options == {"on_misfit": "return"}


def test_clients_are_reused_for_the_same_key_and_connection_settings() -> None:
    clients = ClientCache()
    connection = {"base_url": "http://127.0.0.1:1/v1"}
    first = clients.of("id.secret", connection)
    assert clients.of("id.secret", dict(connection)) is first
    assert clients.of("id.other", connection) is not first
    assert clients.of("id.secret", {**connection, "dialect": "vllm"}) is not first
    assert "id.secret" not in repr(vars(clients))
    clients.close()
    assert clients.of("id.secret", connection) is not first


def test_a_full_client_cache_removes_the_least_recently_used_client() -> None:
    clients = ClientCache(most=2)
    first, second = clients.of("id.1", {}), clients.of("id.2", {})
    clients.of("id.1", {})
    clients.of("id.3", {})
    assert len(clients) == 2
    assert clients.of("id.1", {}) is first
    assert clients.of("id.2", {}) is not second


def test_a_client_whose_settings_are_refused_is_not_stored() -> None:
    clients = ClientCache()
    for dialect in ("klingon", {"name": "vllm"}):
        with pytest.raises(glmv.InvalidRequestError):
            clients.of("id.secret", {"dialect": dialect})
    assert len(clients) == 0
