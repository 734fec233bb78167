"""`embed` returns vectors of texts; `count_tokens` returns the count of the platform."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

import glmv


def vectors(request: httpx.Request) -> dict[str, Any]:
    """One vector per text, in reverse order; its first number is the length of the text."""
    body = json.loads(request.content)
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    rows = [{"object": "embedding", "index": n, "embedding": [len(text), 0.5]} for n, text in enumerate(texts)]
    usage = {"prompt_tokens": len(texts), "completion_tokens": 0, "total_tokens": len(texts)}
    return {"object": "list", "model": body["model"], "data": rows[::-1], "usage": usage}


def test_each_text_gets_its_vector_in_the_order_of_the_texts(wire: Any) -> None:
    answer = wire(vectors).client().embed(["a", "bb", "ccc"])
    assert answer.vectors == [[1.0, 0.5], [2.0, 0.5], [3.0, 0.5]]
    assert answer.model == "embedding-3"
    assert answer.usage == glmv.Usage(3, 0, 3)


def test_a_single_text_can_be_given_as_a_string(wire: Any) -> None:
    platform = wire(vectors)
    assert platform.client().embed("four").vectors == [[4.0, 0.5]]
    assert platform.bodies == [{"model": "embedding-3", "input": "four"}]


def test_embedding_more_than_64_texts_sends_several_requests(wire: Any) -> None:
    platform = wire(vectors)
    texts = ["x" * (n + 1) for n in range(130)]
    answer = platform.client().embed(texts)
    assert [vector[0] for vector in answer.vectors] == [n + 1 for n in range(130)]
    assert [len(body["input"]) for body in platform.bodies] == [64, 64, 2]
    assert answer.usage.prompt_tokens == 130


def test_embedding_an_empty_list_sends_no_request(wire: Any) -> None:
    platform = wire(vectors)
    assert platform.client().embed([]).vectors == []
    assert platform.requests == []


@pytest.mark.parametrize("dimensions", [256, 512, 1024, 2048])
def test_documented_dimensions_are_sent(wire: Any, dimensions: int) -> None:
    platform = wire(vectors)
    platform.client().embed("x", dimensions=dimensions)
    assert platform.bodies[0]["dimensions"] == dimensions


@pytest.mark.parametrize(("model", "dimensions"), [("embedding-3", 100), ("Embedding-3", 4096), ("embedding-2", 256)])
def test_dimensions_that_are_not_documented_are_refused_before_sending(wire: Any, model: str, dimensions: int) -> None:
    platform = wire(vectors)
    with pytest.raises(glmv.LimitExceeded, match=f"dimensions={dimensions}"):
        platform.client().embed("x", model=model, dimensions=dimensions)
    assert platform.requests == []


def test_dimensions_1024_are_accepted_for_the_model_embedding_2_and_not_sent(wire: Any) -> None:
    platform = wire(vectors)
    platform.client().embed("x", model="embedding-2", dimensions=1024)
    assert platform.bodies == [{"model": "embedding-2", "input": "x"}]


def test_any_dimensions_are_sent_for_an_unknown_model(wire: Any) -> None:
    platform = wire(vectors)
    platform.client().embed("x", model="embedding-9", dimensions=7)
    assert platform.bodies[0]["dimensions"] == 7


@pytest.mark.parametrize("texts", [["a", ""], ["a", None], [b"a"]])
def test_the_error_of_an_invalid_text_names_its_index_in_the_list(wire: Any, texts: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=rf"texts\[{len(texts) - 1}\]"):
        wire(vectors).client().embed(texts)


@pytest.mark.parametrize(
    "data",
    [None, [], [{"embedding": [1]}], [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}], [1, 2],
     [{"embedding": None}, {"embedding": ["x"]}]],
)  # fmt: skip
def test_an_answer_with_missing_vectors_raises_a_glmv_error(wire: Any, data: Any) -> None:
    with pytest.raises(glmv.MalformedResponse, match="2 texts"):
        wire(lambda _: {"data": data, "model": "m"}).client().embed(["a", "b"])


def test_embed_raises_the_error_class_that_chat_raises_for_the_same_code(wire: Any) -> None:
    busy = httpx.Response(429, json={"error": {"code": "1113", "message": "no balance"}})
    with pytest.raises(glmv.QuotaError):
        wire(lambda _: busy).client().embed("a")


async def test_the_async_client_embeds_texts_and_counts_tokens(wire: Any) -> None:
    async with wire(vectors).async_client() as glm:
        assert (await glm.embed(["a", "bb"])).vectors == [[1.0, 0.5], [2.0, 0.5]]
    async with wire(lambda _: {"usage": {"prompt_tokens": 3}}).async_client() as glm:
        assert await glm.count_tokens("hi") == 3


def test_the_platform_counts_the_tokens_of_text_and_pictures_and_tools(wire: Any) -> None:
    platform = wire(lambda _: {"id": "1", "usage": {"prompt_tokens": 42, "image_tokens": 30, "total_tokens": 43}})
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}
    picture = glmv.Image.from_url("https://example.com/a.png")
    glm = platform.client(temperature=0.5)
    assert glm.count_tokens(["What?", picture], tools=[tool]) == 42
    assert platform.lines == ["POST /tokenizer"]
    assert set(platform.bodies[0]) == {"model", "messages", "tools"}


@pytest.mark.parametrize("body", [{"usage": {"total_tokens": 9}}, {"tokens": 9}, {"usage": None, "tokens": 9}])
def test_count_tokens_returns_the_count_in_usage_or_in_the_field_tokens(wire: Any, body: Any) -> None:
    assert wire(lambda _: body).client().count_tokens("hi", model="glm-4.5") == 9


def test_count_tokens_raises_a_glmv_error_if_the_answer_has_no_count(wire: Any) -> None:
    with pytest.raises(glmv.MalformedResponse, match="count"):
        wire(lambda _: {"usage": {"prompt_tokens": None}}).client().count_tokens("hi")


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "-Infinity"])
def test_a_vector_with_a_number_that_is_not_finite_raises_malformed_response(wire: Any, bad: str) -> None:
    rows = [{"index": 0, "embedding": [0.5, 0.5]}, {"index": 1, "embedding": [0.5, float(bad)]}]
    answer = httpx.Response(200, content=json.dumps({"data": rows}), headers={"content-type": "application/json"})
    with pytest.raises(glmv.MalformedResponse, match="NaN or an infinite number"):
        wire(lambda _: answer).client().embed(["a", "b"])


@pytest.mark.parametrize(
    ("both", "lengths"), [([[], []], "0"), ([[0.5], []], "0, 1"), ([[0.5], [0.5, 0.5]], "1, 2")], ids=str
)
def test_vectors_of_different_lengths_or_without_numbers_raise_malformed_response(
    wire: Any, both: list[list[float]], lengths: str
) -> None:
    rows = [{"index": index, "embedding": vector} for index, vector in enumerate(both)]
    with pytest.raises(glmv.MalformedResponse, match=rf"lengths: {lengths}\.$"):
        wire(lambda _: {"data": rows}).client().embed(["a", "b"])
