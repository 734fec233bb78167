"""Pictures and videos by reference: requests, state, caches, traces and refusals."""

from __future__ import annotations

import json
import pickle
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage, trim_messages
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langgraph.checkpoint.memory import InMemorySaver

import langchain_glmv
from glmv import Image, InvalidRequestError, PictureStore, UnsupportedContent
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV, image, resolve, video
from tests.langchain.conftest import png

UNKNOWN = "glmv-sha256-" + "0" * 64


@pytest.fixture
def store(tmp_path: Path) -> PictureStore:
    return PictureStore(tmp_path / "store")


@pytest.fixture
def model_with_store(model: ChatGLMV, store: PictureStore) -> ChatGLMV:
    """The model with the store."""
    return model.model_copy(update={"picture_store": store})


def mp4() -> bytes:
    return (
        b"\0\0\0\x18ftypisom\0\0\0\0isommp42\0\0\0\x74moov\0\0\0\x6cmvhd"
        + bytes(12) + b"\0\0\x03\xe8\0\0\x0f\xa0" + bytes(80)
    )  # fmt: skip


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:12]


def sent_digests(emulator: Emulator, number: int = -1) -> list[str]:
    """The digests of all pictures and videos of a request, as recorded by the emulator."""
    return [
        part[part["type"]]["url"].rpartition("sha256 ")[2].removesuffix(">")
        for message in emulator.requests[number].body["messages"]
        if isinstance(message["content"], list)
        for part in message["content"]
        if part["type"] in ("image_url", "video_url")
    ]


def test_image_and_video_return_blocks_with_a_reference_if_they_get_a_store(
    store: PictureStore, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(png())
    block = image(tmp_path / "a.png", store=store)
    assert block == {"type": "image", "file_id": store.add(png()), "mime_type": "image/png"}
    assert store.get(block["file_id"]).data() == png()
    assert image(Image.from_bytes(png()), store=store) == image(png(), store=store) == block
    clip = video(mp4(), store=store)
    assert clip == {"type": "video", "file_id": store.add(mp4()), "mime_type": "video/mp4"}


def test_the_function_image_with_a_store_does_not_replace_a_url_by_a_reference(store: PictureStore) -> None:
    assert image("https://example.com/a.png", store=store) == {"type": "image", "url": "https://example.com/a.png"}
    assert not store.folder.exists()


def test_an_invalid_picture_is_refused_before_it_is_stored(store: PictureStore) -> None:
    with pytest.raises(langchain_glmv.errors.UnsupportedContent, match=r"use langchain_glmv\.video"):
        image(mp4(), store=store)
    assert not store.folder.exists()


@pytest.mark.parametrize(
    "shape",
    [
        lambda ref: {"type": "image", "file_id": ref, "mime_type": "image/png"},
        lambda ref: {"type": "image", "file_id": ref},
        lambda ref: {"type": "image", "source_type": "id", "id": ref},
        lambda ref: {"type": "image", "source": {"type": "file", "file_id": ref}},
        lambda ref: {"type": "file", "file_id": ref, "mime_type": "image/png"},
        lambda ref: {"type": "file", "file_id": ref},
        lambda ref: {"type": "file", "file": {"file_id": ref}},
        lambda ref: {"type": "input_image", "file_id": ref},
        lambda ref: {"type": "non_standard", "value": {"type": "image", "file_id": ref}},
    ],
)
@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
async def test_a_reference_in_any_form_of_block_is_sent_as_its_picture(
    model_with_store: ChatGLMV, emulator: Emulator, store: PictureStore, shape: Any, way: str
) -> None:
    question = [HumanMessage(["What is the main colour?", shape(store.add(png("blue")))])]
    match way:
        case "invoke":
            text = model_with_store.invoke(question).text
        case "stream":
            text = "".join(chunk.text for chunk in model_with_store.stream(question))
        case "ainvoke":
            text = (await model_with_store.ainvoke(question)).text
        case _:
            text = "".join([chunk.text async for chunk in model_with_store.astream(question)])
    assert "blue" in text
    assert sent_digests(emulator) == [digest(png("blue"))]


def test_references_are_resolved_in_tool_and_system_messages(
    model_with_store: ChatGLMV, emulator: Emulator, store: PictureStore
) -> None:
    call = {"name": "look", "args": {}, "id": "c1", "type": "tool_call"}
    model_with_store.invoke(
        [
            SystemMessage([{"type": "text", "text": "Like this:"}, image(png("red"), store=store)]),
            HumanMessage("Look."),
            AIMessage("", tool_calls=[call]),
            ToolMessage([image(png("blue"), store=store)], tool_call_id="c1"),
        ]
    )
    assert set(sent_digests(emulator)) == {digest(png(color)) for color in ("red", "blue")}


def test_a_video_by_reference_is_sent(
    model_with_store: ChatGLMV, emulator: Emulator, store: PictureStore, clip: Path
) -> None:
    answer = model_with_store.invoke([HumanMessage([video(clip, store=store), "What colour does the video show?"])])
    assert "blue" in answer.text
    assert sent_digests(emulator) == [digest(clip.read_bytes())]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (UNKNOWN, "is not in the store"),
        (UNKNOWN.upper(), "is not a reference of a PictureStore"),
        ("glmv-sha256-../../../../etc/passwd", "is not a reference of a PictureStore"),
        (UNKNOWN + ".png", "is not a reference of a PictureStore"),
        ("file-123", "is not a reference of a PictureStore"),
    ],
)
@pytest.mark.parametrize("kind", ["image", "video"])
def test_an_unknown_or_malformed_reference_is_refused_with_its_position(
    model_with_store: ChatGLMV, emulator: Emulator, reference: str, message: str, kind: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message) as info:
        model_with_store.invoke(
            [SystemMessage("Be short."), HumanMessage(["What?", {"type": kind, "file_id": reference}])]
        )
    assert info.value.message.startswith(f"messages[1] (human), block '{kind}': ")
    assert emulator.requests == []


