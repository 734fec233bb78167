"""Every LlamaIndex component that takes a model works with both models, and the picture arrives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.evaluation.multi_modal import MultiModalFaithfulnessEvaluator, MultiModalRelevancyEvaluator
from llama_index.core.indices import MultiModalVectorStoreIndex
from llama_index.core.llms import LLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.multi_modal_llms import MultiModalLLM
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.program import MultiModalLLMCompletionProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine, SimpleMultiModalQueryEngine
from llama_index.core.schema import ImageNode, TextNode
from pydantic import BaseModel

from glmv_emulator import Emulator, Reply
from llama_index_glmv import GLMV, GLMVMultiModal

BOTH_CLASSES = pytest.mark.parametrize("kind", [GLMV, GLMVMultiModal])
ENGINES_SEE = "multimodal" in inspect.signature(RetrieverQueryEngine.from_args).parameters
RECENT = pytest.mark.skipif(not ENGINES_SEE, reason="core before 0.14.23 has no multimodal=True")
# Agents use deprecated parts of pydantic and of the workflows below them.
AGENT = pytest.mark.filterwarnings("ignore::DeprecationWarning")
RED = Reply(chunking=["r", "ed"])
CHATS_SEE = pytest.mark.skipif(
    find_spec("llama_index.core.chat_engine.multi_modal_context") is None,
    reason="chat engines of this core leave pictures out",
)
OLD_ENGINE = pytest.mark.filterwarnings("ignore:Call to deprecated class SimpleMultiModalQueryEngine")


class Colour(BaseModel):
    """The colour that is seen."""

    name: str


@pytest.fixture
def index(red_path: Path, alike: Any) -> MultiModalVectorStoreIndex:
    """An index of one text and one picture."""
    nodes = [TextNode(text="Pictures of walls."), ImageNode(image_path=str(red_path), text="a wall")]
    return MultiModalVectorStoreIndex(nodes, embed_model=alike, image_embed_model=alike)


@pytest.fixture
def settings() -> Iterator[Any]:
    """LlamaIndex's global settings, restored afterwards."""
    before = Settings._llm
    yield Settings
    Settings._llm = before


@pytest.fixture
def saw_red(emu: Emulator, red: bytes, as_kept: Callable[[bytes], str]) -> Callable[[], bool]:
    """saw_red() -> whether the newest request has the red picture, as bare base64, and no other."""

    def newest() -> bool:
        return [
            part["image_url"]["url"]
            for message in emu.requests[-1].body["messages"]
            if isinstance(message["content"], list)
            for part in message["content"]
            if part["type"] == "image_url"
        ] == [as_kept(red)]

    return newest


def test_glmv_multi_modal_is_an_llm_and_a_multi_modal_llm() -> None:
    llm = GLMVMultiModal()
    assert isinstance(llm, LLM)
    assert isinstance(llm, MultiModalLLM)
    assert isinstance(llm, GLMV)


@BOTH_CLASSES
def test_settings_llm_accepts_glmv_and_glmv_multi_modal(kind: type[GLMV], settings: Any) -> None:
    settings.llm = kind()
    assert type(settings.llm) is kind


@BOTH_CLASSES
@OLD_ENGINE
def test_the_query_engine_of_a_multi_modal_index_sends_its_pictures(
    kind: type[GLMV],
    index: MultiModalVectorStoreIndex,
    emu: Emulator,
    connect: Callable[..., GLMV],
    saw_red: Callable[[], bool],
) -> None:
    emu.say("red")
    llm = connect(kind)
    assert str(index.as_query_engine(llm=llm).query("which colour?")) == "red"
    assert saw_red()


@BOTH_CLASSES
@CHATS_SEE
@pytest.mark.parametrize("mode", [ChatMode.CONTEXT, ChatMode.CONDENSE_PLUS_CONTEXT])
@pytest.mark.parametrize("streaming", [False, True])
def test_the_chat_engines_of_a_multi_modal_index_send_its_pictures(
    kind: type[GLMV],
    mode: ChatMode,
    streaming: bool,
    index: MultiModalVectorStoreIndex,
    emu: Emulator,
    connect: Callable[..., GLMV],
    saw_red: Callable[[], bool],
) -> None:
    emu.say(RED)
    memory = ChatMemoryBuffer.from_defaults()  # core's default leaves a database open
    engine = index.as_chat_engine(chat_mode=mode, memory=memory, llm=connect(kind))
    answer = "".join(engine.stream_chat("which colour?").response_gen) if streaming else str(engine.chat("which?"))
    assert answer == "red"
    assert saw_red()


@BOTH_CLASSES
@OLD_ENGINE
async def test_the_simple_multi_modal_query_engine_sends_pictures(
    kind: type[GLMV],
    index: MultiModalVectorStoreIndex,
    emu: Emulator,
    connect: Callable[..., GLMV],
    saw_red: Callable[[], bool],
) -> None:
    emu.say("red")
    engine = SimpleMultiModalQueryEngine(index.as_retriever(), multi_modal_llm=connect(kind))
    assert str(await engine.aquery("which colour?")) == "red"
    assert saw_red()


@BOTH_CLASSES
@RECENT
def test_the_retriever_query_engine_sends_the_pictures_of_nodes(
    kind: type[GLMV],
    index: MultiModalVectorStoreIndex,
    emu: Emulator,
    connect: Callable[..., GLMV],
    saw_red: Callable[[], bool],
) -> None:
    emu.say("red")
    llm = connect(kind)
    engine = RetrieverQueryEngine.from_args(index.as_retriever(), llm=llm, multimodal=True)
    response = engine.query("which colour?")
    assert str(response) == "red"
    assert saw_red()
    assert any(isinstance(found.node, ImageNode) for found in response.source_nodes)


