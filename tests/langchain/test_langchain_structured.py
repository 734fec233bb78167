"""Structured output from pictures, by three methods and for every kind of schema."""

from __future__ import annotations

import datetime as dt
import json
import pickle
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.exceptions import LangChainException, OutputParserException
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field, HttpUrl, field_validator

import glmv
from glmv_emulator import Ask, Emulator, Reply, ToolCall
from langchain_glmv import ChatGLMV, image
from langchain_glmv.growing import GrowingJson
from tests.support.streamed_objects import DIALECTS, TEXTS, Reading

Models = Callable[..., tuple[ChatGLMV, list[Ask]]]


class Picture(BaseModel):
    """Content of a picture."""

    colour: str = Field(description="the main colour")
    width: int = Field(ge=1, description="pixels across")


class PictureDict(TypedDict):
    """Content of a picture."""

    colour: str
    width: int


class Odd(BaseModel):
    """An odd number."""

    number: int

    @field_validator("number")
    @classmethod
    def odd(cls, number: int) -> int:
        if number % 2 == 0:
            raise ValueError("the number must be odd")
        return number


GOOD = {"colour": "red", "width": 64}
BARE = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
SCHEMAS = [Picture, PictureDict, Picture.model_json_schema()]


@pytest.fixture
def new_model() -> Iterator[Models]:
    """A function that makes a model with scripted answers, and returns it with a list of its requests."""
    running: list[Emulator] = []

    def make(*replies: str | Reply, **options: Any) -> tuple[ChatGLMV, list[Ask]]:
        requests: list[Ask] = []

        def answers(ask: Ask) -> Reply:
            requests.append(ask)
            reply = replies[min(len(requests), len(replies)) - 1]
            return reply if isinstance(reply, Reply) else Reply(reply)

        running.append(Emulator().start())
        running[-1].answer(answers)
        emulator = running[-1]
        options = {"model": "glm-4.6v", **options}
        return ChatGLMV(base_url=emulator.base_url, api_key=emulator.api_key, **options), requests

    yield make
    for emulator in running:
        emulator.stop()


def call(name: str, **arguments: Any) -> Reply:
    return Reply(tool_calls=[ToolCall(name, arguments)])


def as_dict(result: Any) -> Any:
    return result.model_dump() if isinstance(result, BaseModel) else result


@pytest.mark.parametrize("schema", SCHEMAS, ids=["pydantic", "typeddict", "json_schema"])
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_every_method_returns_objects_of_pydantic_and_typeddict_and_json_schemas(
    new_model: Models, schema: Any, method: Any
) -> None:
    name = "Picture" if schema is not PictureDict else "PictureDict"
    result = call(name, **GOOD) if method == "function_calling" else json.dumps(GOOD)
    model, _ = new_model(result)
    structured = model.with_structured_output(schema, method=method)
    chunks = [
        structured.invoke("What?"),
        await structured.ainvoke("What?"),
        list(structured.stream("What?"))[-1],
        [part async for part in structured.astream("What?")][-1],
    ]
    for one in chunks:
        assert isinstance(one, Picture if schema is Picture else dict)
        assert as_dict(one) == GOOD


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_pydantic_v1_class_is_filled_if_langchain_core_supports_it(new_model: Models) -> None:
    from pydantic.v1 import BaseModel as BaseModelV1

    class Old(BaseModelV1):
        """Content of a picture."""

        colour: str

    result = new_model('{"colour": "red"}')[0].with_structured_output(Old).invoke("What?")  # type: ignore[arg-type]  # v1 is not in the annotation of core either
    assert isinstance(result, Old)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_an_object_of_a_pydantic_v1_class_is_validated_by_that_class(new_model: Models, method: Any) -> None:
    from pydantic.v1 import BaseModel as BaseModelV1
    from pydantic.v1 import validator

    class Page(BaseModelV1):
        """A page."""

        number: int

        @validator("number", allow_reuse=True)
        def even(cls, number: int) -> int:  # noqa: N805  # as classes of version 1 have it
            if number % 2:
                raise ValueError("the number must be even")
            return number

    replies = [
        call("Page", number=one) if method == "function_calling" else json.dumps({"number": one}) for one in "78"
    ]
    model, requests = new_model(*replies)
    page: Any = model.with_structured_output(Page, method=method).invoke("?")  # type: ignore[arg-type]  # v1, as above
    assert page.number == 8
    assert "must be even" in str(requests[1])


