"""`glmv batch`: one line for each of many pictures, and no picture is asked about twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from typer.testing import CliRunner

from glmv.cli.app import app
from glmv_emulator import Emulator

SCHEMA = {"type": "object", "properties": {"width": {"type": "integer"}}, "required": ["width"]}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(["a.png", "b.png", "more/c.jpg"]):
        Picture.new("RGB", (50 + number, 40), "teal").save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def run(emu: Emulator, *words: str) -> tuple[int, str]:
    env = {"ZHIPUAI_API_KEY": emu.api_key, "ZHIPUAI_BASE_URL": emu.base_url}
    result = CliRunner().invoke(app, ["batch", *words], env=env)
    return result.exit_code, result.stderr


def rows(path: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    by_key = {row["key"]: row for row in lines}
    assert len(by_key) == len(lines), "each picture stands once"
    return by_key


def test_each_picture_of_a_folder_gets_a_line_in_the_output(photos: Path, tmp_path: Path) -> None:
    with Emulator() as emu:
        code, output = run(emu, str(photos), "How large is it?", "-o", str(tmp_path / "out.jsonl"))
    assert code == 0, output
    answers = rows(tmp_path / "out.jsonl")
    assert set(answers) == {"a.png", "b.png", "more/c.jpg"}
    assert "52" in answers["more/c.jpg"]["text"]
    assert answers["a.png"]["prompt_tokens"] > 0


def test_a_second_run_sends_nothing_and_repairs_an_incomplete_line_of_the_output(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with Emulator() as emu:
        run(emu, str(photos), "How large is it?", "-o", str(out))
        whole = out.read_bytes()
        *complete, torn = whole.splitlines(keepends=True)
        out.write_bytes(b"".join(complete) + torn[:-9])
        code, _ = run(emu, str(photos), "How large is it?", "-o", str(out))
        assert code == 0
        assert len(emu.requests) == 3, "the ledger has the torn one, too"
    assert len(rows(out)) == 3


def test_keys_and_pictures_are_read_from_the_columns_of_a_table(photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "products.csv"
    table.write_text("id,front\nred-1,photos/a.png\nred-2,photos/b.png\n")
    with Emulator() as emu:
        code, output = run(emu, str(table), "How large is it?", "-o", str(tmp_path / "out.jsonl"), "--column", "front")
        assert code == 0, output
        code, output = run(emu, str(table), "How large is it?", "-o", str(tmp_path / "other.jsonl"))
    assert set(rows(tmp_path / "out.jsonl")) == {"red-1", "red-2"}
    assert code == 1
    assert "--column" in output.replace("\n", " ")


def test_an_unreadable_picture_gives_a_row_with_its_error(photos: Path, tmp_path: Path) -> None:
    (photos / "broken.png").write_bytes(b"no picture")
    with Emulator() as emu:
        code, _ = run(emu, str(photos), "How large is it?", "-o", str(tmp_path / "out.jsonl"))
    answers = rows(tmp_path / "out.jsonl")
    assert code == 1
    assert answers["broken.png"]["error_class"] == "UnsupportedContent"
    assert answers["broken.png"]["retryable"] is False
    assert "text" in answers["a.png"]


def test_each_row_has_the_parsed_answer_if_a_schema_is_given(photos: Path, tmp_path: Path) -> None:
    schema = tmp_path / "size.json"
    schema.write_text(json.dumps(SCHEMA))
    with Emulator() as emu:
        code, output = run(emu, str(photos), "Measure it.", "-o", str(tmp_path / "out.jsonl"), "--schema", str(schema))
    assert code == 0, output
    assert {row["parsed"]["width"] for row in rows(tmp_path / "out.jsonl").values()} == {50, 51, 52}


def test_a_wrong_key_ends_the_run_before_the_output_file_is_created(photos: Path, tmp_path: Path) -> None:
    with Emulator() as emu:
        env = {"ZHIPUAI_API_KEY": "wrong-id.wrong-secret", "ZHIPUAI_BASE_URL": emu.base_url}
        result = CliRunner().invoke(app, ["batch", str(photos), "What?", "-o", str(tmp_path / "o.jsonl")], env=env)
    assert result.exit_code == 1
    assert "key" in result.stderr
    assert not (tmp_path / "o.jsonl").exists()


def test_a_run_on_the_platform_refuses_a_ledger_with_answers_of_the_emulator(photos: Path, tmp_path: Path) -> None:
    words = ["batch", str(photos), "What?", "-o", str(tmp_path / "o.jsonl")]
    none: dict[str, str | None] = dict.fromkeys(("GLMV_BASE_URL", "ZHIPUAI_BASE_URL", "ZAI_BASE_URL", "ZAI_API_KEY"))
    assert CliRunner().invoke(app, [*words, "--emulator"], env=none).exit_code == 0
    tried = rows(tmp_path / "o.jsonl")
    result = CliRunner().invoke(app, words, env={**none, "ZHIPUAI_API_KEY": "test-id.test-secret"})
    assert result.exit_code == 1
    assert "has answers of loopback, but this job uses open.bigmodel.cn" in " ".join(result.stderr.split())
    assert rows(tmp_path / "o.jsonl") == tried


def test_no_more_calls_run_at_once_than_the_option_concurrency_allows(photos: Path, tmp_path: Path) -> None:
    for number in range(12):
        Picture.new("RGB", (60 + number, 40), "navy").save(photos / f"n{number}.png")
    with Emulator(concurrency={"glm-4.6v": 2}) as emu:
        code, output = run(
            emu, str(photos), "How large is it?", "-o", str(tmp_path / "out.jsonl"), "--concurrency", "2"
        )
        assert code == 0, output
        assert [entry.status for entry in emu.requests] == [200] * 15


def test_a_parquet_file_has_a_column_for_each_property_of_the_schema(photos: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    schema, out = tmp_path / "size.json", tmp_path / "out.parquet"
    schema.write_text(json.dumps(SCHEMA))
    with Emulator() as emu:
        code, output = run(emu, str(photos), "Measure it.", "-o", str(out), "--schema", str(schema), "--order", "input")
    assert code == 0, output
    assert parquet.read_table(out).column("width").to_pylist() == [50, 51, 52]


def test_a_batch_over_a_pattern_asks_about_the_matching_files_only(photos: Path, tmp_path: Path) -> None:
    with Emulator() as emu:
        code, output = run(emu, str(photos / "*.png"), "How large is it?", "-o", str(tmp_path / "out.jsonl"))
    assert code == 0, output
    assert {Path(key).name for key in rows(tmp_path / "out.jsonl")} == {"a.png", "b.png"}


def test_the_option_progress_json_prints_lines_of_json_on_stdout(photos: Path, tmp_path: Path) -> None:
    with Emulator() as emu:
        env = {"ZHIPUAI_API_KEY": emu.api_key, "ZHIPUAI_BASE_URL": emu.base_url}
        words = ["batch", str(photos), "What?", "-o", str(tmp_path / "o.jsonl"), "--progress", "json"]
        result = CliRunner().invoke(app, words, env=env)
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["answered"], last["total"], last["errors"]) == (3, 3, {})
    assert last["input_tokens"] > 0


def test_a_spent_budget_ends_the_run_with_exit_code_1_and_a_message(photos: Path, tmp_path: Path) -> None:
    with Emulator() as emu:
        code, output = run(emu, str(photos), "What?", "-o", str(tmp_path / "o.jsonl"), "--budget", "10 tokens")
    assert code == 1
    assert "the budget is spent" in " ".join(output.split())
    assert len(rows(tmp_path / "o.jsonl")) == 1


def test_the_error_for_a_model_that_does_not_support_batches_lists_models_that_do(photos: Path, tmp_path: Path) -> None:
    with Emulator() as emu:
        code, output = run(emu, str(photos), "What?", "-o", str(tmp_path / "o.jsonl"), "--via", "platform")
    assert code == 1
    assert "glm-4v-plus-0111" in output


@pytest.mark.parametrize("source", ["folder", "folder of texts", "pattern", "table without rows"])
def test_input_without_pictures_is_reported_with_exit_code_1(tmp_path: Path, source: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no picture")
    (tmp_path / "t.csv").write_text("id,photo\n")
    words, message = {
        "folder": (tmp_path / "in", "There is no picture, video or Parquet file in the folder"),
        "folder of texts": (tmp_path / "notes", "There is no picture, video or Parquet file in the folder"),
        "pattern": (tmp_path / "in" / "*.jpg", "No file matches"),
        "table without rows": (tmp_path / "t.csv", "t.csv has no rows"),
    }[source]
    with Emulator() as emu:
        code, output = run(emu, str(words), "How large?", "-o", str(tmp_path / "o.jsonl"))
        assert len(emu.requests) == 0
    assert code == 1
    assert message in " ".join(output.split())
    assert not (tmp_path / "o.jsonl").exists()


@pytest.mark.parametrize(("words", "columns"), [("title", ["title"]), ("id, title", ["id", "title"]), ("*", None)])
def test_the_option_keep_columns_copies_columns_of_the_table_into_the_output(
    tmp_path: Path, words: str, columns: list[str] | None
) -> None:
    Picture.new("RGB", (50, 40), "teal").save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("id,photo,title\n5,a.png,Teal\n")
    with Emulator() as emu:
        code, output = run(emu, str(tmp_path / "t.csv"), "?", "-o", str(tmp_path / "o.csv"), "--keep-columns", words)
        assert code == 0, output
        code, output = run(emu, str(tmp_path / "t.csv"), "?", "-o", str(tmp_path / "x.csv"), "--keep-columns", "price")
    header, row = (tmp_path / "o.csv").read_text("utf-8").splitlines()
    names = columns or ["id", "photo", "title"]
    assert header.split(",")[: len(names) + 1] == ["key", *names]
    assert row.split(",")[: len(names) + 1] == [
        "5",
        *({"id": "5", "photo": "a.png", "title": "Teal"}[n] for n in names),
    ]
    assert code == 1
    assert "item 1 has no column price; it has id, photo, title" in " ".join(output.split())


@pytest.mark.parametrize("budget", ["0 CNY", "0 tokens"])
def test_a_run_stopped_by_a_budget_of_zero_names_the_budget_as_the_reason(
    photos: Path, tmp_path: Path, budget: str
) -> None:
    with Emulator() as emu:
        code, output = run(
            emu, str(photos), "?", "-o", str(tmp_path / "o.csv"), "--model", "glm-4.6v", "--budget", budget
        )
    assert code == 1
    assert "0 answered, 0 failed" in output
    assert "stopped: the budget is spent" in " ".join(output.split())


def test_a_table_is_never_replaced_by_its_answers(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image\nphotos/a.png\n")
    with Emulator() as emu:
        code, output = run(emu, str(tmp_path / "t.csv"), "?", "-o", str(tmp_path / "t.csv"))
    assert code == 1
    assert "is the source of this job" in " ".join(output.split())
    assert (tmp_path / "t.csv").read_text() == "image\nphotos/a.png\n"