@BOTH_CLASSES
@RECENT
def test_the_citation_query_engine_sends_pictures_and_cites_their_nodes(
    kind: type[GLMV],
    index: MultiModalVectorStoreIndex,
    emu: Emulator,
    connect: Callable[..., GLMV],
    saw_red: Callable[[], bool],
) -> None:
    emu.say("red [2]")
    llm = connect(kind)
    engine = CitationQueryEngine.from_args(index, retriever=index.as_retriever(), llm=llm, multimodal=True)
    assert str(engine.query("which colour?")) == "red [2]"
    assert saw_red()


@BOTH_CLASSES
def test_the_multi_modal_completion_program_reads_an_object_from_a_picture(
    kind: type[GLMV], emu: Emulator, connect: Callable[..., GLMV], saw_red: Callable[[], bool], red: bytes
) -> None:
    emu.say('{"name": "red"}')
    program = MultiModalLLMCompletionProgram.from_defaults(
        output_parser=PydanticOutputParser(Colour),
        image_documents=[ImageBlock(image=red)],
        prompt_template_str="Which colour?",
        multi_modal_llm=connect(kind),
    )
    assert program() == Colour(name="red")
    assert saw_red()


@BOTH_CLASSES
@pytest.mark.parametrize("evaluator", [MultiModalFaithfulnessEvaluator, MultiModalRelevancyEvaluator])
async def test_the_multi_modal_evaluators_send_the_picture_and_read_the_verdict(
    kind: type[GLMV],
    evaluator: Callable[..., Any],
    emu: Emulator,
    connect: Callable[..., GLMV],
    saw_red: Callable[[], bool],
    red_path: Path,
) -> None:
    emu.say("YES")
    judge = evaluator(multi_modal_llm=connect(kind))
    result = await judge.aevaluate(
        query="which colour?", response="red", contexts=["a wall"], image_paths=[str(red_path)], image_urls=[]
    )
    assert result.passing
    assert saw_red()


def see(red: bytes) -> ChatMessage:
    return ChatMessage(blocks=[TextBlock(text="which colour?"), ImageBlock(image=red)])


def paint(colour: str) -> str:
    """Paint the wall."""
    return f"painted {colour}"


@BOTH_CLASSES
@AGENT
@pytest.mark.parametrize("streaming", [True, False])
async def test_a_function_agent_sends_the_picture_and_calls_its_tool(
    kind: type[GLMV],
    streaming: bool,
    emu: Emulator,
    connect: Callable[..., GLMV],
    saw_red: Callable[[], bool],
    red: bytes,
) -> None:
    emu.call("paint", colour="red")
    emu.say("done")
    llm = connect(kind)
    result = await FunctionAgent(tools=[paint], llm=llm, streaming=streaming).run(see(red))
    assert str(result) == "done"
    assert [call.tool_name for call in result.tool_calls] == ["paint"]
    assert saw_red()
    *_, called, answered = emu.requests[1].body["messages"]
    (call,) = called["tool_calls"]
    assert call["id"].startswith("call_emu-")
    assert answered == {"role": "tool", "content": "painted red", "tool_call_id": call["id"]}


@BOTH_CLASSES
@AGENT
async def test_a_react_agent_sends_the_picture_and_calls_its_tool(
    kind: type[GLMV], emu: Emulator, connect: Callable[..., GLMV], saw_red: Callable[[], bool], red: bytes
) -> None:
    emu.say(
        'Thought: I need a tool.\nAction: paint\nAction Input: {"colour": "red"}',
        "Thought: I can answer.\nAnswer: done",
    )
    assert str(await ReActAgent(tools=[paint], llm=connect(kind)).run(see(red))) == "done"
    assert saw_red()


@BOTH_CLASSES
@AGENT
async def test_an_agent_workflow_sends_the_picture_and_calls_its_tool(
    kind: type[GLMV], emu: Emulator, connect: Callable[..., GLMV], saw_red: Callable[[], bool], red: bytes
) -> None:
    emu.call("paint", colour="red")
    emu.say("done")
    llm = connect(kind)
    workflow = AgentWorkflow.from_tools_or_functions([paint], llm=llm)
    assert str(await workflow.run(see(red))) == "done"
    assert saw_red()


@BOTH_CLASSES
async def test_predict_and_stream_send_the_system_prompt_before_the_filled_in_prompt(
    kind: type[GLMV], emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say(RED, RED, RED, RED)
    llm = connect(kind, system_prompt="Be brief.")
    prompt = PromptTemplate("Colour of {thing}?")
    assert llm.predict(prompt, thing="walls") == "red"
    assert list(llm.stream(prompt, thing="walls")) == ["r", "ed", ""]
    assert await llm.apredict(prompt, thing="walls") == "red"
    assert [token async for token in await llm.astream(prompt, thing="walls")] == ["r", "ed", ""]
    for request in emu.requests:
        assert request.body["messages"][0] == {"role": "system", "content": "Be brief."}
        assert request.body["messages"][1]["content"] == "Colour of walls?"


@BOTH_CLASSES
def test_a_chat_engine_sends_the_pictures_in_its_memory(
    kind: type[GLMV], emu: Emulator, connect: Callable[..., GLMV], saw_red: Callable[[], bool], red: bytes
) -> None:
    emu.say("a wall", "red")
    llm = connect(kind)
    memory = ChatMemoryBuffer.from_defaults(chat_history=[see(red)])
    engine = SimpleChatEngine.from_defaults(llm=llm, system_prompt="Be brief.", memory=memory)
    assert engine.chat("what is it?").response == "a wall"
    assert engine.chat("which colour?").response == "red"
    assert saw_red()
