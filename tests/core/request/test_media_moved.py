"""Pictures of tools and assistants move into the next user message, so that the model sees them."""

import pytest

from glmv import ChatRequest, Image, Message, Settings, Text, ToolCall
from glmv.request.build import chat_request

SHOT = Image.from_url("https://example.org/shot.png")
OTHER = Image.from_url("https://example.org/other.png")


def build(*messages: Message) -> ChatRequest:
    return chat_request(messages, Settings(), {})


def calls(*ids: str) -> Message:
    return Message("assistant", "", tool_calls=[ToolCall(call_id, "screenshot") for call_id in ids])


def test_a_picture_in_a_tool_result_moves_into_a_user_message_after_all_results() -> None:
    request = build(
        Message("user", "Look twice."),
        calls("a", "b"),
        Message("tool", ["Here it is:", SHOT], tool_call_id="a"),
        Message("tool", "nothing new", tool_call_id="b"),
    )
    roles = [message.role for message in request.messages]
    assert roles == ["user", "assistant", "tool", "tool", "user"]
    label, picture = request.messages[-1].content
    assert picture is SHOT
    assert isinstance(label, Text)
    assert "screenshot" in label.text
    assert "call a" in label.text
    assert "image 1" in request.messages[2].text
    assert request.messages[2].text.startswith("Here it is:")
    assert len(request.notes) == 1


def test_a_moved_picture_precedes_the_text_of_the_next_user_message() -> None:
    request = build(
        Message("user", "Look."),
        calls("a"),
        Message("tool", [SHOT], tool_call_id="a"),
        Message("user", ["And this?", OTHER]),
    )
    assert [message.role for message in request.messages] == ["user", "assistant", "tool", "user"]
    parts = request.messages[-1].content
    assert [part for part in parts if isinstance(part, Image)] == [SHOT, OTHER]


def test_several_moved_pictures_are_numbered_in_order() -> None:
    request = build(Message("user", "Look."), calls("a"), Message("tool", [SHOT, "then", OTHER], tool_call_id="a"))
    assert request.messages[2].text.index("image 1") < request.messages[2].text.index("image 2")
    labels = [part.text for part in request.messages[-1].content if isinstance(part, Text)]
    assert ["image 1" in labels[0], "image 2" in labels[1]] == [True, True]


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_a_picture_in_a_system_or_assistant_message_moves_into_a_new_user_message(role: str) -> None:
    request = build(
        Message("user", "Hi"),
        Message(role, ["see", SHOT]),  # type: ignore[arg-type]  # one of the roles
        Message("assistant", "Well."),
        Message("user", "Go on."),
    )
    assert [message.role for message in request.messages] == ["user", role, "user", "assistant", "user"]
    assert SHOT in request.messages[2].content


def test_messages_without_pictures_to_move_stay_the_same_objects() -> None:
    messages = (Message("user", [SHOT, "What?"]), Message("assistant", "A shot."), Message("user", "Sure?"))
    request = chat_request(messages, Settings(), {})
    assert all(ours is theirs for ours, theirs in zip(request.messages, messages, strict=True))
    assert request.notes == ()