@pytest.mark.parametrize(
    "template", ["```json\n{}\n```", "Sure:\n{}\nAnything else?", "<|begin_of_box|>{}<|end_of_box|>"]
)
def test_json_is_found_between_sentences_and_in_code_fences_and_in_box_marks(new_model: Models, template: str) -> None:
    model, _ = new_model(template.replace("{}", json.dumps(GOOD)))
    assert model.with_structured_output(Picture).invoke("What?") == Picture(**GOOD)


def test_a_structured_stream_yields_partial_objects_and_then_the_whole_object(new_model: Models) -> None:
    parts = list(new_model(json.dumps(GOOD))[0].with_structured_output(PictureDict).stream("What?"))
    assert parts[-1] == GOOD
    assert len(parts) > 1


def test_an_answer_that_does_not_fit_the_schema_is_repaired_by_a_second_request(new_model: Models) -> None:
    model, requests = new_model('{"colour": "red", "width": 0}', json.dumps(GOOD))
    assert model.with_structured_output(Picture).invoke("What?") == Picture(**GOOD)
    assert len(requests) == 2


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_a_streamed_object_that_does_not_fit_the_schema_is_followed_by_its_repair(
    new_model: Models, method: Any
) -> None:
    wrong = {"colour": "red", "width": 0}
    results = [call("PictureDict", **one) if method == "function_calling" else json.dumps(one) for one in (wrong, GOOD)]
    schema = {**Picture.model_json_schema(), "title": "PictureDict"}
    for asynchronously in (False, True):
        model, requests = new_model(*results)
        structured = ChatPromptTemplate.from_messages(["{question}"]) | model.with_structured_output(
            schema, method=method
        )
        question = {"question": "What?"}
        parts = (
            [part async for part in structured.astream(question)] if asynchronously else [*structured.stream(question)]
        )
        assert (parts[-1], wrong in parts) == (GOOD, True)
        assert len(requests) == 2
        assert "width" in str(requests[1])


def test_a_streamed_object_raises_if_its_repair_does_not_fit_the_schema(new_model: Models) -> None:
    model, requests = new_model('{"colour": "red", "width": 0}')
    with pytest.raises(OutputParserException) as refusal:
        list(model.with_structured_output(Picture).stream("What?"))
    assert isinstance(refusal.value, glmv.MalformedResponse)
    assert len(requests) == 2


def test_a_streamed_object_and_its_repair_are_one_run_in_the_trace(new_model: Models) -> None:
    from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

    model, _ = new_model('{"colour": "red", "width": 0}', json.dumps(GOOD))
    collector = RunCollectorCallbackHandler()
    list(model.with_structured_output(Picture).stream("What?", {"callbacks": [collector]}))
    (root,) = collector.traced_runs
    assert [(run.run_type, run.error) for run in root.child_runs] == [("llm", None), ("parser", None)]
    assert root.outputs == {"output": Picture(**GOOD)}
    [[generation]] = root.child_runs[0].outputs["generations"]
    assert json.loads(generation["text"]) == GOOD
    assert generation["message"]["id"][-1] == "AIMessageChunk"
    assert root.child_runs[0].outputs["generations"][0][0]["message"]["kwargs"]["response_metadata"]["attempts"] == 2


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_invoke_repairs_an_answer_of_a_model_with_streaming_true(new_model: Models, method: Any) -> None:
    wrong = {"colour": "red", "width": 0}
    results = [call("Picture", **one) if method == "function_calling" else json.dumps(one) for one in (wrong, GOOD)]
    model, requests = new_model(*results, streaming=True)
    assert model.with_structured_output(Picture, method=method).invoke("What?") == Picture(**GOOD)
    assert len(requests) == 2


def test_the_merged_chunks_of_a_restarted_stream_are_an_ai_message_chunk(new_model: Models) -> None:
    from langchain_core.messages import AIMessageChunk

    schema = {"title": "Picture", **Picture.model_json_schema()}
    wanted = {"type": "json_schema", "json_schema": {"name": "Picture", "schema": schema}}
    asking: dict[str, Any] = {"response_format": wanted, "may_replace": True}
    model, _ = new_model('{"colour": "red", "width": 0}', json.dumps(GOOD))
    first, *rest = model.stream("What?", **asking)
    assert type(first.__add__(rest)) is AIMessageChunk
    assert dumpd(first)["id"][-1] == "AIMessageChunk"
    model, _ = new_model('{"colour": "red", "width": 0}', json.dumps(GOOD), streaming=True)
    answer = model.invoke("What?", **asking)
    assert type(answer) is AIMessage
    assert json.loads(answer.text) == GOOD
    assert answer.usage_metadata is not None


