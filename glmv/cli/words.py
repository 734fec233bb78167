"""Rewords errors and notes for users of the command line, by one table.

The messages of the packages are for programmers: they name arguments, functions and positions in a list of messages. On
the command line there are options and files instead. A test reads every message in the packages. It fails if
a message names something that the command line does not have, and no row of the table rewords this message.
"""

from __future__ import annotations

import re

# A pattern for words of the packages -> the words that replace them. The rows are applied in this order.
_WORDS: tuple[tuple[str, str], ...] = (
    # The position of a part. It is left out: the message names the picture, and there is only one message.
    (r"messages\[\d+\], part \d+: ", ""),
    (r" The first one above the limit is at messages\[\d+\], part \d+\.", ""),
    (r" at messages\[\d+\], part \d+", ""),
    (r"messages\[\d+\]: ", ""),
    (r"messages\[\d+\] \(user\) is empty: give it text, a picture, a video or a file", "The question is empty"),
    (r"to the front of messages\[\d+\]", "to the front"),
    # Keys and servers.
    (r"pass api_key=\.\.\., or set ZHIPUAI_API_KEY", "set ZHIPUAI_API_KEY"),
    (r" Pickles do not contain the key: for worker processes, set one of these variables\.", ""),
    (r"pass the key as api_key instead", "set the key as ZHIPUAI_API_KEY instead"),
    (r", or pass allow_http=True if you trust that network \(containers, for instance\)", ""),
    (r"\bcheck base_url\b", "check --base-url"),
    (r"\bCheck base_url\b", "Check --base-url"),
    (r"\bis base_url right\b", "is --base-url right"),
    (r"^base_url (?=contains|is not|must|ends|would)", "The base URL "),
    (r" \(max_concurrency\)", " (--concurrency of glmv batch)"),
    (r"\braise max_concurrency\b", "raise --concurrency"),
    (r"\bport=0 uses\b", "--port 0 uses"),
    # Pictures and videos.
    (r", or pass fit=False to send it as it is", ""),
    (r" and others: glmv\.models\(\)", " and others: glmv models lists them"),
    (r"Pass a public URL with Image\.from_url", "Give a public URL in place of the file"),
    (r"Pass one with Video\.from_url", "Give a URL in place of the file"),
    (r", or send (some )?pictures of it: \*video\.frames\(8\)", r", or send \1pictures of it"),
    (r"video\.frames\(8\)", "pictures of it"),
    (r" To send the file, use glmv\.\w+\.from_path\.", " To send the file, name it alone."),
    (
        r"read it yourself and send the content with glmv\.\w+\.from_bytes",
        "download it and name the file",
    ),
    (r"; send it with glmv\.File, or render", "; render"),
    (r"; send it with glmv\.File\b", ""),
    (r"; use glmv\.Video\b", "; rename it: the name of a video ends with .mp4, .mkv, .mov or .webm"),
    (r"; use glmv\.Image\b", "; rename it: a name that ends with .mp4 or another suffix of videos is read as a video"),
    (r"; they are recognized by the content, not by the name\.", "."),
    (r"\bsend image\.fitted\(max_side=\d+\)\[0\]", "make it smaller"),
    (r"; glmv\.Image\.pages\(\) returns all \w+", ""),
    (r" If it is base64, give it to from_base64\.", ""),
    (r" This is a URL: give it to from_url\.", " A URL begins with https:// or http://."),
    (r" For a local file use [\w.]*from_path, for bytes [\w.]*from_bytes\.", ""),
    # Options.
    (r'\breasoning_effort=(["\'])(\w+)\1', r"--reasoning-effort \2"),
    (r"^reasoning_effort: ", "--reasoning-effort: "),
    (r"^thinking: ", "--thinking: "),
    (r"^max_tokens: ", "--max-tokens: "),
    (r"\bmax_tokens=(\d+)", r"--max-tokens \1"),
    (r"^base_model: ", "--base-model: "),
    (
        r"With thinking=True a stream separates the reasoning from the text",
        "--show-thinking shows the reasoning separately",
    ),
    (r"\bwas cut off by max_tokens: raise that limit\b", "was cut off by --max-tokens: raise that limit"),
    (
        r"\bthe prompt and max_tokens leave\b(.*)\blower max_tokens\b",
        r"the prompt and --max-tokens leave\1lower --max-tokens",
    ),
    (r" \(idle_timeout\)", ""),
    (r" \(retry_budget=\d+\)", ""),
    # Batches.
    (r"^budget must be written like\b", "--budget must be written like"),
    (r"\bgive a budget such as\b", "give a --budget such as"),
    (r"Name the column \(`column=`, `--column`\)", "Name the column (--column)"),
    (r"\bretry_failed=True sends\b", "--retry-failed sends"),
    (r"; retry_failed would send\b", "; --retry-failed would send"),
    (r"^order='input' cannot be used with via='platform'", "--order input cannot be used with --via platform"),
    (r"^budget cannot be used with via='platform'", "--budget cannot be used with --via platform"),
    (r"\bkeep_columns: ", "--keep-columns: "),
)
_TABLE = tuple((re.compile(pattern), instead) for pattern, instead in _WORDS)


def in_words_of_the_shell(message: str) -> str:
    """A message of an error or a note, in the command line's terms."""
    for pattern, instead in _TABLE:
        message = pattern.sub(instead, message)
    return message[:1].upper() + message[1:] if message[:1].isascii() and message.startswith(_BEGINS) else message


# The core begins with these in lower case after a position.
_BEGINS = ("picture", "video", "file")
