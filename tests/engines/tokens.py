"""Token counts of pictures and videos by transformers' processors: tests/core/test_tokens.py compares the client's
estimates with these values.

    python tests/engines/tokens.py            compares them with tokens.json next to this file; exit code 1 if not equal
    python tests/engines/tokens.py --write    writes that file

It needs transformers and torch, and nothing of this project. No video is decoded: the processors return which frames
they use and how many tokens these cost. Small pictures are made and processed; for large ones the processors only
count. The timestamp after each layer of a video is counted as GLM's tokenizer splits it: at most three digits, a dot, a
word with the space before it.
"""

from __future__ import annotations

import itertools
import json
import sys
import types
from importlib import import_module
from pathlib import Path
from typing import Any

import regex
import torch
import transformers
import transformers.image_utils
import transformers.video_processing_utils
from PIL import Image
from transformers.video_utils import VideoMetadata

HERE = Path(__file__).with_name("tokens.json")
# Family -> module in transformers.models, the name of its classes, what preprocessor_config.json says beside the class.
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "glm4v": ("glm4v", "Glm4v", {"size": {"shortest_edge": 12_544, "longest_edge": 9_633_792}}),
    "glm46v": ("glm46v", "Glm46V", {}),
    "glm5-next": ("glm5_next", "Glm5Next", {}),
}
# Lists of (width, height): one picture, or several in one request.
PICTURES: list[list[tuple[int, int]]] = [
    *([size] for size in [
        (1, 1), (16, 16), (28, 28), (30, 45), (56, 56), (100, 100), (112, 112), (13, 400), (224, 224), (300, 200),
        (336, 336), (480, 640), (600, 400), (640, 480), (800, 600), (1024, 768), (1120, 1120), (1280, 720), (1366, 768),
        (1920, 1080), (1080, 1920), (2048, 1536), (2560, 1440), (2480, 3508), (3024, 4032), (3840, 2160), (4032, 3024),
        (4000, 3000), (6000, 4000), (6000, 6000), (4961, 7016),
    ]),
    # Panoramas, receipts and strips.
    *([size] for size in [
        (6000, 1000), (1000, 6000), (6000, 300), (300, 6000), (8000, 1200), (3000, 100), (100, 3000), (6000, 60),
        (40, 4000), (10, 2000), (2000, 15), (5999, 30), (12000, 1500),
    ]),
    [(640, 480), (640, 480)],
    [(1920, 1080), (30, 45), (600, 400)],
    [(4032, 3024), (3024, 4032), (1080, 1920), (1080, 1920), (6000, 1000)],
    [(1280, 720)] * 12,
]  # fmt: skip
SIDES = [
    (320, 240), (640, 360), (1280, 720), (720, 1280), (1920, 1080), (3840, 2160), (480, 480), (1920, 400), (64, 64),
    (160, 120), (100, 2000),
]  # fmt: skip
SECONDS = [
    0.1, 0.5, 0.9, 1, 1.5, 1.9, 2, 3.3, 5, 5.5, 8, 10, 15, 20.7, 29.9, 30, 31, 45, 60, 90.6, 120, 240, 299, 300, 301,
    420, 600, 639, 700, 1000, 1800, 2400, 3600,
]  # fmt: skip
RATES = [0.5, 1, 2, 3, 5, 6, 10, 12.5, 15, 24, 25, 29.97, 30, 60]
# Sides of each pair of a length and a rate: this many of the list, the next ones each time.
SIDES_OF_PAIR = 3
# (seconds, frames a second) of videos with one frame.
STILL = [(1 / 60, 60), (1 / 25, 25), (0.1, 10), (0.5, 2), (1, 1), (2, 0.5), (10, 0.1), (60, 1 / 60)]
# Widths of pictures that are made and processed, not only counted.
SMALL = 1400

VIDEOS: list[tuple[int, int, float, float]] = [
    (*SIDES[(index * SIDES_OF_PAIR + at) % len(SIDES)], seconds, rate)
    for index, (seconds, rate) in enumerate([*itertools.product(SECONDS, RATES), *STILL])
    for at in range(SIDES_OF_PAIR)
]

