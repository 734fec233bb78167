"""A video costs as many tokens as in the published processor of its model, up to the same limit."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import pytest

from glmv_emulator.platform.models import MODELS
from glmv_emulator.platform.usage import video

av = pytest.importorskip("av", reason="the videos are made with PyAV")


def clip(seconds: int, size: tuple[int, int] = (1280, 720)) -> bytes:
    """A video of two frames with this total duration in seconds."""
    from PIL import Image

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(2, seconds))
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", size, "red"))))
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.mark.parametrize("model", ["glm-4.5v", "glm-4.6v", "glm-5v-turbo", "glm-5.3-flash"])
def test_a_long_video_fits_into_the_context_of_its_model(glm: Any, model: str) -> None:
    part = {"type": "video_url", "video_url": {"url": glm.base64(clip(600))}}
    answer = glm.chat(part, "What is it?", model=model)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["prompt_tokens"] > 20_000


# What the video processors of Hugging Face transformers make of a video of 1280 x 720 pixels, run on such videos:
# Glm46vVideoProcessor, Glm5NextVideoProcessor (which fits its frames a little closer) and Glm4vVideoProcessor.
@pytest.mark.parametrize(
    ("model", "seconds", "tokens"),
    [
        ("glm-4.6v", 5, 17_940),
        ("glm-4.6v", 10, 28_980),
        ("glm-4.6v", 3600, 26_880),
        ("glm-5.3-flash", 300, 239_400),
        ("glm-4.5v", 5, 5_980),
    ],
)
def test_a_video_costs_as_many_tokens_as_the_published_processor_counts(model: str, seconds: int, tokens: int) -> None:
    assert video(seconds, 1280, 720, MODELS[model].video_sampling) == pytest.approx(tokens, rel=0.03)


@pytest.mark.parametrize("model", [name for name, row in MODELS.items() if row.videos])
@pytest.mark.parametrize("seconds", [0, 1, 29, 31, 299, 301, 2500, 36_000])
@pytest.mark.parametrize("size", [(16, 16), (640, 480), (3840, 2160), (200, 4000)])
def test_a_video_never_costs_more_tokens_than_the_maximum_of_its_model(
    model: str, seconds: int, size: tuple[int, int]
) -> None:
    sampling = MODELS[model].video_sampling
    assert 1 <= video(seconds, *size, sampling) <= sampling.tokens