def test_the_repair_request_contains_the_error_of_the_pydantic_validator(new_model: Models) -> None:
    model, requests = new_model('{"number": 2}', '{"number": 3}')
    assert model.with_structured_output(Odd).invoke("What?") == Odd(number=3)
    assert "the number must be odd" in str(requests[1])


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_an_answer_without_json_or_tool_call_raises_output_parser_exception(new_model: Models, method: Any) -> None:
    structured = new_model("I would rather not.")[0].with_structured_output(Picture, method=method)
    with pytest.raises(OutputParserException) as refusal:
        structured.invoke("What?")
    assert isinstance(refusal.value, glmv.MalformedResponse)
    with pytest.raises(OutputParserException):
        list(structured.stream("What?"))


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_with_include_raw_the_message_and_the_parsed_object_are_returned(new_model: Models, method: Any) -> None:
    result = call("Picture", **GOOD) if method == "function_calling" else json.dumps(GOOD)
    structured = new_model(result)[0].with_structured_output(Picture, method=method, include_raw=True)
    for found in (structured.invoke("What?"), await structured.ainvoke("What?")):
        assert isinstance(found, dict)
        assert isinstance(found["raw"], AIMessage)
        assert (found["parsed"], found["parsing_error"]) == (Picture(**GOOD), None)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_with_include_raw_an_answer_that_does_not_fit_the_schema_does_not_raise(
    new_model: Models, method: Any
) -> None:
    structured = new_model("I would rather not.")[0].with_structured_output(Picture, method=method, include_raw=True)
    streamed = list(structured.stream("What?"))
    for result in (structured.invoke("What?"), await structured.ainvoke("What?"), streamed[-1]):
        assert isinstance(result, dict)
        assert result["parsed"] is None
        assert isinstance(result["parsing_error"], OutputParserException)
    assert structured.invoke("What?")["raw"].text == "I would rather not."  # type: ignore[index]  # a dict


def test_an_answer_and_its_repair_are_one_run_in_the_trace(new_model: Models) -> None:
    from langchain_core.callbacks import BaseCallbackHandler

    class Starts(BaseCallbackHandler):
        options: list[Any]

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            self.options.append(kwargs["options"])

    handler = Starts()
    handler.options = []
    model, requests = new_model("no", json.dumps(GOOD))
    model.with_structured_output(Picture, strict=True).invoke("What?", {"callbacks": [handler]})
    assert len(requests) == 2
    [options] = handler.options
    assert options["ls_structured_output_format"]["kwargs"] == {"method": "json_schema", "strict": True}
    assert options["ls_structured_output_format"]["schema"]["title"] == "Picture"


def test_a_repaired_answer_has_two_attempts_and_a_note(new_model: Models) -> None:
    model, _ = new_model("no", json.dumps(GOOD))
    raw = model.with_structured_output(Picture, include_raw=True).invoke("What?")["raw"]  # type: ignore[index]  # a dict
    assert raw.response_metadata["attempts"] == 2
    assert any("second time" in note for note in raw.response_metadata["notes"])


@pytest.mark.parametrize(
    "wrong",
    [{"method": "telepathy"}, {"temprature": 1}, {"schema": None}, {"schema": None, "method": "function_calling"}],
)
def test_the_method_with_structured_output_refuses_invalid_arguments_at_once(
    new_model: Models, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"temprature|telepathy|schema") as refusal:
        new_model("x")[0].with_structured_output(**{"schema": Picture, **wrong})
    assert isinstance(refusal.value, LangChainException) == ("temprature" in wrong)


