"""`glmv ask` at a terminal: lines break between words, and the question comes last."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import glmv
from glmv.cli.app import app
from glmv.cli.cost import money
from glmv.cli.wrap import Wrap
from glmv_emulator import Emulator

PICTURES = Path(__file__).parents[2] / "examples" / "pictures"
PROSE = (
    "The cup is red.\n\n  It stands on a saucer, beside a silver spoon; 图里有一个红色的咖啡杯。 Unbreakable: "
    + "x" * 30
)


def wrapped(text: str, width: int, step: int = 1) -> str:
    wrap = Wrap(width)
    return "".join(wrap.feed(text[at : at + step]) for at in range(0, len(text), step)) + wrap.rest()


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_lines_break_between_words_and_no_word_is_lost(step: int) -> None:
    assert wrapped(PROSE, 24, step).splitlines() == [
        "The cup is red.",
        "",
        "  It stands on a saucer,",
        "beside a silver spoon;",
        "图里有一个红色的咖啡杯。",
        "Unbreakable:",
        "x" * 30,
    ]


def test_text_that_fits_into_the_width_of_the_terminal_is_unchanged() -> None:
    assert wrapped(PROSE, 500) == PROSE


def test_lines_of_code_between_fences_are_not_broken() -> None:
    code = "```python\nprint('a line that is longer than the terminal is wide')\n```\n"
    assert wrapped(code, 20) == code
    assert "\n" in wrapped(code + "and words after it are broken again", 20).removeprefix(code)


@pytest.mark.parametrize("words", [["coffee.jpg"], ["What is this?", "coffee.jpg"], ["cat.jpg", "coffee.jpg"]])
def test_the_error_for_a_missing_or_misplaced_question_suggests_a_command(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PICTURES)
    result = CliRunner().invoke(app, ["ask", "--emulator", *words], env={"COLUMNS": "200"})
    assert result.exit_code == 1
    assert "The question comes last" in result.stderr
    files = " ".join(word for word in words if word.endswith(".jpg"))
    assert f'glmv ask {files} "What is in this picture?"' in " ".join(result.stderr.split())


def test_the_error_of_the_command_ask_without_a_key_suggests_the_emulator() -> None:
    result = CliRunner().invoke(app, ["ask", str(PICTURES / "cat.jpg"), "What is this?"], env={"COLUMNS": "200"})
    assert result.exit_code == 1
    assert "--emulator" in result.stderr


def test_an_alias_has_the_price_of_its_model_and_glmv_ask_accepts_a_base_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = glmv.Usage(1_000_000, 0, 1_000_000)
    assert money("ours", usage, "https://api.z.ai/api/paas/v4") == ""
    assert (
        money("zai-org/GLM-4.6V", usage, "https://api.z.ai/api/paas/v4")
        == money("glm-4.6v", usage, "https://api.z.ai/api/paas/v4")
        != ""
    )
    with Emulator() as emu:
        monkeypatch.setenv("ZHIPUAI_API_KEY", emu.api_key)
        words = ["ask", "--base-url", emu.base_url, "--model", "glm-4.6v", "--base-model", "glm-4v", "Hi"]
        assert CliRunner().invoke(app, words).exit_code == 0
        assert "base_model" not in emu.requests[0].body
        refused = CliRunner().invoke(app, ["ask", "--base-url", emu.base_url, "--base-model", "glm-9", "Hi"])
    assert refused.exit_code == 1
    assert "glm-4.6v" in refused.stderr


@pytest.mark.parametrize("most", ["1", "30"])
def test_a_note_says_that_an_answer_was_cut_off(most: str) -> None:
    words = ["ask", "--emulator", "--max-tokens", most, str(PICTURES / "cat.jpg"), "Describe it."]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "note: the answer ends here because its tokens are used up" in result.stderr
    whole = CliRunner().invoke(app, ["ask", "--emulator", str(PICTURES / "cat.jpg"), "Describe it."])
    assert "tokens are used up" not in whole.stderr
