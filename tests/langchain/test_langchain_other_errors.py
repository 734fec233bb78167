"""Errors of servers other than the platform, through ChatGLMV: the table of `tests/support/other_errors.py`."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.exceptions import ContextOverflowError, LangChainException

import glmv
from langchain_glmv import ChatGLMV
from tests.support.other_errors import REFUSALS, Refusing, check, options
from tests.support.other_servers import OtherServer

pytestmark = pytest.mark.usefixtures("retries_at_once")


@pytest.mark.parametrize("name", REFUSALS)
async def test_each_error_response_of_other_servers_raises_the_class_in_the_table(name: str) -> None:
    refusal = REFUSALS[name]
    for stream in (False, True):
        transport = Refusing(refusal)
        model = ChatGLMV(**options(transport))
        with pytest.raises(glmv.GLMVError) as caught:
            _ = list(model.stream("hi")) if stream else model.invoke("hi")
        check(caught.value, refusal, transport)
        assert isinstance(caught.value, LangChainException)
        assert isinstance(caught.value, ContextOverflowError) is (refusal.kind is glmv.ContextLengthError)
    transport = Refusing(refusal)
    with pytest.raises(glmv.GLMVError) as caught:
        await ChatGLMV(**options(transport)).ainvoke("hi")
    check(caught.value, refusal, transport)


@pytest.mark.parametrize("model", ["glm-4.6v", "zai-org/GLM-4.6V", "unknown"])
@pytest.mark.parametrize("dialect", ["openai", "litellm", "openrouter", "vllm", "llama.cpp", "transformers"])
def test_other_servers_get_the_request_id_as_a_header_and_not_in_the_body(dialect: Any, model: str) -> None:
    server = OtherServer()
    ChatGLMV(**server.options(dialect=dialect, model=model), request_id="my-own-id").invoke("hi")
    assert server.headers[-1].get_list("x-request-id") == ["my-own-id"]
    assert "request_id" not in server.body
