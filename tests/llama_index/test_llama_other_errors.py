"""Errors of servers other than the platform, through GLMV: the table of `tests/support/other_errors.py`."""

from __future__ import annotations

from typing import Any

import pytest

import glmv
from llama_index_glmv import GLMV
from tests.support.other_errors import REFUSALS, Refusing, check, options
from tests.support.other_servers import OtherServer

pytestmark = pytest.mark.usefixtures("retries_at_once")


@pytest.mark.parametrize("name", REFUSALS)
async def test_each_error_response_of_other_servers_raises_the_class_of_its_table_row(name: str) -> None:
    refusal = REFUSALS[name]
    for stream in (False, True):
        transport = Refusing(refusal)
        llm = GLMV(**options(transport))
        with pytest.raises(glmv.GLMVError) as caught:
            _ = list(llm.stream_complete("hi")) if stream else llm.complete("hi")
        check(caught.value, refusal, transport)
    transport = Refusing(refusal)
    with pytest.raises(glmv.GLMVError) as caught:
        await GLMV(**options(transport)).acomplete("hi")
    check(caught.value, refusal, transport)


@pytest.mark.parametrize("model", ["glm-4.6v", "zai-org/GLM-4.6V", "unknown"])
@pytest.mark.parametrize("dialect", ["openai", "litellm", "openrouter", "vllm", "llama.cpp", "transformers"])
def test_other_servers_get_the_request_id_as_a_header_and_not_in_the_body(dialect: Any, model: str) -> None:
    server = OtherServer()
    GLMV(**server.options(dialect=dialect, model=model), request_id="my-own-id").complete("hi")
    assert server.headers[-1].get_list("x-request-id") == ["my-own-id"]
    assert "request_id" not in server.body
