"""A function as `api_key` of a job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import glmv
from glmv_batch import Job
from tests.support.fake_server import WHOLE, Server
from tests.support.keys import Vault, keys_at


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server().plays(lambda peer: peer.say(WHOLE))
    yield running
    running.stop()


URLS = [f"https://example.com/{number}.png" for number in range(3)]


@pytest.mark.parametrize("name", ["key", "akey"])
def test_each_call_to_the_server_gets_its_key_from_the_api_key_function(server: Server, name: str) -> None:
    vault = Vault()
    job = Job(URLS, "What is it?", model="glm-4.6v", api_key=getattr(vault, name), base_url=server.base_url)
    assert vault.asked == 0
    assert [row.text for row in job.rows()] == ["hello"] * 3
    assert set(keys_at(server)) == {f"id-{number}.secret-number-{number}" for number in (1, 2, 3)}


def test_an_api_key_function_that_raises_ends_the_job_before_any_request(server: Server) -> None:
    def sealed() -> str:
        raise OSError("the vault is sealed")

    job = Job(URLS, "What is it?", model="glm-4.6v", api_key=sealed, base_url=server.base_url)
    with pytest.raises(glmv.AuthenticationError, match="the vault is sealed"):
        list(job.rows())
    assert server.requests == []


def test_an_api_key_of_a_wrong_type_is_refused(server: Server) -> None:
    wrong: Any = 5
    with pytest.raises(glmv.InvalidRequestError, match="a str, a SecretStr or a function; got int"):
        Job(URLS, "What is it?", api_key=wrong)
