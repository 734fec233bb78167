"""Objects of a streamed answer: what unfinished JSON says already, and whether an object extends the one before."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, HttpUrl

from glmv import grows, partial_object


class Ticket(BaseModel):
    """A ticket with texts and numbers."""

    seat: str = ""
    price: float = 0.0
    links: list[str] = []


class Strict(BaseModel):
    """A ticket whose price must be a number in JSON."""

    model_config = ConfigDict(strict=True)

    price: float


class Page(BaseModel):
    """A page with an address."""

    url: HttpUrl
    title: str = Field("", max_length=5)


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [
        ({"a": None}, {"a": [1], "b": 2}, True),
        ({"a": ["x", "y"]}, {"a": ["x", "yes", "z"]}, True),
        ({"a": [1], "b": ["x"]}, {"a": [1], "b": ["xy"]}, True),
        ({"a": 1}, {}, False),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": "Bank"}, {"a": "B"}, False),
        ({"a": 3}, {"a": 36}, False),
        ({"a": (1, "x")}, {"a": (1, "xy", 2)}, True),
        ({"a": ["x"]}, {"a": ("x", "y")}, True),
        ({"a": (1, 2)}, {"a": (2, 1)}, False),
        ({"a": {"u"}}, {"a": {"t", "u"}}, True),
        ({"a": frozenset({"u"})}, {"a": {"t"}}, False),
        ({"a": {"u"}}, {"a": {"u"}}, True),
    ],
)
def test_grows_is_true_if_data_was_extended_and_not_changed(before: object, after: object, grown: bool) -> None:
    assert grows(before, after) is grown


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [
        (Ticket(seat="4"), Ticket(seat="4B", price=9), True),
        (Ticket(seat="4"), {"seat": "4B"}, True),
        ({"seat": "4"}, Ticket(seat="4B"), True),
        ({"seat": "4", "price": 0.0}, Ticket(seat="4B"), False),
        (Ticket(price=4), Ticket(price=49), False),
        (Ticket(seat="4", price=9), Ticket(seat="4"), False),
        ({"tickets": [Ticket(seat="4")]}, {"tickets": [Ticket(seat="4B"), Ticket()]}, True),
    ],
)
def test_grows_compares_only_the_fields_of_a_pydantic_object_that_are_set(
    before: object, after: object, grown: bool
) -> None:
    assert grows(before, after) is grown


def test_data_with_nan_counts_as_extended_only_if_nan_stays_nan() -> None:
    nan = float("nan")
    assert grows({"total": nan}, {"total": float("nan"), "note": ""})
    assert not grows({"total": nan}, {"total": 1.0})
    assert not grows({"total": 1.0}, {"total": nan})


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("{", {}),
        ('{"seat": "4', {"seat": "4"}),
        ('{"seat": "4", "price": 9', {"seat": "4", "price": 9.0}),
        ('{"seat": "4", "price": 9,', {"seat": "4", "price": 9.0}),
        ('{"links": ["a", "b', {"links": ["a", "b"]}),
        ('{"seat": "4", "price": 9}', {"seat": "4", "price": 9.0}),
        ('{"seat": "row 7', {"seat": "row 7"}),
    ],
)
def test_partial_object_has_the_fields_that_the_unfinished_json_has(text: str, fields: dict[str, Any]) -> None:
    found, value = partial_object(text, Ticket)
    assert found is not None
    assert found.model_dump(exclude_unset=True) == value == fields


@pytest.mark.parametrize("text", ["", "no", '{"seat": 4', '{"seat": 4, "price": 1', '{"price": "1', '{"seat": "\\u00e'])
def test_partial_object_is_none_if_the_class_refuses_the_json_or_a_string_may_change(text: str) -> None:
    assert partial_object(text, Ticket)[0] is None


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Strict, '{"price": "9.5"'),
        (Page, '{"url": "https://a.example/on'),
        (Page, '{"url": "https://a.example/one", "title": "abcde'),
    ],
)
def test_partial_object_is_none_for_a_value_that_the_class_would_refuse_or_change(
    model: type[BaseModel], text: str
) -> None:
    assert partial_object(text, model)[0] is None


def test_partial_object_of_finished_json_is_the_object_of_the_class() -> None:
    value = {"url": "https://a.example/one", "title": "abcde"}
    assert partial_object(json.dumps(value), Page) == (Page.model_validate(value), value)


def test_partial_object_accepts_nan_which_is_unequal_to_itself() -> None:
    found, _ = partial_object('{"seat": "4", "price": NaN}', Ticket)
    assert found is not None
    assert found.price != found.price


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"price": 9, "seat": "4', Ticket(price=9)),
        ('{"price": 9, "seat": "4"', Ticket(price=9, seat="4")),
    ],
)
def test_partial_object_leaves_out_a_string_at_the_end_if_strings_is_false(text: str, found: Ticket) -> None:
    assert partial_object(text, Ticket, strings=False)[0] == found


def test_partial_object_of_a_text_that_is_not_json_has_no_value() -> None:
    assert partial_object("The price is", Ticket) == (None, None)


@pytest.mark.parametrize("text", ['{"seat": "12\\u', '{"seat": "12\\u00', '{"seat": "12\\u003', '{"seat": "12\\'])
def test_partial_object_is_none_if_the_text_ends_inside_an_escape(text: str) -> None:
    assert partial_object(text, Ticket)[0] is None


@pytest.mark.parametrize("note", ["C:\\u12", "\\\\under", "\\u"])
def test_partial_object_has_a_string_with_a_backslash_and_a_u_that_are_not_an_escape(note: str) -> None:
    text = f'{{"seat": {json.dumps(note)[:-1]}'
    assert partial_object(text, Ticket)[0] == Ticket(seat=note)
