"""A user's program with all public names: `make types` checks it by mypy --strict and pyright. It never runs.

Deliberate errors have two `ignore` comments, one for each checker; both checkers report unused ones.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, Unpack, assert_type

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.tools import tool
from llama_index.core.llms import LLM, ChatMessage, CompletionResponse, ImageBlock, TextBlock
from llama_index.core.schema import ImageDocument, TransformComponent
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel, SecretStr

import glmv
import glmv_litellm
import langchain_glmv
import llama_index_glmv
from glmv_batch import Item, Job, Progress, Row
from glmv_emulator import Ask, Emulator, Medium, Reply, ToolCall, default_answer
from langchain_glmv import ChatGLMV, GLMVEmbeddings
from llama_index.llms.glmv import GLMV as LeafGLMV  # the names under which LlamaIndex's users look
from llama_index.multi_modal_llms.glmv import GLMVMultiModal as LeafMultiModal
from llama_index_glmv import GLMV, GLMVEmbedding, GLMVImageCaptioner, GLMVMultiModal


class Size(BaseModel):
    width: int
    height: int


class Vault:
    def key(self) -> str:
        return "id.secret"

    async def akey(self) -> SecretStr:
        return SecretStr("id.secret")


# ---- the core -----------------------------------------------------------------------------------------------


def core(photo: glmv.Image, history: list[dict[str, Any]], messages: list[glmv.Message]) -> None:
    with glmv.Client(
        model="glm-4.6v", api_key="id.secret", timeout=3, max_retries=2, retry_budget=50, deadline=60, tracing=False
    ) as glm:
        answer = glm.chat([photo, "What is in this picture?"], temperature=0.5, thinking=False, stop=["END"])
        assert_type(answer, glmv.Completion)
        assert_type(answer.text, str)
        assert_type(answer.usage, glmv.Usage | None)
        for call in answer.tool_calls:
            assert_type(call, glmv.ToolCall)
        for box in answer.boxes:
            assert_type(box, glmv.Box)
        glm.chat({"role": "user", "content": "one message"})
        glm.chat(history, stop="END", extra_headers={"x-team": "one"}, boxes_of=0, validate=Size, may_replace=True)
        glm.chat(messages, model="glm-4v-flash", tools=[{"type": "function"}], tool_choice="auto")
        glm.chat("What?", tool_choice="required", on_misfit="return", keep_pictures=5)
        assert_type(glmv.why_not_imported(ImportError(), "mine", "langchain-core", "1.4", "langchain"), ImportError)
        assert_type(glmv.is_withdrawn(answer.finish_reason), bool)
        assert_type(glmv.shown("photo.jpg"), str)
        assert_type(glmv.grows({"a": 1}, {"a": 1, "b": 2}), bool)
        assert_type(glmv.partial_object('{"width": 6', Size), tuple[Size | None, Any])
        glm.chat([glmv.Message("user", [photo, glmv.Text("What?"), glmv.File.from_id("f")]), *messages])
        request = glm.request("What?", max_tokens=20)
        assert_type(request, glmv.ChatRequest)
        assert_type(glm.run(request), glmv.Completion)
        assert_type(glm.embed(["a", "b"], dimensions=256), glmv.Embeddings)
        assert_type(glm.count_tokens("What?"), int)
        task = glm.tasks.submit([photo, "What?"], temperature=0.1)
        assert_type(task, glmv.Task)
        assert_type(glm.tasks.wait(task, deadline=60), glmv.Task)
        stored = glm.files.upload(Path("lines.jsonl"), purpose="batch")
        assert_type(stored, glmv.StoredFile)
        batch = glm.batches.create({"first-request": "What?"}, model="glm-4v-plus", temperature=0.1)
        assert_type(batch, glmv.Batch)
        assert_type(glm.batches.results(batch), list[glmv.BatchResult])

        glm.chat("What?", temperture=0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        glm.stream("What?", max_token=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        glm.request("What?", modle="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        glm.chat("What?", temperature="hot")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        glm.chat("What?", api_key="k")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        glm.tasks.submit("What?", temperture=0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        glm.embed("a", dimension=256)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        glm.files.upload("a", purpos="batch")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    glmv.Client(api_key="k", modle="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    glmv.Client(timeout=3, max_retry=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    glmv.Settings(modle="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def streams(glm: glmv.Client) -> None:
    with closing(glm.stream("What?", temperature=0.5)) as deltas:
        for delta in deltas:
            assert_type(delta, glmv.Delta)
            if delta.text:
                break
    early = glm.stream({"role": "user", "content": "What?"})
    assert_type(early, Generator[glmv.Delta, None, None])
    early.close()
    total = glmv.Accumulator()
    for delta in glm.stream("What?"):
        total.add(delta)
        for piece in delta.tool_calls:
            assert_type(piece, glmv.ToolCallDelta)


async def asynchronous() -> None:
    assert_type(glmv.is_large(["What?"]), bool)
    assert_type(await glmv.in_worker(lambda: 3, deadline=2.0), int)
    print(await langchain_glmv.aimage("photo.jpg"), await langchain_glmv.avideo("clip.mp4"))
    async with glmv.AsyncClient(api_key=Vault().akey, max_concurrency=3) as glm:
        assert_type(await glm.chat("What?", temperature=0.5), glmv.Completion)
        async with aclosing(glm.stream("What?")) as deltas:
            async for delta in deltas:
                assert_type(delta, glmv.Delta)
        early = glm.stream("What?")
        assert_type(early, AsyncGenerator[glmv.Delta, None])
        await early.aclose()
        assert_type(await glm.embed("a"), glmv.Embeddings)
        assert_type(await glm.tasks.submit("What?", seed=1), glmv.Task)
        await glm.chat("What?", temperture=0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        glm.stream("What?", temperture=0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        await glm.tasks.submit("What?", sed=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    glmv.AsyncClient(modle="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def keys(vault: Vault) -> None:
    own: glmv.ApiKey = vault.key
    any_kind: glmv.AsyncApiKey = vault.akey
    for key in ("id.secret", SecretStr("id.secret"), vault.key, lambda: "id.secret", own):
        glmv.Client(key)
        glmv.AsyncClient(api_key=key)
    glmv.AsyncClient(any_kind)
    glmv.Client(vault.akey)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    glmv.Client(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ChatGLMV(api_key="id.secret")
    ChatGLMV(api_key=SecretStr("id.secret"))
    ChatGLMV(api_key=vault.key)
    ChatGLMV(api_key=vault.akey)
    GLMVEmbeddings(api_key="id.secret")
    GLMVEmbeddings(api_key=vault.key)
    GLMV(api_key="id.secret")
    GLMV(api_key=SecretStr("id.secret"))
    GLMV(api_key=vault.akey)
    GLMVMultiModal(api_key="id.secret")
    GLMVEmbedding(api_key="id.secret")
    GLMVEmbedding(api_key=vault.key)
    Job("photos", "What?", api_key=vault.key)
    Job("photos", "What?", api_key=vault.akey)


def ask(text: str, **options: Unpack[glmv.CallKeywords]) -> str:
    return glmv.Client().chat(text, **options).text


@glmv.shows(glmv.CallKeywords)
def shown(text: str, **options: Unpack[glmv.CallKeywords]) -> str:
    return ask(text, **options)


@glmv.shows(glmv.ClientKeywords)
def made(**options: Unpack[glmv.ClientKeywords]) -> glmv.Client:
    return glmv.Client(**options)


def wrapped() -> None:
    shown("What?", temperature=0.5)
    made(model="glm-4.6v", timeout=3)
    ask("What?", temperture=0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    shown("What?", temperture=0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def data(model: glmv.Model, price: glmv.Price, rates: glmv.Rates, processor: glmv.Processor, part: glmv.Part) -> None:
    assert_type(glmv.find_model("glm-4v"), glmv.Model | None)
    assert_type(glmv.models(), tuple[glmv.Model, ...])
    assert_type(glmv.__version__, str)
    settings = glmv.Settings(model="glm-4.6v", api_key="id.secret", temperature=0.1)
    connection = glmv.Connection(base_url="https://example.com", api_key=SecretStr("k"))
    options = glmv.Options(temperature=0.1)
    component: glmv.Component = ChatGLMV()
    assert_type(component.clients, glmv.Clients)
    request = glmv.chat_request("What?", settings, {"temperature": 0.2})
    headers = glmv.SecretHeaders({"authorization": "Bearer x"})
    glmv.Client.of(settings).chat("What?", extra_headers=headers)
    clip = glmv.Video.from_path("clip.mp4")
    print(model, price, rates, processor, part, connection, options, clip, request, glmv.second_turn)
    print(glmv.without_values(lambda: 1, {}))


def errors(glm: glmv.Client) -> None:
    try:
        glm.chat("What?")
    except glmv.RateLimitError as error:
        assert_type(error.retry_after, float | None)
    except (glmv.StreamInterrupted, glmv.StreamTruncated, glmv.DeadlineExceeded, glmv.ContentFilterError) as error:
        assert_type(error.partial, glmv.Completion | None)
    except (glmv.AuthenticationError, glmv.PermissionDeniedError, glmv.QuotaError, glmv.NotFoundError) as error:
        assert_type(error.code, str | None)
    except (glmv.InvalidRequestError, glmv.UnsupportedContent, glmv.LimitExceeded, glmv.ContextLengthError) as error:
        assert_type(error.message, str)
    except (glmv.ConnectionFailed, glmv.GateTimeout, glmv.RequestTimeout, glmv.ServerError) as error:
        assert_type(error.retryable, bool)
    except glmv.MalformedResponse as error:
        assert_type(error.attempts, int)
    except glmv.GLMVError as error:
        assert_type(error.status_code, int | None)


# ---- LangChain ----------------------------------------------------------------------------------------------


@tool
def note_size(width: int, height: int) -> str:
    """Record a size."""
    return f"{width}x{height}"


def langchain() -> None:
    model = ChatGLMV(model="glm-4.6v", temperature=0.3, timeout=3, max_retries=1, thinking=False, streaming=True)
    assert_type(model.invoke([HumanMessage(["What?", langchain_glmv.image("photo.jpg")])]), AIMessage)
    for chunk in (model | StrOutputParser()).stream("What?"):
        assert_type(chunk, str)
    model.bind_tools([note_size], tool_choice="any").invoke("What?")
    model.with_structured_output(Size, include_raw=True).invoke([langchain_glmv.video("clip.mp4")])
    with ChatGLMV(base_url="https://example.com", callbacks=[], tags=["a"]) as own:
        print(glmv.redact(own.invoke("What?")), langchain_glmv.draw_boxes("photo.jpg"))
    store = glmv.PictureStore("pictures")
    block = langchain_glmv.image("photo.jpg", store=store)
    assert_type(store.add("photo.jpg"), str)
    assert_type(store.get("glmv-sha256-0"), glmv.Image | glmv.Video)
    assert_type(store.remove("glmv-sha256-0"), bool)
    ChatGLMV(picture_store=store).invoke(langchain_glmv.resolve([HumanMessage([block, "What?"])], store))
    print(langchain_glmv.load(langchain_glmv.dumps(model), api_key="id.secret"))
    langchain_glmv.register()
    print(glmv.redact_spans(InMemorySpanExporter()))
    GLMVEmbeddings(model="embedding-3", dimensions=256).embed_query("a")
    print(langchain_glmv.errors)
    ChatGLMV(modle="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ChatGLMV(temperature="hot")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    GLMVEmbeddings(dimension=256)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# ---- LlamaIndex ---------------------------------------------------------------------------------------------


def llama_index(document: ImageDocument) -> None:
    llm = GLMV(model="glm-4.6v", temperature=0.2, timeout=3, max_retries=1, thinking=False, system_prompt="Be brief.")
    framework: LLM = llm
    message = ChatMessage(blocks=[ImageBlock(path=Path("photo.jpg")), TextBlock(text="What?")])
    print(llm.chat([message], temperature=0.1), llm.as_structured_llm(Size), framework)
    for response in llm.stream_chat([message]):
        print(response.delta)
    print(GLMVMultiModal(model="glm-4.6v").complete("What?", image_documents=[document]))
    documents = llama_index_glmv.load_images("photos")
    assert_type(documents, list[ImageDocument])
    captioner: TransformComponent = GLMVImageCaptioner(llm=llm)
    print(captioner(documents), llama_index_glmv.image_file_extractor(), GLMVEmbedding(dimensions=256))
    assert_type(LeafGLMV(temperature=0.1), GLMV)
    assert_type(LeafMultiModal(temperature=0.1), GLMVMultiModal)
    GLMV(modle="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    GLMVMultiModal(modle="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    GLMVEmbedding(dimension=256)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def answers(llm: GLMV) -> None:
    assert_type(llm.complete("What?", image_url="https://example.com/a.png", temperature=0.1), CompletionResponse)
    llm.complete("What?", temperture=0.1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# ---- LiteLLM ------------------------------------------------------------------------------------------------


async def litellm() -> None:
    assert_type(glmv_litellm.register(), None)
    assert_type(glmv_litellm.provider, glmv_litellm.GLMVProvider)
    glmv_litellm.provider.close()
    await glmv_litellm.provider.aclose()


# ---- jobs and the emulator ----------------------------------------------------------------------------------


def batch(shots: list[Item]) -> None:
    job = Job(shots, "How large?", model="glm-4.6v", schema=Size, temperature=0.1, base_url="https://example.com")
    assert_type(job.write("answers.jsonl", keep_columns=["title"]), Progress)
    for row in job.rows():
        assert_type(row, Row)
    Job("photos", "How large?", modle="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Job("photos", "How large?", temperture=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def answered(request: Ask) -> Reply | str:
    media: list[Medium] = list(request.media)
    print(media, ToolCall("get_weather", {"city": "Paris"}))
    return default_answer(request)


def emulator() -> None:
    with Emulator() as emu:
        emu.say("A red cat.")
        emu.answer(answered)
        with glmv.Client(emu.api_key, base_url=emu.base_url) as glm:
            print(glm.chat("What?").text)
