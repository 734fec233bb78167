"""LangChain's own standard tests, over the emulator, with every property that the model family supports.

Switched off: audio (the GLM-4V family does not support it; glm-4-voice is another model) and cassettes (the emulator
answers live, so there is nothing to record).
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import types
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests, chat_models
from langchain_tests.unit_tests import ChatModelUnitTests

from glmv.structured import expected
from glmv_emulator import Ask, Emulator, Reply, ToolCall, default_answer
from langchain_glmv import ChatGLMV

# LangChain calls some of what it tests a beta.
pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")


class TestChatGLMVUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[ChatGLMV]:
        return ChatGLMV

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "glm-4.6v"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        # The key is read from the environment, too, but when it is first needed: see test_langchain_model_features.py.
        return {"LC_OUTPUT_VERSION": "v1"}, {"model": "glm-4.6v"}, {"output_version": "v1"}

    @pytest.mark.xfail(
        strict=True,
        reason="langchain-core 1.7.2 loads classes of a built-in table only, so no third party can pass; "
        "langchain_glmv.load does it",
    )
    def test_serdes(self, model: Any, snapshot: Any) -> None:
        super().test_serdes(model, snapshot)


def calls_once(ask: Ask) -> Reply:
    """Calls the first tool as a capable model does, and answers from its result."""
    if any(message["role"] == "tool" for message in ask.messages):
        return default_answer(ask)
    function = ask.tools[0]["function"]
    return Reply(tool_calls=[ToolCall(function["name"], dict.fromkeys(function["parameters"]["required"], "Pirate"))])


class Family:
    """Properties of the model family, and a server for the tests."""

    emulator: Emulator
    joke: ClassVar[dict[str, str]] = {"setup": "Why do cats purr?", "punchline": "They are pleased."}

    @pytest.fixture(autouse=True)
    def _script(self, request: pytest.FixtureRequest, _server: None) -> Iterator[None]:
        """Answers that need a model's judgement are scripted; the default rules answer the other tests."""
        match request.node.originalname:
            case "test_bind_runnables_as_tools" | "test_agent_loop":
                self.emulator.answer(calls_once)
            case "test_json_mode":
                self.emulator.answer(lambda ask: json.dumps(self.joke))
        yield
        self.emulator.reset()

    @pytest.fixture(autouse=True, scope="class")
    @staticmethod
    def _server(request: pytest.FixtureRequest) -> Iterator[None]:
        with Emulator() as emulator:
            request.cls.emulator = emulator
            yield

    @property
    def chat_model_class(self) -> type[ChatGLMV]:
        return ChatGLMV

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "glm-4.6v", "base_url": self.emulator.base_url, "api_key": self.emulator.api_key}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_video_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "glm-4.5v"

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        return {way: ["reasoning_output", "cache_read_input"] for way in ("invoke", "stream")}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self._asked("Which is larger, 17 x 23 or 400? Think.", stream, thinking=True)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        long = "A story about a lighthouse. " * 400
        self._asked(long, stream)
        return self._asked(long, stream)

    def _asked(self, question: str, stream: bool, **options: Any) -> AIMessage:
        model = ChatGLMV(**self.chat_model_params, **options)
        if not stream:
            return model.invoke(question)
        first, *rest = model.stream(question)
        whole = first.__add__(rest)
        assert isinstance(whole, AIMessage)
        return whole


@pytest.mark.usefixtures("downloads")
class TestChatGLMVIntegration(Family, ChatModelIntegrationTests):
    """The tests as LangChain ships them."""


def renamed() -> types.ModuleType:
    """LangChain's integration tests, with names of tools and parameters and wording replaced in their source."""
    source = inspect.getsource(chat_models)
    for old, new in RENAMED.items():
        assert re.search(old, source), f"langchain-tests no longer holds {old}"
        source = re.sub(old, new, source)
    module = types.ModuleType("renamed_chat_models")
    sys.modules[module.__name__] = module
    exec(compile(source, "renamed_chat_models.py", "exec"), module.__dict__)
    return module


RENAMED = {
    r"What is the value of magic_function\(3\)\? Use the tool\.": "Take the tool and work out double_up for 3, please.",
    r"What is the value of magic_function_no_args\(\)\? Use the tool\.": "Roll the dice for me with the tool, please.",
    r"Apply a magic function to an input\.": "Give back twice a quantity.",
    r"Calculate a magic function\.": "Roll one die.",
    r"\bmagic_function_no_args\b": "roll_dice",
    r"\bmagic_function\b": "double_up",
    r"\b_input\b": "_quantity",
    r"\binput: int = Field": "quantity: int = Field",
    r'\{"input": 3\}': '{"quantity": 3}',
    r"Using the tool, generate a Pirate greeting\.": "Make a salute in the manner of a Cowboy, by the tool.",
    r"\bgreeting_generator\b": "salute_maker",
    r"\banswer_style\b": "manner",
    r"\bweather\b": "tide",
    r"\bget_weather\b": "tide_at",
    r"\blocation\b": "harbour",
    r"\bunicode_customer\b": "open_account",
    r"\bcustomer_name\b": "holder",
    r"\bcustomer\b": "account",
    r"\bJoke\b": "Riddle",
    r"\b[Jj]oke\b": "riddle",
    r"\bcats\b": "owls",
    r"\bsetup\b": "asked",
    r"\bpunchline\b": "solution",
}


@pytest.mark.usefixtures("downloads")
class TestRenamed(Family, renamed().ChatModelIntegrationTests):  # type: ignore[misc]  # a class made at run time
    """Answers do not depend on the wording of the tests."""

    joke: ClassVar[dict[str, str]] = {"asked": "Why do owls hoot?", "solution": "They are pleased."}


@pytest.mark.usefixtures("downloads")
class TestParaphrased(Family, ChatModelIntegrationTests):
    """Forced tools and JSON do not depend on the wording of `glmv`'s instructions."""

    @pytest.fixture(autouse=True)
    @staticmethod
    def _other_words(monkeypatch: pytest.MonkeyPatch) -> None:
        for name, words in {
            "_ANY_TOOL": "You have to answer by using one of the functions {names}, without any text.",
            "_ONE_TOOL": "You have to answer by using the function {name}, without any text.",
            "_JSON": 'Give the answer as one object, {"type": "object"}. Explain nothing and wrap it in nothing.',
            "_SCHEMA": "The answer must be JSON, valid under this JSON Schema, with nothing around it:\n{schema}",
            "_UNLESS_TOOL": " Whoever uses a function need not mind this.",
            "_AGAIN": "That does not do: {problem}. {instruction}",
        }.items():
            monkeypatch.setattr(expected, name, words)


def test_only_the_standard_tests_of_audio_and_vcr_are_skipped() -> None:
    off = {
        name
        for name in dir(TestChatGLMVIntegration)
        if name.startswith(("supports_", "has_", "returns_", "enable_"))
        and getattr(TestChatGLMVIntegration(), name) is False
    }
    assert off == {"supports_audio_inputs", "enable_vcr_tests"}