def test_json_mode_without_a_schema_returns_the_object_of_the_answer(new_model: Models) -> None:
    assert new_model('{"a": [1]}')[0].with_structured_output(method="json_mode").invoke("JSON please") == {"a": [1]}


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize(
    "wrapped",
    [
        BARE,
        {"properties": BARE["properties"]},
        {"name": "Paint", "schema": BARE, "strict": True},
        {"type": "json_schema", "json_schema": {"name": "Paint", "schema": BARE}},
        {"name": "Paint", "description": "Some paint.", "parameters": BARE},
        {"type": "function", "function": {"name": "Paint", "description": "Some paint.", "parameters": BARE}},
    ],
    ids=["without a title", "properties only", "inner part", "response_format", "function", "tool"],
)
def test_a_json_schema_is_accepted_bare_or_inside_a_response_format_or_tool(
    model: ChatGLMV, wrapped: dict[str, Any], method: Any, blue: str
) -> None:
    question = [HumanMessage(["Describe it.", {"type": "image", "base64": blue, "mime_type": "image/png"}])]
    assert model.with_structured_output(wrapped, method=method).invoke(question) == {"colour": "blue"}


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_a_structured_model_can_be_pickled(method: Any) -> None:
    structured = ChatGLMV(model="glm-4.6v").with_structured_output(Picture, method=method)
    assert repr(pickle.loads(pickle.dumps(structured))) == repr(structured)


def test_an_object_is_filled_with_the_colour_and_width_of_a_picture(model: ChatGLMV, blue: str) -> None:
    answer = model.with_structured_output(Picture).invoke(
        [HumanMessage(["Describe the picture.", {"type": "image", "base64": blue, "mime_type": "image/png"}])]
    )
    assert isinstance(answer, Picture)
    assert (answer.colour, answer.width) == ("blue", 64)


@pytest.mark.parametrize("nature", [{"stubborn": True}, {"seed": 1}, {"seed": 2}, {"seed": 3}])
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_an_object_is_read_whatever_text_the_emulator_puts_around_its_json(nature: Any, method: Any, blue: str) -> None:
    with Emulator(**nature) as emulator:
        model = ChatGLMV(model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key)
        question = [
            HumanMessage(["Describe the picture.", {"type": "image", "base64": blue, "mime_type": "image/png"}])
        ]
        structured = model.with_structured_output(Picture, method=method)
        assert structured.invoke(question) == Picture(colour="blue", width=64)
        assert list(structured.stream(question))[-1] == Picture(colour="blue", width=64)


def test_a_structured_model_with_tools_can_call_a_tool_and_return_no_object(new_model: Models) -> None:
    tool = {"title": "look", "description": "Look again.", "type": "object", "properties": {}}
    answering, _ = new_model(json.dumps(GOOD))
    calling, _ = new_model(call("look"))
    for include_raw in (False, True):
        answer = answering.with_structured_output(Picture, tools=[tool], include_raw=include_raw).invoke("What?")
        assert (answer["parsed"] if isinstance(answer, dict) else answer) == Picture(**GOOD)
    raw = calling.with_structured_output(Picture, tools=[tool], include_raw=True)
    for one in (raw.invoke("What?"), dict(pair for part in raw.stream("What?") for pair in part.items())):
        assert isinstance(one, dict)
        assert (one["parsed"], one["parsing_error"]) == (None, None)
        assert [made["name"] for made in one["raw"].tool_calls] == ["look"]
    assert calling.with_structured_output(Picture, tools=[tool]).invoke("What?") is None


def test_a_class_as_response_format_validates_the_answer_with_its_validators(new_model: Models) -> None:
    model, requests = new_model('{"number": 2}')
    with pytest.raises(glmv.MalformedResponse, match="the number must be odd"):
        model.invoke("What?", response_format=Odd)
    assert len(requests) == 2


def test_response_format_accepts_a_bare_json_schema(new_model: Models) -> None:
    answer = new_model(json.dumps(GOOD))[0].invoke("What?", response_format=Picture.model_json_schema())
    assert json.loads(answer.text) == GOOD


def test_bind_accepts_a_class_as_response_format(new_model: Models) -> None:
    answer = new_model(json.dumps(GOOD))[0].bind(response_format=Picture).invoke("What?")
    assert Picture.model_validate_json(answer.text) == Picture(**GOOD)


def test_structured_output_accepts_a_block_made_by_the_function_image(model: ChatGLMV, tmp_path: Any) -> None:
    from PIL import Image as Pillow

    answer = model.with_structured_output(Picture).invoke(
        [HumanMessage(["Describe.", image(Pillow.new("RGB", (80, 60), "green"))])]
    )
    assert isinstance(answer, Picture)
    assert answer.width == 80