def test_the_error_for_a_reference_without_a_store_names_the_option_picture_store(
    model: ChatGLMV, emulator: Emulator, store: PictureStore
) -> None:
    for block in (image(png(), store=store), {"type": "file", "file_id": store.add(png())}):
        with pytest.raises(UnsupportedContent, match=r"ChatGLMV\(picture_store=\.\.\.\)"):
            model.invoke([HumanMessage(["What?", block])])
    with pytest.raises(UnsupportedContent, match="the platform has no file ids for it"):
        model.invoke([HumanMessage(["What?", {"type": "image", "file_id": "file-123"}])])
    assert emulator.requests == []


def test_a_sentence_replaces_a_removed_picture_of_a_tool_result(
    model_with_store: ChatGLMV, emulator: Emulator, store: PictureStore
) -> None:
    block = image(png("red"), store=store)
    store.remove(block["file_id"])
    call = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "c1"}])
    answer = model_with_store.invoke([HumanMessage("Look."), call, ToolMessage([block], tool_call_id="c1")])
    text = emulator.requests[-1].body["messages"][-1]["content"]
    assert text == "[A picture in this result cannot be shown to you: its reference is not in the store]"
    assert any("not in the store" in note for note in answer.response_metadata["notes"])


def test_a_model_refuses_a_reference_to_a_picture_in_another_store(
    model_with_store: ChatGLMV, emulator: Emulator, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequestError, match="another store"):
        model_with_store.invoke([HumanMessage([image(png(), store=PictureStore(tmp_path / "other"))])])
    assert emulator.requests == []


def test_an_image_block_with_a_video_and_a_video_block_with_an_image_are_refused(
    model_with_store: ChatGLMV, store: PictureStore
) -> None:
    with pytest.raises(InvalidRequestError, match="is a video: put it into a block of that type"):
        model_with_store.invoke([HumanMessage([{"type": "image", "file_id": store.add(mp4())}])])
    with pytest.raises(InvalidRequestError, match="is an image: put it into a block of that type"):
        model_with_store.invoke([HumanMessage([{"type": "video", "file_id": store.add(png())}])])


