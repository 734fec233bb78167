"""Answers questions about a folder of pictures, and names the pictures that an answer comes from. One key is enough."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from draw import BAKERY, BUS, MACHINE, RAIN
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.vector_stores.types import BasePydanticVectorStore

from llama_index_glmv import GLMV, GLMVImageCaptioner, load_images

HERE = Path(__file__).parent
FOLDERS = (HERE.parent / "pictures", HERE / "pictures")

DIAGRAM = "espresso_machine_diagram.png"

# A question, the file that alone holds the answer, and what the answer must say. What others drew stands in
# examples/pictures/draw.py, the size of the photograph in its header.
QUESTIONS = (
    ("What is the total on the receipt of Corner Coffee?", "receipt.png", "16.90"),
    ("What is the total on the receipt of Green Bakery?", "bakery_receipt.png", f"{sum(p for _, p in BAKERY):.2f}"),
    ("What does the apple pie of the bakery cost?", "bakery_receipt.png", f"{dict(BAKERY)['Apple pie']:.2f}"),
    ("Which order number does the service report have?", "form.png", "A-2041"),
    (
        "What stands with the boiler in the espresso machine diagram?",
        "espresso_machine_diagram.png",
        dict(MACHINE)["Boiler"],
    ),
    ("At which time does bus 42 stop at the Museum?", "bus_timetable.png", BUS["Museum"]),
    ("How much rain fell in week 2 of May?", "rain_chart.png", str(RAIN["Week 2"])),
    ("How many cups were sold on Thu?", "chart.png", "170"),
    ("How many pixels wide and high is the photo of the cat?", "cat.jpg", "451"),
)


def index_of(
    folders: Iterable[Path], llm: GLMV, embedding: BaseEmbedding, store: BasePydanticVectorStore | None = None
) -> VectorStoreIndex:
    """Pictures -> an index: each is described once, its description is searched, the picture is found.

    Args:
        folders: where the pictures are.
        llm: describes the pictures.
        embedding: makes vectors of the descriptions.
        store: where the vectors are kept; None keeps them in memory.
    """
    return VectorStoreIndex.from_documents(
        load_images(folders),
        storage_context=StorageContext.from_defaults(vector_store=store),
        transformations=[GLMVImageCaptioner(llm=llm), SentenceSplitter()],
        embed_model=embedding,
    )


def engine_of(index: VectorStoreIndex, llm: GLMV, pictures: int = 2) -> RetrieverQueryEngine:
    """A query engine for an index: it shows the model the pictures that fit best, and names them."""
    return RetrieverQueryEngine.from_args(index.as_retriever(similarity_top_k=pictures), llm=llm, multimodal=True)