MET = {
    "a draft": 'First {"colour": "blue", "width": 1}. No, {}',
    "a fence behind an example": '```json\n{"colour": "?", "width": 1}\n```\nso\n```json\n{}\n```',
    "the schema": json.dumps(Picture.model_json_schema()) + "\n{}",
    "a reference and a box": "Picture [2] at [10, 20, 30, 50]: {}",
    "a thought": 'It may be {"colour": "blue", "width": 1}.</think>{}',
    "a list of one": "[{}]",
    "the name of the class": '{"Picture": {}}',
    "a trailing comma": None,
    "full-width punctuation": None,
    "a string": None,
}
SPELLED = {
    "a trailing comma": '{"colour": "red", "width": 64,}',
    "full-width punctuation": '｛"colour"：“red”，"width"：64｝',
    "a string": json.dumps(json.dumps(GOOD)),
}


def met(kind: str) -> str:
    head, _, tail = (MET[kind] or "").rpartition("{}")
    return SPELLED.get(kind) or head + json.dumps(GOOD) + tail


@pytest.mark.parametrize("kind", MET)
@pytest.mark.parametrize("schema", SCHEMAS, ids=["pydantic", "typeddict", "json_schema"])
async def test_invoke_and_stream_and_their_async_forms_return_the_object_with_one_request(
    new_model: Models, schema: Any, kind: str
) -> None:
    name = "PictureDict" if schema is PictureDict else "Picture"
    model, requests = new_model(met(kind).replace('{"Picture"', f'{{"{name}"'))
    structured = model.with_structured_output(schema)
    chunks = [
        structured.invoke("What?"),
        await structured.ainvoke("What?"),
        list(structured.stream("What?"))[-1],
        [part async for part in structured.astream("What?")][-1],
    ]
    assert [as_dict(one) for one in chunks] == [GOOD] * 4
    raw: Any = model.with_structured_output(schema, include_raw=True).invoke("What?")
    assert (as_dict(raw["parsed"]), raw["parsing_error"]) == (GOOD, None)
    assert len(requests) == 5


class Pages(BaseModel):
    """Facts about a book; every field is optional."""

    count: int | None = None
    titles: list[str] = []
    note: str | None = None


def grows(objects: list[Any]) -> bool:
    def more(before: Any, after: Any) -> bool:
        match before, after:
            case dict(), dict():
                return all(key in after and more(value, after[key]) for key, value in before.items())
            case list(), list():
                return len(before) <= len(after) and all(map(more, before, after))
            case str(), str():
                return after.startswith(before)
            case None, _:
                return True
            case _:
                return bool(before == after)

    plain = list(map(as_dict, objects))
    return all(map(more, plain, plain[1:]))


@pytest.mark.parametrize(
    ("schema", "number"), [(Pages, "1250"), (Pages, '"1250"'), (Pages.model_json_schema(), "1250")], ids=str
)
def test_each_streamed_object_keeps_the_values_of_the_previous_object(
    new_model: Models, schema: Any, number: str
) -> None:
    text = f'{{"titles": ["On [1]", "{{}}"], "count": {number}, "note": "so \\"far\\""}}'
    model, _ = new_model(Reply(chunking=list(text)))
    objects = list(model.with_structured_output(schema).stream("What?"))
    assert len(objects) > 5
    assert grows(objects)
    assert as_dict(objects[-1]) == {"titles": ["On [1]", "{}"], "count": 1250, "note": 'so "far"'}


class Trip(BaseModel):
    """A trip, with field types that strings and lists are converted to."""

    day: dt.date
    seats: tuple[int, ...] = ()
    stops: set[str] = set()
    price: float = 0.0
    ticket: Path = Path()
    page: HttpUrl | None = None
    note: str = ""


TRIP = {
    "day": "2026-05-04", "seats": [11, 12], "stops": ["Ulm", "Bonn"], "price": 8.5, "ticket": "/tickets/a.pdf",
    "page": "https://trains.example/a/b", "note": "by night",
}  # fmt: skip


def test_values_of_streamed_objects_change_only_where_a_list_or_text_grows(new_model: Models) -> None:
    model, _ = new_model(Reply(chunking=list(json.dumps(TRIP))))
    trips: Any = list(model.with_structured_output(Trip).stream("What?"))
    assert trips[-1] == Trip(**TRIP)
    for name in Trip.model_fields:
        values = [getattr(one, name) for one in trips if name in one.model_fields_set]
        match name:
            case "seats" | "stops":
                assert {len(value) for value in values} >= {1, 2}
                assert all(set(before) <= set(after) for before, after in pairwise(values))
            case "note":
                assert [value for value in values if value] == ["by night"[: end + 1] for end in range(8)]
            case _:
                assert {*values} == {getattr(trips[-1], name)}