def test_resolve_finds_the_references_in_the_content_of_a_document(store: PictureStore) -> None:
    inner = image(png(), store=store)
    block = {"type": "document", "title": "Plan", "source": {"type": "content", "content": [inner]}}
    (resolved,) = resolve([HumanMessage([block])], store)
    assert resolved.content == [{**block, "source": {"type": "content", "content": [image(png())]}}]


def test_file_ids_that_are_not_references_are_not_looked_up_in_the_store(model_with_store: ChatGLMV) -> None:
    with pytest.raises(UnsupportedContent, match=r"glm-4\.6v does not accept a file by id"):  # as without a store
        model_with_store.invoke([HumanMessage(["Sum up.", {"type": "file", "file_id": "file-123"}])])


def test_a_reference_to_a_removed_picture_is_refused(model_with_store: ChatGLMV, store: PictureStore) -> None:
    question = [HumanMessage(["What is the main colour?", image(png(), store=store)])]
    assert "red" in model_with_store.invoke(question).text
    store.remove(store.add(png()))
    with pytest.raises(InvalidRequestError, match="it was removed"):
        model_with_store.invoke(question)


# ---- models: what holds the store ----------------------------------------------------------------------------------


def test_picture_store_accepts_a_store_object_and_a_folder(store: PictureStore) -> None:
    for setting in (store, store.folder, str(store.folder)):
        assert ChatGLMV(picture_store=setting).picture_store == store
    assert ChatGLMV().picture_store is None
    for wrong in (7, "", ["a"]):
        with pytest.raises(ValueError, match=r"picture_store|PictureStore"):
            ChatGLMV(picture_store=wrong)


def test_picture_store_can_be_set_on_an_existing_model(
    model: ChatGLMV, emulator: Emulator, store: PictureStore
) -> None:
    messages = [HumanMessage([image(png(), store=store), "What?"])]
    copied = model.model_copy(update={"picture_store": str(store.folder)})
    assigned = model.model_copy()
    assigned.picture_store = store.folder  # type: ignore[assignment]  # the field takes a folder, too
    for model_with_store in (copied, assigned):
        assert model_with_store.picture_store == store
        model_with_store.invoke(messages)
        assert sent_digests(emulator) == [digest(png())]
    assert model.picture_store is None
    assigned.picture_store = None
    with pytest.raises(UnsupportedContent, match="cannot be resolved without a store"):
        assigned.invoke(messages)


def test_copies_and_pickles_and_json_of_a_model_contain_the_folder_and_no_picture(
    model_with_store: ChatGLMV, store: PictureStore
) -> None:
    big = png(size=(900, 900))
    question = [HumanMessage(["What is the main colour?", image(big, store=store)])]
    assert "red" in model_with_store.invoke(question).text
    data = pickle.dumps(model_with_store)
    text = langchain_glmv.dumps(model_with_store)
    assert len(data) < 5_000
    assert json.loads(text)["kwargs"]["picture_store"] == str(store.folder)
    assert dumpd(model_with_store)["kwargs"]["picture_store"] == str(store.folder)
    assert "not_implemented" not in text
    for copy in (
        pickle.loads(data),
        langchain_glmv.load(text),
        model_with_store.model_copy(),
        model_with_store.model_copy(deep=True),
    ):
        assert copy.picture_store == store
    assert "picture_store" not in json.loads(langchain_glmv.dumps(ChatGLMV()))["kwargs"]


