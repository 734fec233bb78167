"""No message on the command line names something that exists only in Python."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import glmv
from glmv.cli.words import in_words_of_the_shell

ROOT = Path(__file__).parents[2]
# Arguments of the packages that are no plain English words.
NAMES = (
    r"api_key|base_url|allow_http|max_retries|idle_timeout|max_concurrency|http_client|base_model|on_sensitive|base64_as|"
    r"max_tokens|reasoning_effort|response_format|retry_failed|tool_choice|extra_body|column="
)
PYTHON = re.compile(
    r"\b[a-z_]+=(?![=>])|glmv\.[A-Za-z_]+|from_(?:url|path|bytes|id|pil|base64)\b|messages\[|\*video|\.frames\b|"
    rf"\b(?:{NAMES})"
)
# Modules whose messages no command leads to, with the reason.
ELSEWHERE = {
    "glmv/telemetry.py": "spans, and documentation",
    "glmv/keywords.py": "documentation",
    "glmv/structured/judging.py": "a table of the documentation",
    "glmv/endpoints/embeddings.py": "no command embeds",
    "glmv/endpoints/files.py": "parts of a request",
    "glmv/transport/http_client.py": "parts of a request",
    "glmv/transport/keys.py": "commands have no functions for keys",
    "glmv/request/messages.py": "commands make `Message` themselves",
    "glmv/request/histories.py": "a command asks one question",
    "glmv/request/tool_results.py": "commands have no tools",
    "glmv/types.py": "commands make parts by `from_path`",
    "glmv_batch/ray.py": "for programs",
}
# The beginnings of further messages of this kind.
PROGRAMMERS_ONLY = (
    "No file is opened because a message says so",
    "7: the read() of this 7",
    "from_path, from_bytes, from_base64, from_url",
    "a URL, a path, bytes, base64, an open file",
    "By content and limits: the picture file",
    "extra_headers is an option of one call",
    "A job with via=7 sends with 7",
    " Further keys of the body",
    "messages[7], part 7",  # stands before messages, see below
    "messages[7] has 7, but 7 does not support tools",
    "boxes_of=7",
    "request_id=7",
    "temperature=0",
    "reasoning_effort=7 was sent",  # of a value, see below
    "Remove fit=False to have the picture fitted",
    "File.from_path or from_bytes",
    "tool_choice",
    "response_format takes",
    "auth='token'",
    "The api_key function",
    "api_key must be a str, a SecretStr or a function",
    "Pass either prompt=",
    "from_pil takes",
    "The Pillow picture has",
    "AsyncClient needs a running event loop",
    "A path in a message is never opened",
    "Fitted picture files by content",
    "pragma locking_mode",
    "model=7",  # how a client is written
)


def messages(path: Path) -> Iterator[str]:
    """The strings of a module that are sentences; a 7 replaces each value of an f-string."""
    tree = ast.parse(path.read_text("utf-8"))
    apart: set[ast.AST] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if node.body and isinstance(node.body[0], ast.Expr):
                    apart.add(node.body[0].value)
            case ast.JoinedStr(values=values):
                apart.update(inner for inner in ast.walk(node) if inner is not node)
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in apart and " " in node.value:
            yield node.value


def test_no_message_on_the_command_line_contains_terms_of_python() -> None:
    problems = []
    for path in [*ROOT.glob("glmv/**/*.py"), *ROOT.glob("glmv_batch/*.py")]:
        name = path.relative_to(ROOT).as_posix()
        if name in ELSEWHERE or name.startswith("glmv/cli/"):
            continue
        problems += [
            f"{name}: {result}"
            for message in messages(path)
            if PYTHON.search(result := in_words_of_the_shell(message)) and not message.startswith(PROGRAMMERS_ONLY)
        ]
    assert problems == []


@pytest.mark.parametrize(
    ("python", "shell"),
    [
        ("messages[0], part 0: glm-5 does not accept pictures.", "glm-5 does not accept pictures."),
        ("No API key: pass api_key=..., or set ZHIPUAI_API_KEY (here).", "No API key: set ZHIPUAI_API_KEY (here)."),
        (
            "picture 'a.jpg' is torn. Save it, or pass fit=False to send it as it is.",
            "Picture 'a.jpg' is torn. Save it.",
        ),
        ("reasoning_effort='low' was sent to x", "--reasoning-effort low was sent to x"),
        ("base_url ends with /x: give https://y instead.", "The base URL ends with /x: give https://y instead."),
        (
            "make fewer concurrent calls (max_concurrency).",
            "make fewer concurrent calls (--concurrency of glmv batch).",
        ),
    ],
)
def test_terms_of_python_in_a_message_become_options_of_the_command_line(python: str, shell: str) -> None:
    assert in_words_of_the_shell(python) == shell


def test_server_messages_and_file_names_are_not_reworded_for_the_command_line() -> None:
    for message in (
        'The field "max_tokens" is invalid (HTTP 400)',
        "Picture: there is no file 'base_url.jpg'.",
        "no glmv.models here: api_key",
    ):
        assert in_words_of_the_shell(message) == message
    assert str(glmv.InvalidRequestError("messages[0]: x")) == "messages[0]: x", "Python keeps its own"
