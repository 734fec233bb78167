"""OpenAI's client uses an emulator whose answers come from another server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glmv_emulator import Emulator

Run = Callable[..., Any]


@pytest.mark.parametrize("base", ["platform", "v1"])
def test_openai_client_gets_the_answer_of_an_upstream_model(
    run: Run, glmv_emulator: Any, chart: Path, base: str
) -> None:
    # The other emulator replaces any OpenAI-compatible server.
    with Emulator(upstream=glmv_emulator.proxy_url, upstream_model="glm-4.6v", upstream_key="sk-any") as front:
        url = front.base_url if base == "platform" else front.proxy_url
        got = run(
            "openai", "openai_chat.py", GLM_BASE=url, GLM_KEY=front.api_key, MODEL="glm-4v-flash", URL=front.host(chart)
        )
    assert got["text"] == got["streamed"] != ""
    assert got["finish"] == ["stop"]
    assert got["usage"][0] == got["usage"][1] > 0
    assert len(glmv_emulator.requests) == 2
    assert {exchange.model for exchange in glmv_emulator.requests} == {"glm-4.6v"}
    assert all(exchange.media[0] is not None for exchange in glmv_emulator.requests)