def test_structured_output_accepts_a_picture_by_reference(
    model_with_store: ChatGLMV, emulator: Emulator, store: PictureStore
) -> None:
    question = [HumanMessage(["What is the main colour?", image(png("blue"), store=store)])]
    schema = {"title": "Seen", "type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
    assert model_with_store.with_structured_output(schema).invoke(question)
    assert len(sent_digests(emulator)) == 1


# ---- state, histories, caches, traces ------------------------------------------------------------------------------


def photograph() -> bytes:
    """A PNG of about 3 MB that does not compress."""
    import random

    from PIL import Image as Pillow

    noise = random.Random(7).randbytes(1000 * 1000 * 3)
    import io

    out = io.BytesIO()
    Pillow.frombytes("RGB", (1000, 1000), noise).save(out, "PNG", compress_level=0)
    return out.getvalue()


def ten_turns(agent: Any, first: list[Any]) -> None:
    thread = {"configurable": {"thread_id": "t"}}
    for turn in range(10):
        question: Any = [*first, "What do you see?"] if turn == 0 else f"And {turn}?"
        agent.invoke({"messages": [HumanMessage(question)]}, thread)


@pytest.mark.parametrize("saver", ["memory", "sqlite"])
def test_checkpoints_of_ten_agent_turns_with_a_3_mb_picture_are_below_1_mb(
    model_with_store: ChatGLMV, emulator: Emulator, store: PictureStore, tmp_path: Path, saver: str
) -> None:
    from langchain.agents import create_agent

    data = photograph()
    assert len(data) >= 3_000_000
    emulator.answer(lambda ask: "A picture of noise.")
    block = image(data, store=store)
    match saver:
        case "memory":
            memory = InMemorySaver()
            ten_turns(create_agent(model_with_store, [], checkpointer=memory), [block])
            size = len(pickle.dumps([dict(memory.blobs), [*map(str, memory.storage.values())], dict(memory.writes)]))
        case _:
            sqlite = pytest.importorskip("langgraph.checkpoint.sqlite")
            with sqlite.SqliteSaver.from_conn_string(str(tmp_path / "state.db")) as saver_on_disk:
                ten_turns(create_agent(model_with_store, [], checkpointer=saver_on_disk), [block])
            size = sum(path.stat().st_size for path in tmp_path.glob("state.db*"))
    assert size < 1_000_000
    assert len(emulator.requests) == 10
    assert all(len(sent_digests(emulator, number)) == 1 for number in range(10))


def test_a_pickled_model_continues_a_conversation_with_references(
    model_with_store: ChatGLMV, emulator: Emulator, store: PictureStore
) -> None:
    from langchain.agents import create_agent

    memory, thread = InMemorySaver(), {"configurable": {"thread_id": "t"}}
    question = HumanMessage(["What is the main colour?", image(png("blue"), store=store)])
    create_agent(model_with_store, [], checkpointer=memory).invoke({"messages": [question]}, thread)
    other = pickle.loads(pickle.dumps(model_with_store)).model_copy(update={"api_key": emulator.api_key})
    answer = create_agent(other, [], checkpointer=memory).invoke({"messages": [HumanMessage("Once more?")]}, thread)
    assert answer["messages"][-1].text
    assert sent_digests(emulator) == [digest(png("blue"))]


def test_a_tool_of_an_agent_can_return_a_reference(
    model_with_store: ChatGLMV, emulator: Emulator, store: PictureStore
) -> None:
    from langchain.agents import create_agent

    @tool
    def screenshot() -> list[dict[str, Any]]:
        """Take a screenshot."""
        return [image(png("blue"), store=store)]

    emulator.call("screenshot")
    agent = create_agent(model_with_store, [screenshot])
    result = agent.invoke({"messages": [HumanMessage("Take a screenshot. What is its main colour?")]})
    assert "blue" in result["messages"][-1].text
    assert b64encode(png("blue")).decode() not in repr(result)


def test_a_cache_key_contains_the_reference_and_no_picture(
    model_with_store: ChatGLMV, emulator: Emulator, store: PictureStore, tmp_path: Path
) -> None:
    cache = InMemoryCache()
    cached = model_with_store.model_copy(update={"cache": cache})
    question = [HumanMessage(["What is the main colour?", image(png(), store=store)])]
    other = [HumanMessage(["What is the main colour?", image(png("blue"), store=store)])]
    first = cached.invoke(question)
    assert cached.invoke(question).text == first.text
    assert "blue" in cached.invoke(other).text
    assert len(emulator.requests) == 2
    moved = PictureStore(tmp_path / "moved")  # the same pictures elsewhere: answers are found again
    moved.add(png())
    assert cached.model_copy(update={"picture_store": moved}).invoke(question).text == first.text
    assert len(emulator.requests) == 2
    keys = repr(list(cache._cache))
    assert store.add(png()) in keys
    assert b64encode(png()).decode() not in keys


def test_a_trace_contains_the_reference_and_no_picture(model_with_store: ChatGLMV, store: PictureStore) -> None:
    runs = RunCollectorCallbackHandler()
    chain = ChatPromptTemplate.from_messages([("human", [{"type": "text", "text": "{q}"}]), ("placeholder", "{shown}")])
    results = [HumanMessage([image(png(size=(300, 300)), store=store)])]
    (chain | model_with_store).invoke({"q": "What is it?", "shown": results}, {"callbacks": [runs]})
    traced = repr([(run.inputs, run.outputs, run.serialized, run.child_runs) for run in runs.traced_runs])
    assert store.add(png(size=(300, 300))) in traced
    assert b64encode(png(size=(300, 300))).decode()[:100] not in traced


async def test_events_of_a_stream_contain_the_reference_and_no_picture(
    model_with_store: ChatGLMV, store: PictureStore
) -> None:
    data = png(size=(300, 300))
    events = [event async for event in model_with_store.astream_events([HumanMessage([image(data, store=store)])])]
    assert store.add(data) in repr(events)
    assert b64encode(data).decode()[:100] not in repr(events)


# ---- tokens --------------------------------------------------------------------------------------------------------


def test_a_reference_counts_as_many_tokens_as_its_picture(
    model_with_store: ChatGLMV, model: ChatGLMV, store: PictureStore
) -> None:
    data = png(size=(1400, 900))
    by_reference = model_with_store.get_num_tokens_from_messages([HumanMessage(["What?", image(data, store=store)])])
    assert by_reference == model.get_num_tokens_from_messages([HumanMessage(["What?", image(data)])])
    assert by_reference > 1_000


def test_trimming_counts_the_tokens_of_pictures_behind_references(
    model_with_store: ChatGLMV, store: PictureStore
) -> None:
    history = [
        HumanMessage([image(png(size=(1400, 900)), store=store)]), AIMessage("A red one."), HumanMessage("And now?")
    ]  # fmt: skip
    assert trim_messages(history, max_tokens=500, token_counter=model_with_store, strategy="last") == history[1:]
    assert trim_messages(history, max_tokens=50_000, token_counter=model_with_store, strategy="last") == history


# ---- resolve -------------------------------------------------------------------------------------------------------


def test_resolve_replaces_references_by_the_stored_bytes(store: PictureStore) -> None:
    items = [
        SystemMessage("Be short."),
        HumanMessage(["What?", image(png(), store=store), video(mp4(), store=store)], id="m1"),
        ToolMessage([{"type": "file", "file_id": store.add(png("blue")), "mime_type": "image/png"}], tool_call_id="c"),
        HumanMessage([{"type": "tool_result", "tool_use_id": "c", "content": [image(png(), store=store)]}]),
        HumanMessage([{"type": "file", "file_id": "file-1"}, {"type": "image", "url": "https://example.com/a.png"}]),
    ]
    before = repr(items)
    result = resolve(items, store)
    assert repr(items) == before
    assert result[0] is items[0]
    assert result[4] is items[4]
    assert result[1].content == ["What?", image(png()), video(mp4())]
    assert result[1].id == "m1"
    assert result[2].content == [image(png("blue"))]
    assert result[3].content[0]["content"] == [image(png())]  # type: ignore[index]
    assert b64decode(result[2].content[0]["base64"]) == png("blue")  # type: ignore[index]


def test_resolve_accepts_prompt_values_and_message_tuples_and_strings(store: PictureStore) -> None:
    block = image(png(), store=store)
    prompt = ChatPromptTemplate.from_messages([("human", "{q}"), ("placeholder", "{shown}")])
    value = prompt.invoke({"q": "What?", "shown": [HumanMessage([block])]})
    assert resolve(value, store)[1].content == [image(png())]
    assert resolve([("human", [block])], store)[0].content == [image(png())]
    assert resolve("Hi", store) == [HumanMessage("Hi")]


@pytest.mark.parametrize("reference", [UNKNOWN, UNKNOWN.upper(), "glmv-sha256-../../etc/passwd"])
def test_resolve_refuses_references_missing_from_the_store(store: PictureStore, reference: str) -> None:
    with pytest.raises(langchain_glmv.errors.InvalidRequestError, match=r"is not (in|a)"):
        resolve([HumanMessage([{"type": "image", "file_id": reference}])], store)


def test_resolve_gives_pictures_to_a_fallback_model_without_a_store(
    model_with_store: ChatGLMV, model: ChatGLMV, emulator: Emulator, store: PictureStore
) -> None:
    """The other model does not support stores, like models of other providers."""
    broken = model_with_store.model_copy(update={"api_key": "no.key", "max_retries": 0})
    chain = broken.with_fallbacks([RunnableLambda(lambda messages: resolve(messages, store)) | model])
    question = [HumanMessage(["What is the main colour?", image(png("blue"), store=store)])]
    assert "blue" in chain.invoke(question).text
    assert sent_digests(emulator) == [digest(png("blue"))]


@pytest.mark.parametrize(
    "written",
    [
        lambda block: json.dumps(block),
        lambda block: json.dumps(["Front:", block]),
        lambda block: json.dumps({"result": block, "size": 1}),
        lambda block: f"Here it is: {block}.",
        lambda block: str(["Front:", block, 3]),
    ],
)
async def test_a_reference_in_the_text_of_a_tools_result_is_sent_as_the_picture(
    model_with_store: ChatGLMV, emulator: Emulator, store: PictureStore, written: Callable[[Any], str]
) -> None:
    history = [
        HumanMessage("Look."),
        AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "c1"}]),
        ToolMessage(written(image(png("blue"), store=store)), tool_call_id="c1"),
    ]
    model_with_store.invoke(history)
    await model_with_store.ainvoke(history)
    for number in (0, 1):
        assert sent_digests(emulator, number) == [digest(png("blue"))]
        assert store.add(png("blue")) not in json.dumps(emulator.requests[number].body)
    (_, _, resolved) = resolve(history, store)
    assert any(isinstance(block, dict) and "base64" in block for block in resolved.content)