def test_the_last_streamed_object_is_the_last_object_in_the_answer(new_model: Models) -> None:
    text = 'Maybe {"count": 1, "note": "draft"}, no: {"count": 2, "titles": ["A", "B"]}'
    model, requests = new_model(Reply(chunking=list(text)))
    *before, last = list(model.with_structured_output(Pages).stream("What?"))
    assert last == Pages(count=2, titles=["A", "B"])
    assert grows(before)
    assert before[-1] == Pages(count=1, note="draft")
    assert len(requests) == 1


async def test_function_calling_repairs_arguments_that_a_validator_refuses(new_model: Models) -> None:
    model, requests = new_model(
        call("Odd", number=2), call("Odd", number="3"), call("Odd", number=2), call("Odd", number=3)
    )
    structured = model.with_structured_output(Odd, method="function_calling")
    assert structured.invoke("What?") == Odd(number=3)
    assert "the number must be odd" in str(requests[1])
    assert [part async for part in structured.astream("What?")][-1] == Odd(number=3)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_a_strict_class_accepts_a_date_string_and_refuses_a_number_in_quotes(new_model: Models, method: Any) -> None:
    from datetime import date

    class Day(BaseModel, strict=True):
        """A day."""

        when: date
        number: int

    def reply(number: Any) -> Any:
        values = {"when": "2026-01-31", "number": number}
        return call("Day", **values) if method == "function_calling" else json.dumps(values)

    model, requests = new_model(reply("3"), reply(3))
    assert model.with_structured_output(Day, method=method).invoke("What?") == Day(when=date(2026, 1, 31), number=3)
    assert len(requests) == 2


@DIALECTS
@TEXTS
def test_an_object_is_read_from_a_stream_with_nan_or_a_cut_inside_an_escape(dialect: Any, text: str, note: str) -> None:
    with Emulator() as emulator:
        emulator.answer(lambda _: Reply(chunking=list(text)))
        base_url = emulator.proxy_url if dialect else emulator.base_url
        model = ChatGLMV(base_url=base_url, api_key=emulator.api_key, dialect=dialect, max_retries=0)
        objects = list(model.with_structured_output(Reading).stream("What?"))
    assert objects[-1].note == note
    assert len(objects) > 3


@DIALECTS
@pytest.mark.parametrize("number", ["1250", "-12.50", "1.25e3", "0.5"])
def test_no_streamed_dict_has_the_half_of_a_number(dialect: Any, number: str) -> None:
    with Emulator() as emulator:
        emulator.answer(
            lambda _: Reply(chunking=list(f'{{"count": {number}, "titles": ["A", "B"], "note": "so far"}}'))
        )
        base_url = emulator.proxy_url if dialect else emulator.base_url
        model = ChatGLMV(base_url=base_url, api_key=emulator.api_key, dialect=dialect, max_retries=0)
        schema = {"title": "Sum", "type": "object", "properties": {"count": {"type": "number"}}}
        objects = list(model.with_structured_output(schema).stream("What?"))
    assert {one["count"] for one in objects if "count" in one} == {float(number)}
    assert grows(objects)
    assert len(objects) > 5


@pytest.mark.parametrize("note", ["the end e", "page 12", 'say \\"7', "back\\\\2"])
def test_the_last_dict_of_a_stream_that_is_cut_in_a_string_has_all_of_the_string(note: str) -> None:
    text = f'{{"count": 7, "note": "{note}'
    parts = [AIMessageChunk(piece) for piece in (text[:9], text[9:20], text[20:])]
    assert list(GrowingJson().transform(iter(parts)))[-1] == {"count": 7, "note": json.loads(f'"{note}"')}


@pytest.mark.parametrize("pieces", [["4", "2"], ["tr", "ue"], ["-1", ".5"]])
def test_a_stream_of_a_number_or_a_word_alone_ends_with_its_value(pieces: list[str]) -> None:
    values = list(GrowingJson().transform(iter([AIMessageChunk(piece) for piece in pieces])))
    assert values[-1] == json.loads("".join(pieces))
