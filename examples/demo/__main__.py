"""A photograph and a chart, asked through LangChain and through LlamaIndex: `make demo`.

With ZHIPUAI_API_KEY or ZAI_API_KEY set, the real platform answers. Without a key the emulator on this machine
does, and every answer is marked so.
"""

from __future__ import annotations

from pathlib import Path

from album import album
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from llama_index.core import QueryBundle, Settings
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.query_engine import RetrieverQueryEngine
from place import Place, place
from screen import Screen

from langchain_glmv import ChatGLMV, image
from llama_index_glmv import GLMV

PICTURES = Path(__file__).parents[1] / "pictures"


def through_langchain(here: Place, screen: Screen, model: str, picture: str | Path, question: str) -> None:
    """`prompt | ChatGLMV | StrOutputParser`, streamed."""
    prompt = ChatPromptTemplate([("user", [{"type": "text", "text": "{question}"}, image(picture)])])
    chain = prompt | ChatGLMV(model=model, **here.settings) | StrOutputParser()

    usage = UsageMetadataCallbackHandler()
    with screen.answer() as answer:
        for words in chain.stream({"question": question}, {"callbacks": [usage]}):
            answer.write(words)
    for counted in usage.usage_metadata.values():
        screen.cost(answer, counted["input_tokens"], counted["output_tokens"])


def through_llama_index(here: Place, screen: Screen, model: str, question: str) -> None:
    """Retrieve the two pictures that fit the question from a small album, and answer from them."""
    Settings.callback_manager = CallbackManager([counter := TokenCountingHandler()])
    llm = GLMV(model=model, **here.settings)
    retriever = album(PICTURES).as_retriever(similarity_top_k=2)
    engine = RetrieverQueryEngine.from_args(retriever, llm=llm, multimodal=True, streaming=True)

    query = QueryBundle(question)
    found = engine.retrieve(query)
    names = [f"{node.metadata['file_name']} ({node.score:.2f})" for node in found]
    screen.fact("retrieved", ", ".join(f"{number}: {name}" for number, name in enumerate(names, 1)))
    with screen.answer() as answer:
        for words in engine.synthesize(query, found).response_gen:
            answer.write(words)
    screen.cost(answer, counter.prompt_llm_token_count, counter.completion_llm_token_count)


def main() -> None:
    with place() as here:
        screen = Screen(here)

        photograph = PICTURES / "coffee.jpg"
        question = "Describe this photograph: its size, its main colours and its brightness."
        screen.chapter("A photograph, through LangChain", "prompt | ChatGLMV | StrOutputParser", here.fast_model)
        screen.fact("picture", f"coffee.jpg, {here.how_given}")
        screen.fact("asked", question)
        through_langchain(here, screen, here.fast_model, here.given(photograph), question)

        question = "Describe this chart: its format, its size and its colours."
        screen.chapter("A chart, through LangChain", "prompt | ChatGLMV | StrOutputParser", "glm-4.6v")
        screen.fact("picture", "chart.png, as base64 in the request")
        screen.fact("asked", question)
        through_langchain(here, screen, "glm-4.6v", PICTURES / "chart.png", question)

        question = "Describe the cup of coffee and the rocket at night: how bright is each picture?"
        screen.chapter("An album, through LlamaIndex", "RetrieverQueryEngine(multimodal=True)", "glm-4.6v")
        screen.fact("album", "a coffee, a cat, a rocket, a chart, a receipt, a form")
        screen.fact("asked", question)
        through_llama_index(here, screen, "glm-4.6v", question)

        screen.end()


if __name__ == "__main__":
    main()