def test_a_reference_in_a_tools_text_becomes_a_sentence_if_the_picture_was_removed(
    model: ChatGLMV, model_with_store: ChatGLMV, emulator: Emulator, store: PictureStore
) -> None:
    history = [
        HumanMessage("Look."),
        AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "c1"}]),
        ToolMessage(json.dumps(image(png("blue"), store=store)), tool_call_id="c1"),
    ]
    with pytest.raises(UnsupportedContent, match=r"ChatGLMV\(picture_store=\.\.\.\)"):
        model.invoke(history)
    store.remove(store.add(png("blue")))
    model_with_store.invoke(history)
    assert "cannot be shown to you: its reference is not in the store" in json.dumps(emulator.requests[-1].body)


def test_a_reference_inside_a_sentence_of_a_tool_result_stays_text(
    model_with_store: ChatGLMV, emulator: Emulator, store: PictureStore
) -> None:
    told = f"Saved as {store.add(png())}, see {{'file_id': '{store.add(png())}'}}."
    history = [
        HumanMessage("Look."),
        AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "c1"}]),
        ToolMessage(told, tool_call_id="c1"),
    ]
    model_with_store.invoke(history)
    assert sent_digests(emulator) == []
    assert emulator.requests[-1].body["messages"][-1]["content"].startswith("Saved as ")
    assert resolve(history, store) == history


@pytest.mark.parametrize("store", ["folder", 5])
def test_a_store_of_another_type_is_refused(store: Any) -> None:
    for make in (lambda: image(png(), store=store), lambda: video(mp4(), store=store)):
        with pytest.raises(InvalidRequestError, match=r"store must be a glmv\.PictureStore; got"):
            make()
