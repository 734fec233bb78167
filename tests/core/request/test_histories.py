"""Histories that the platform refuses are converted, or refused with advice; other servers get them unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from glmv.catalog.lookup import find_model
from glmv.client import Client
from glmv.errors import InvalidRequestError
from glmv.media import Image
from glmv.options import ChatRequest, Options
from glmv.request.build import chat_request
from glmv.request.check import check
from glmv.types import Message, Role, ToolCall
from glmv.wire.dialect import DIALECTS
from glmv_emulator import Emulator

CALL = ToolCall("c7", "measure", "{}")
URL = Image.from_url("https://example.com/a.jpg")


def turn(role: Role, text: str = "", **more: Any) -> Message:
    return Message(role, text, **more)


U, A, S = turn("user", "How wide is it?"), turn("assistant", "Two metres."), turn("system", "Be exact.")
ASKED = turn("assistant", tool_calls=[CALL])
RESULT = turn("tool", "2 m", tool_call_id="c7")
EMPTY = turn("user", " \n")


def checked(messages: list[Message], model: str = "glm-4.6v", dialect: str = "platform") -> ChatRequest:
    row = find_model(model) if DIALECTS[dialect].limits != "none" else None
    return check(chat_request(messages, Options(), {"model": model}), row, DIALECTS[dialect])


def roles(request: ChatRequest) -> list[str]:
    return [message.role for message in request.messages]


CHANGED: list[tuple[list[Message], list[str], str]] = [
    ([A, U], ["system", "user"], "messages[0], an assistant message before"),
    ([S, A, U], ["system", "user"], "messages[1], an assistant message before"),
    ([A, A, U, A, U], ["system", "user", "assistant", "user"], "messages[1], an assistant message before"),
    ([RESULT, U], ["user"], "messages[0], a tool's result, was left out"),
    ([S, RESULT, A, U], ["system", "user"], "messages[1], a tool's result, was left out"),
    ([U, RESULT, A, U], ["user", "assistant", "user"], "messages[1], a tool's result, was left out"),
    ([turn("tool", "2 m"), U], ["user"], "messages[0], a tool's result, was left out"),
    ([U, A, EMPTY, A, U], ["user", "assistant", "assistant", "user"], "messages[2], an empty user message"),
    ([EMPTY, U], ["user"], "messages[0], an empty user message"),
    ([U, turn("assistant"), U], ["user", "user"], "messages[1], an empty message"),
    ([turn("system"), U], ["user"], "messages[0], an empty message"),
    ([U, EMPTY, S], ["user", "system"], "messages[1], an empty user message"),
    ([U, ASKED, turn("tool", "2 m", tool_call_id="c8"), A, U], ["user", "assistant", "assistant", "user"],
     "messages[2], a tool's result, was left out"),
    ([A, S, A, U], ["system", "system", "user"], "messages[2], an assistant message before"),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "sent_roles", "note"), CHANGED)
@pytest.mark.parametrize("model", ["glm-4.6v", "a-model-of-tomorrow"])
def test_an_unambiguous_history_is_converted_to_the_platforms_form(
    model: str, messages: list[Message], sent_roles: list[str], note: str
) -> None:
    request = checked(messages, model)
    assert roles(request) == sent_roles
    assert any(one.startswith(note) for one in request.notes)
    assert all(one.endswith(".") for one in request.notes)


@pytest.mark.parametrize(("messages", "sent_roles", "note"), CHANGED)
def test_the_emulator_answers_a_converted_history(messages: list[Message], sent_roles: list[str], note: str) -> None:
    with Emulator() as emulator, Client(base_url=emulator.base_url, api_key=emulator.api_key) as client:
        answer = client.chat(messages)
        assert [message["role"] for message in emulator.requests[-1].body["messages"]] == sent_roles
    assert any(one.startswith(note) for one in answer.notes)


def test_an_assistant_greeting_at_the_start_is_appended_to_the_system_text() -> None:
    (system, _) = checked([S, turn("assistant", "Welcome!"), turn("assistant", "What is it?"), U]).messages
    assert system.text.startswith("Be exact.\n\n")
    assert system.text.endswith("Welcome!\n\nWhat is it?")


BEGAN = "You began this conversation with these words:\n"


@pytest.mark.parametrize(
    ("messages", "texts"),
    [
        ([A, U], [f"{BEGAN}Two metres."]),
        ([S, A, A, U], [f"Be exact.\n\n{BEGAN}Two metres.\n\nTwo metres."]),
        ([A, S, A, U], [f"{BEGAN}Two metres.", f"Be exact.\n\n{BEGAN}Two metres."]),
    ],
)
def test_each_system_message_introduces_the_leading_assistant_texts_only_once(
    messages: list[Message], texts: list[str]
) -> None:
    assert [message.text for message in checked(messages).messages] == [*texts, U.text]


def test_without_a_system_role_a_leading_greeting_is_put_before_the_user_text() -> None:
    (message,) = checked([turn("assistant", "Welcome!"), U], "glm-4v").messages
    assert "Welcome!" in message.text
    assert message.text.endswith(U.text)


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([ASKED, RESULT, U], "messages[0] has tool calls"),
        ([S, ASKED, RESULT], "messages[1] has tool calls"),
        ([A], "no user message"),
        ([S], "no user message"),
        ([S, RESULT], "no user message"),
    ],
)
def test_the_error_of_a_history_without_its_beginning_asks_for_a_user_message(
    messages: list[Message], place: str
) -> None:
    with pytest.raises(InvalidRequestError, match="begin with a user message") as caught:
        checked(messages)
    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([EMPTY], "messages[0] (user) is empty: give it text, a picture, a video or a file."),
        ([EMPTY, EMPTY], "messages[1] (user) is empty: give it text"),
        ([U, A, EMPTY], "messages[2] (user) is empty: give it text"),
        ([U, A, EMPTY, turn("assistant"), turn("system")], "messages[2] (user) is empty: give it text"),
        ([EMPTY, A], "the roles of messages[0] to messages[1] are user and assistant. If"),
        ([S], "the roles of messages[0] to messages[0] are system. If"),
        ([S, RESULT, S], "the roles of messages[0] to messages[2] are system and tool. If"),
    ],
)
def test_a_history_without_a_user_message_is_refused(messages: list[Message], words: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        checked(messages)
    assert words in str(caught.value)
    assert caught.value.message.endswith(".")


def test_the_error_for_a_tool_result_without_its_call_names_the_missing_call() -> None:
    with (
        Emulator() as emulator,
        Client(base_url=emulator.base_url, api_key=emulator.api_key, max_retries=0) as client,
        pytest.raises(
            InvalidRequestError,
            match=r"messages\[1\] is a tool's result, but its tool call is .* before it\.(?!\w)",
        ),
    ):
        client.chat([U, RESULT])


@pytest.mark.parametrize(
    "messages",
    [
        [U],
        [S, U],
        [U, A, U],
        [U, U],
        [U, A, S, U],
        [U, ASKED, RESULT],
        [U, ASKED, RESULT, A, U],
        [U, ASKED, turn("tool", "", tool_call_id="c7")],
        [U, ASKED, turn("tool", "2 m")],
        [U, RESULT],
        [U, A, RESULT],
        [U, ASKED, turn("tool", "2 m", tool_call_id="c8")],
        [U, turn("assistant", reasoning="Hm."), U],
        [Message("user", URL)],
    ],
)
def test_a_valid_history_is_unchanged(messages: list[Message]) -> None:
    request = checked(messages)
    assert request.messages == tuple(messages)
    assert not any("left out" in note or "system text" in note for note in request.notes)


@pytest.mark.parametrize("dialect", ["openai", "litellm", "openrouter", "vllm", "llama.cpp", "transformers"])
@pytest.mark.parametrize("messages", [[A, U], [RESULT, U], [U, A, EMPTY, A, U], [ASKED, RESULT, U], [S, A]])
def test_a_history_is_sent_unchanged_to_servers_other_than_the_platform(messages: list[Message], dialect: str) -> None:
    assert checked(messages, dialect=dialect).messages == tuple(messages)


def png_at(number: int) -> Image:
    return Image.from_url(f"https://example.com/{number}.png")


class TestKeepPictures:
    @staticmethod
    def run(**options: Any) -> ChatRequest:
        turns = [U, *(Message("user", ["Look:", png_at(number)]) for number in range(5))]
        return chat_request(turns, Options(), options)

    @staticmethod
    def urls(request: ChatRequest) -> list[str | None]:
        return [part.url for message in request.messages for part in message.content if isinstance(part, Image)]

    def test_all_pictures_of_a_history_are_sent_by_default(self) -> None:
        assert len(self.urls(self.run())) == 5

    def test_text_replaces_every_picture_except_the_newest_two_if_keep_pictures_is_2(self) -> None:
        request = self.run(keep_pictures=2)
        assert self.urls(request) == [png_at(3).url, png_at(4).url]
        assert sum("older picture" in message.text for message in request.messages) == 3
        assert request.notes == ("3 of 5 pictures, the oldest, were left out: keep_pictures=2.",)

    def test_pictures_of_the_last_message_are_sent_even_if_they_exceed_keep_pictures(self) -> None:
        request = chat_request([png_at(1), png_at(2), png_at(3)], Options(), {"keep_pictures": 1})
        assert len(self.urls(request)) == 3
        assert request.notes == ()

    @pytest.mark.parametrize("wrong", [0, -1, "many"])
    def test_keep_pictures_must_be_a_number_of_1_or_more(self, wrong: Any) -> None:
        with pytest.raises(InvalidRequestError, match="keep_pictures"):
            self.run(keep_pictures=wrong)
