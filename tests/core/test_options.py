"""Options become a request: values within the documented range, no null fields, the caller's objects unchanged."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import glmv
from glmv import Options, Settings
from glmv.credentials import SecretHeaders
from glmv.request.build import chat_request


def options(defaults: Options | None = None, **values: Any) -> dict[str, Any]:
    return dict(chat_request("hi", defaults or Options(), values).options)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"temperature": 1.5}, ["temperature", "0.0 to 1.0", "1.5"]),
        ({"temperature": -0.1}, ["temperature", "0.0 to 1.0", "-0.1"]),
        ({"top_p": 2}, ["top_p", "0.0 to 1.0", "2"]),
        ({"temperature": float("nan")}, ["temperature", "nan"]),
        ({"top_p": float("inf")}, ["top_p", "inf"]),
        ({"max_tokens": 0}, ["max_tokens", "1 or more", "0"]),
        ({"user_id": "short"}, ["user_id", "6 to 128 characters", "short"]),
        ({"request_id": "x" * 65}, ["request_id", "1 to 64 characters"]),
        ({"user_id": "abc"}, ["user_id", "6 to 128 characters"]),
        ({"user_id": "x" * 129}, ["user_id", "6 to 128 characters"]),
        ({"stop": 5}, ["stop", "5"]),
        ({"thinking": "maybe"}, ["thinking", "maybe"]),
        ({"tools": "f"}, ["tools"]),
        ({"deadline": 0}, ["deadline", "more than 0", "0"]),
        ({"deadline": -1}, ["deadline", "more than 0"]),
        ({"idle_timeout": "soon"}, ["idle_timeout", "soon"]),
        ({"max_retries": -1}, ["max_retries", "0 or more", "-1"]),
        ({"on_sensitive": "ignore"}, ["on_sensitive", "raise", "return"]),
        ({"extra_headers": ["x"]}, ["extra_headers"]),
        ({"validate": "x"}, ["validate", "function"]),
        ({"temperature": 3, "top_p": 4}, ["temperature", "top_p"]),
    ],
)
def test_the_error_of_an_invalid_value_names_the_option(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(glmv.InvalidRequestError) as raised:
        options(**values)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("temprature", "temperature"),
        ("max_token", "max_tokens"),
        ("toolchoice", "tool_choice"),
        ("dead_line", "deadline"),
    ],
)
def test_a_misspelled_option_is_refused_with_the_nearest_name(name: str, nearest: str) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=f"'{name}'.*Did you mean '{nearest}'.*extra_body"):
        options(**{name: 1})


def test_the_error_of_a_misspelled_setting_does_not_show_its_value() -> None:
    with pytest.raises(glmv.InvalidRequestError) as raised:
        Settings(api_kye="test-id.canary-secret")  # type: ignore[call-arg]  # the mistake under test
    assert "Did you mean 'api_key'" in str(raised.value)
    assert "canary" not in repr(raised.value) + str(raised.value) + str(vars(raised.value))


@pytest.mark.parametrize("key", ["api_key", "default_headers"])
def test_a_secret_of_the_wrong_type_is_not_quoted(key: str) -> None:
    with pytest.raises(glmv.InvalidRequestError) as raised:
        Settings(**{key: ["canary"]})
    assert "canary" not in str(raised.value)


def test_options_that_are_not_set_are_left_out_of_the_request() -> None:
    assert options() == {}
    assert options(temperature=None, stop=None) == {}


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0])
def test_temperature_and_top_p_of_zero_or_one_are_not_changed(value: float) -> None:
    assert options(temperature=value, top_p=value) == {"temperature": value, "top_p": value}


@pytest.mark.parametrize("name", ["stop", "stop_sequences"])
def test_passing_none_by_any_name_of_an_option_removes_its_default(name: str) -> None:
    defaults = Options(temperature=0.5, stop=["x"])
    assert options(defaults, **{name: None}) == {"temperature": 0.5}


def test_an_option_of_a_call_has_priority_over_the_default() -> None:
    assert options(Options(temperature=0.5, top_p=0.1), temperature=0.7) == {"temperature": 0.7, "top_p": 0.1}


def test_a_single_stop_word_becomes_a_list_of_one() -> None:
    assert options(stop="x") == {"stop": ["x"]}
    assert options(stop_sequences=["x", "y"]) == {"stop": ["x", "y"]}


def test_the_model_of_a_call_replaces_the_default_and_the_option_stream_is_left_out() -> None:
    request = chat_request("hi", Settings(model="glm-4v"), {"model": "glm-4.5v", "stream": True})
    assert (request.model, dict(request.options)) == ("glm-4.5v", {})


def test_extra_keywords_of_frameworks_are_left_out_with_a_note() -> None:
    request = chat_request("hi", Options(), {"strict": True})
    assert dict(request.options) == {}
    assert [note for note in request.notes if "strict" in note]


def test_settings_of_a_call_such_as_timeout_are_not_sent_in_the_body() -> None:
    call = {
        "timeout": 5,
        "deadline": 9,
        "idle_timeout": 2,
        "max_retries": 0,
        "extra_headers": {"a": "b"},
        "on_sensitive": "return",
    }
    request = chat_request("hi", Options(), {**call, "validate": str})
    assert dict(request.options) == {}
    assert dict(request.call) == {**call, "extra_headers": SecretHeaders({"a": "b"}), "validate": str}


def test_making_a_request_does_not_change_the_callers_options() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    values: dict[str, Any] = {
        "tools": tools,
        "extra_body": {"a": [1]},
        "stop": "x",
        "timeout": 3,
        "thinking": {"type": "enabled"},
    }
    before = copy.deepcopy(values)
    chat_request("hi", Options(), values)
    assert values == before


def test_settings_neither_show_nor_pickle_secrets() -> None:
    settings = Settings(
        api_key="test-id.canary",
        default_headers={"Authorization": "canary", "X-Api-Key": "canary", "X-Org": "o"},
        base_url="https://example.org",
    )  # type: ignore[arg-type]  # pydantic makes a secret of it
    results = [
        repr(settings),
        str(settings),
        settings.model_dump_json(),
        repr(settings.model_dump()),
        repr(vars(settings)["api_key"]),
    ]
    results += [pickle.dumps(settings, protocol).decode("latin-1") for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    assert [text for text in results if "canary" in text] == []
    copied = pickle.loads(pickle.dumps(settings))
    assert (copied.base_url, copied.default_headers) == ("https://example.org", {"X-Org": "o"})


def test_copies_and_pickles_and_dumps_of_settings_keep_the_base_model() -> None:
    settings = Settings(model="ours", base_model="zai-org/GLM-4.6V", api_key="k")
    row = glmv.find_model("glm-4.6v")
    copies = [
        settings,
        pickle.loads(pickle.dumps(settings)),
        copy.copy(settings),
        copy.deepcopy(settings),
        settings.model_copy(),
        Settings(**settings.model_dump()),
        Settings.model_validate_json(settings.model_dump_json()),
        glmv.Client.of(settings).settings,
        pickle.loads(pickle.dumps(glmv.Client.of(settings))).settings,
    ]
    for one in copies:
        assert (one.base_model, one.catalog_row()) == ("glm-4.6v", row)
    assert "base_model='glm-4.6v'" in repr(settings)


def test_the_dialect_decides_the_range_of_an_option_given_before_or_after_it() -> None:
    assert Settings(temperature=1.5, dialect="vllm").temperature == 1.5
    assert Settings(dialect="vllm", temperature=1.5).temperature == 1.5
    with pytest.raises(glmv.InvalidRequestError, match=r"0\.0 to 1\.0"):
        Settings(temperature=1.5, dialect="platform")


def test_base_model_is_refused_for_embeddings() -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"base_model: .* embeddings do not have it"):
        glmv.Connection(base_model="glm-4.6v")


@pytest.mark.parametrize("name", ["image_url", "images", "video", "file_path"])
def test_an_option_for_media_is_refused_with_advice_to_use_parts_of_a_message(name: str) -> None:
    expected = rf"unknown option '{name}'\. Pictures, videos and files are parts of a message\.$"
    with pytest.raises(glmv.InvalidRequestError, match=expected):
        glmv.Client("a.b").chat("hi", **{name: "https://example.com/a.png"})  # type: ignore[misc]  # it is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extra_headers": ["a"]}, "extra_headers: Input should be a valid dictionary"),
        ({"extra_headers": {"x-a": 3}}, "extra_headers.x-a: Input should be a valid string"),
        ({"stream_options": 3}, "stream_options: Input should be a valid dictionary; got 3"),
        ({"stop": [3], "seed": "x"}, "stop.0: Input should be a valid string; got 3; seed: "),
    ],
)
def test_the_error_for_an_option_of_several_types_does_not_name_pydantic_types(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(glmv.InvalidRequestError) as raised:
        glmv.Client("a.b").chat("hi", **options)
    assert str(raised.value).startswith(message)
    assert "[" not in str(raised.value).replace("[3]", "")
    assert "SecretHeaders" not in str(raised.value)
