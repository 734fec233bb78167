"""Errors of `glmv` are raised as LiteLLM's classes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

import glmv
from glmv_emulator import Emulator, Reply

Ask = Callable[..., Any]

REFUSALS = [
    ({"code": 1302}, "RateLimitError", 429),
    ({"code": 1113}, "RateLimitError", 429),
    ({"code": 1301}, "ContentPolicyViolationError", 400),
    ({"code": 1211}, "NotFoundError", 404),
    ({"code": 1220}, "PermissionDeniedError", 403),
    ({"code": 1261}, "ContextWindowExceededError", 400),
    ({"code": 1000}, "AuthenticationError", 401),
    ({"code": 1210}, "BadRequestError", 400),
    ({"status": 500}, "InternalServerError", 500),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fault", "kind", "status"), REFUSALS)
def test_a_refused_call_raises_the_matching_class_of_litellm(
    emu: Emulator, ask: Ask, litellm: Any, fault: dict[str, Any], kind: str, status: int, stream: bool
) -> None:
    emu.fail(**fault)
    with pytest.raises(getattr(litellm, kind)) as caught:
        list(ask(stream=stream))
    error = caught.value
    assert type(error).__name__ == kind
    assert (error.status_code, error.llm_provider, error.model) == (status, "glmv", "glm-4.6v")
    assert isinstance(error.__cause__, glmv.GLMVError)
    if "code" in fault:
        assert error.provider_specific_fields["code"] == str(fault["code"])
    assert emu.api_key not in str(error)


async def test_a_refused_asynchronous_call_raises_the_matching_class_of_litellm(
    emu: Emulator, aask: Ask, litellm: Any
) -> None:
    emu.fail(code=1301, times=2)
    with pytest.raises(litellm.ContentPolicyViolationError):
        await aask()
    with pytest.raises(litellm.ContentPolicyViolationError):
        [chunk async for chunk in await aask(stream=True)]


def test_a_rate_limit_error_has_the_retry_after_of_the_platform(emu: Emulator, ask: Ask, litellm: Any) -> None:
    emu.fail(code=1302, retry_after=7)
    with pytest.raises(litellm.RateLimitError) as caught:
        ask()
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.provider_specific_fields["retry_after"] == 7


@pytest.mark.parametrize("fault", ["cut", "truncated"])
def test_the_error_of_a_broken_stream_has_the_text_so_far(emu: Emulator, ask: Ask, litellm: Any, fault: str) -> None:
    emu.inject(fault)
    emu.answer(lambda _: Reply("One two three four five six seven eight nine ten.", chunking=1))
    pieces: list[str] = []
    stream = ask(stream=True)
    with pytest.raises(litellm.exceptions.MidStreamFallbackError) as caught:
        pieces.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    error = caught.value.original_exception
    assert isinstance(error, litellm.APIConnectionError)
    assert "".join(pieces)
    assert error.provider_specific_fields["partial_text"].startswith("".join(pieces)[:3])


def test_a_withdrawn_stream_raises_content_policy_violation_error(emu: Emulator, ask: Ask, litellm: Any) -> None:
    emu.inject("withdrawn")
    emu.answer(lambda _: Reply("One two three four five six seven eight nine ten.", chunking=1))
    with pytest.raises(litellm.ContentPolicyViolationError) as caught:
        list(ask("Tell me much.", stream=True))
    assert caught.value.provider_specific_fields["partial_text"]


@pytest.mark.parametrize("options", [{"timeout": 0.2}, {"deadline": 0.2}])
def test_a_call_that_exceeds_its_timeout_or_deadline_raises_timeout(
    emu: Emulator, ask: Ask, litellm: Any, options: dict[str, Any]
) -> None:
    emu.stall()
    with pytest.raises(litellm.Timeout) as caught:
        ask(**options)
    assert caught.value.status_code == 408


def test_a_refused_connection_raises_litellms_api_connection_error(ask: Ask, litellm: Any) -> None:
    with pytest.raises(litellm.APIConnectionError, match="No connection"):
        ask(api_base="http://127.0.0.1:9/v1")


def test_an_unsupported_option_raises_litellms_unsupported_params_error(ask: Ask, emu: Emulator, litellm: Any) -> None:
    with pytest.raises(litellm.UnsupportedParamsError, match="frequency_penalty"):
        ask(frequency_penalty=0.5)
    assert ask(frequency_penalty=0.5, drop_params=True).choices[0].message.content
    with pytest.raises(litellm.BadRequestError, match="temprature"):
        ask(temprature=0.5)


def test_every_error_of_glmv_is_converted_to_a_class_of_litellm(litellm: Any) -> None:
    from glmv_litellm.errors import TABLE, as_litellm

    errors = [getattr(glmv, name) for name in glmv.__all__ if isinstance(getattr(glmv, name), type)]
    errors = [kind for kind in errors if issubclass(kind, glmv.GLMVError) and kind is not glmv.GLMVError]
    assert set(errors) <= set(TABLE)
    classes = tuple(litellm.exceptions.LITELLM_EXCEPTION_TYPES)
    for kind in errors:
        error = as_litellm(kind("It failed", status_code=503, code="1234"), "glm-4.6v")
        assert isinstance(error, classes), kind
        assert "It failed" in str(error)


def test_with_max_retries_2_a_busy_platform_is_asked_3_times(emu: Emulator, ask: Ask) -> None:
    emu.fail(code=1302, times=2, retry_after=0)
    answer = ask(max_retries=2)
    assert answer.choices[0].message.provider_specific_fields["attempts"] == 3


@pytest.mark.parametrize(("num_retries", "requests"), [(0, 1), (1, 2)])
def test_the_router_retries_num_retries_times_and_ignores_max_retries(
    emu: Emulator, litellm: Any, settings: dict[str, Any], num_retries: int, requests: int
) -> None:
    emu.fail(code=1302, times=9, retry_after=0)
    params = {**settings, "max_retries": 3}
    router = litellm.Router(model_list=[{"model_name": "seeing", "litellm_params": params}], num_retries=num_retries)
    with pytest.raises(litellm.RateLimitError):
        router.completion("seeing", [{"role": "user", "content": "Hello"}])
    assert len(emu.requests) == requests


PDF = "data:image/png;base64," + base64.b64encode(b"%PDF-1.7\n" + bytes(600)).decode()
MP4 = "data:image/png;base64," + base64.b64encode(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(600)).decode()


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("photo.png", "is never opened: send the content as a data: URI."),
        ("file:///a.png", "Send the content as a data: URI."),
        (MP4, "send it as video_url."),
        (PDF, "send it as a part of type file,"),
    ],
)
def test_advice_is_given_in_the_terms_of_litellms_messages(ask: Ask, litellm: Any, url: str, advice: str) -> None:
    content = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(litellm.BadRequestError) as caught:
        ask(content)
    assert advice in str(caught.value)
    assert "glmv." not in str(caught.value)


def test_the_repr_of_a_picture_from_a_tool_is_refused_with_advice_to_return_a_part(ask: Ask, litellm: Any) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    with pytest.raises(litellm.BadRequestError, match="return an image_url part with a data: URI") as caught:
        ask(
            messages=[
                {"role": "user", "content": "Look."},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "<PIL.Image.Image image mode=RGB size=3x4 at 0x7F>"},
            ]
        )
    assert "glmv." not in str(caught.value)
