"""Errors of servers other than the platform, through both clients: the table of `tests/support/other_errors.py`."""

from __future__ import annotations

import pytest

import glmv
from tests.support.other_errors import REFUSALS, Refusing, check, options

pytestmark = pytest.mark.usefixtures("retries_at_once")


@pytest.mark.parametrize("name", REFUSALS)
async def test_each_error_response_of_other_servers_becomes_the_exception_in_the_table(name: str) -> None:
    refusal = REFUSALS[name]
    transport = Refusing(refusal)
    with pytest.raises(glmv.GLMVError) as caught:
        glmv.Client(**options(transport)).chat("hi")
    check(caught.value, refusal, transport)
    transport = Refusing(refusal)
    with pytest.raises(glmv.GLMVError) as caught:
        list(glmv.Client(**options(transport)).stream("hi"))
    check(caught.value, refusal, transport)
    transport = Refusing(refusal)
    with pytest.raises(glmv.GLMVError) as caught:
        await glmv.AsyncClient(**options(transport)).chat("hi")
    check(caught.value, refusal, transport)
