"""Token estimates, compared with the counts of transformers' processors (written by tests/engines/tokens.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from glmv.catalog.lookup import find_model, models
from glmv.catalog.processor import Processor

COUNTED = json.loads((Path(__file__).parents[1] / "engines" / "tokens.json").read_text("utf-8"))["families"]
MODELS = {"glm4v": "glm-4.5v", "glm46v": "glm-4.6v", "glm5-next": "glm-5.3-flash"}


def processor(family: str) -> Processor:
    row = find_model(MODELS[family])
    assert row is not None
    assert row.processor is not None
    return row.processor


def relative_error(estimate: int, counted: int) -> float:
    return abs(estimate - counted) / counted


@pytest.mark.parametrize("family", COUNTED)
def test_token_estimates_of_pictures_are_at_most_2_percent_off(family: str) -> None:
    ours = processor(family)
    worst = {
        str(sizes): relative_error(sum(ours.picture(*size) for size in sizes), counted)
        for sizes, counted in COUNTED[family]["pictures"]
        if counted is not None
    }
    assert len(worst) >= 40
    assert {sizes: error for sizes, error in worst.items() if error > 0.02} == {}


@pytest.mark.parametrize("family", COUNTED)
def test_token_estimates_of_videos_are_at_most_5_percent_off(family: str) -> None:
    ours = processor(family)
    worst = {
        f"{width}x{height}, {seconds} s at {rate}": relative_error(ours.video(width, height, seconds, rate), counted)
        for width, height, seconds, rate, counted in COUNTED[family]["videos"]
        if counted is not None
    }
    assert len(worst) >= 1300
    assert {video: error for video, error in worst.items() if error > 0.05} == {}


@pytest.mark.parametrize("family", COUNTED)
def test_the_processor_refuses_exactly_the_pictures_beyond_its_aspect_ratio_limit(family: str) -> None:
    most = processor(family).most_aspect
    for sizes, counted in COUNTED[family]["pictures"]:
        narrow = most is not None and any(max(size) > most * min(size) for size in sizes)
        assert (counted is None) == narrow, sizes


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [
        ("glm-4.5v", (6000, 6000), 6144),
        ("glm-4.1v-thinking-flash", (6000, 6000), 6144),
        ("glm-4.6v", (6000, 6000), 7500),
        ("glm-5.3-flash", (6000, 6000), 8000),
    ],
)
def test_the_token_count_of_a_large_picture_is_the_maximum_of_its_model_family(
    model: str, size: tuple[int, int], tokens: int
) -> None:
    row = find_model(model)
    assert row is not None
    assert row.processor is not None
    assert 0.97 * tokens <= row.processor.picture(*size) <= tokens + 2


def test_every_model_with_published_weights_has_a_processor_in_its_catalog_row() -> None:
    without = {row.name for row in models() if row.images != 0 and row.processor is None}
    assert without == {"glm-4v", "glm-4v-plus", "glm-4v-plus-0111", "glm-4v-flash"}


@pytest.mark.parametrize("seconds", [0.0, 0.01, 1e9])
@pytest.mark.parametrize("family", COUNTED)
def test_the_token_count_of_a_video_of_any_duration_is_bounded(family: str, seconds: float) -> None:
    ours: Any = processor(family)
    assert 0 < ours.video(1920, 1080, seconds) <= ours.video_tokens + 6 * ours.video_frames


@pytest.mark.parametrize("frame_rate", [None, 0.0, 0.001, 1.0, 90_000.0])
@pytest.mark.parametrize("seconds", [0.0, 0.01, 1.0, 1e9])
@pytest.mark.parametrize("family", COUNTED)
def test_the_number_of_counted_frames_is_bounded_for_any_frame_rate(
    family: str, seconds: float, frame_rate: float | None
) -> None:
    ours = processor(family)
    assert 1 <= ours.frames(seconds, frame_rate) <= ours.video_frames


@pytest.mark.parametrize("family", COUNTED)
def test_the_tokens_of_a_video_of_few_frames_depend_on_the_number_of_frames(family: str) -> None:
    ours = processor(family)
    assert ours.frames(20, 1) == 20
    assert ours.frames(20, 0.05) == 1
    assert ours.video(640, 360, 20, 1) < ours.video(640, 360, 20)


def test_the_recorded_token_counts_name_the_transformers_version() -> None:
    record = json.loads((Path(__file__).parents[1] / "engines" / "tokens.json").read_text("utf-8"))
    assert record["versions"]["transformers"]
    rates = {rate for _, _, _, rate, _ in record["families"]["glm46v"]["videos"]}
    assert {1, 2, 5, 10, 15, 24, 25, 30, 60} <= rates