GLM_TOKENS = regex.compile(r"\p{N}{1,3}| ?\p{L}+|[^\s\p{L}\p{N}]+")
MARKS = 2  # <|begin_of_image|> and <|end_of_image|>, or <|begin_of_video|> and <|end_of_video|>


def without_torchvision() -> None:
    """Register empty modules as torchvision: transformers' video processors import it, but only resizing needs it."""
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.v2"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["torchvision.transforms.v2"].functional = types.ModuleType("functional")  # type: ignore[attr-defined]


def pictures(processor: Any, sizes: list[tuple[int, int]]) -> int | None:
    """Tokens of the pictures of one request; None if the processor refuses one of them."""
    cells = processor.merge_size**2
    try:
        results = [processor.get_number_of_image_patches(height, width, {}) // cells for width, height in sizes]
    except ValueError:
        return None
    if all(max(size) <= SMALL for size in sizes):
        result = processor.preprocess([Image.new("RGB", size) for size in sizes])["image_grid_thw"]
        assert [int(torch.as_tensor(grid).prod()) // cells for grid in result] == results
    return sum(results) + MARKS * len(sizes)


def video(processor: Any, spoken: type, width: int, height: int, seconds: float, rate: float) -> int | None:
    """Tokens of a video, with tags and timestamps of its layers, as the model's processor writes them.

    None if the processor uses no frame of it and fails.
    """
    about = VideoMetadata(total_num_frames=max(1, round(seconds * rate)), fps=rate, duration=seconds)
    about.frames_indices = processor.sample_frames(about)
    if len(about.frames_indices) == 0:
        return None
    patches = processor.get_num_of_video_patches(len(about.frames_indices), height, width)
    layers = -(-len(about.frames_indices) // processor.temporal_patch_size)
    writer = types.SimpleNamespace(video_processor=processor, image_token="I")
    writer.replace_frame_token_id = types.MethodType(spoken.replace_frame_token_id, writer)
    # The processor multiplies the three numbers and divides by the first: how rows and columns share them is no matter.
    values = {"video_grid_thw": torch.tensor([[layers, patches // layers, 1]]), "video_metadata": [about]}
    text = spoken.replace_video_token(writer, values, 0)
    words = regex.split(r"<\|begin_of_image\|>(I+)<\|end_of_image\|>", text)
    return MARKS + sum(
        len(GLM_TOKENS.findall(word)) if index % 2 == 0 else len(word) + MARKS for index, word in enumerate(words)
    )


def computed() -> dict[str, Any]:
    without_torchvision()
    values: dict[str, Any] = {"versions": {"transformers": transformers.__version__}, "families": {}}
    for family, (module, name, settings) in FAMILIES.items():
        at = f"transformers.models.{module}"
        result = getattr(import_module(f"{at}.image_processing_pil_{module}"), f"{name}ImageProcessorPil")(**settings)
        filmed = getattr(import_module(f"{at}.video_processing_{module}"), f"{name}VideoProcessor")()
        spoken = getattr(import_module(f"{at}.processing_{module}"), f"{name}Processor")
        values["families"][family] = {
            "pictures": [[sizes, pictures(result, sizes)] for sizes in PICTURES],
            "videos": [
                [*side, seconds, rate, video(filmed, spoken, *side, seconds, rate)] for *side, seconds, rate in VIDEOS
            ],
        }
    return values


def text_of(found: dict[str, Any]) -> str:
    """JSON with a line for each picture and video."""
    lines = ['{"versions": ' + json.dumps(found["versions"]) + ', "families": {']
    for family, kinds in found["families"].items():
        lines.append(f'"{family}": {{')
        for kind, rows in kinds.items():
            lines += [f'"{kind}": [', ",\n".join(map(json.dumps, rows)), "]" + "," * (kind == "pictures")]
        lines.append("}" + "," * (family != list(found["families"])[-1]))
    return "\n".join([*lines, "}}", ""])


if __name__ == "__main__":
    now = text_of(computed())
    if "--write" in sys.argv:
        HERE.write_text(now, "utf-8")
    elif json.loads(now)["families"] != json.loads(HERE.read_text("utf-8"))["families"]:
        sys.exit(f"transformers {transformers.__version__} counts otherwise: look, and write anew with --write")
    else:
        sys.stdout.write(f"tokens.json is what transformers {transformers.__version__} counts\n")
