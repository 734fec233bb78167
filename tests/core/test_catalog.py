"""The catalogue: one row per model, each with its source."""

from __future__ import annotations

import dataclasses
import re
import time

import pytest

from glmv.catalog.lookup import find_model, models, rows_of
from glmv.catalog.row import Model

VISION = {
    "glm-4v", "glm-4v-plus", "glm-4v-plus-0111", "glm-4v-flash", "glm-4.1v-thinking-flash",
    "glm-4.1v-thinking-flashx", "glm-4.5v", "glm-4.6v", "glm-4.6v-flash", "glm-4.6v-flashx", "glm-5v-turbo",
    "glm-5.3-flash", "glm-5.3-flashx", "autoglm-phone", "autoglm-phone-multilingual",
}  # fmt: skip


def row(name: str) -> Model:
    model_row = find_model(name)
    assert model_row is not None
    return model_row


def test_the_models_that_take_pictures_are_exactly_the_documented_ones() -> None:
    assert {model.name for model in models() if model.sees} == VISION


@pytest.mark.parametrize("name", ["GLM-4V", "glm-4v", "Glm-4V ", "GLM-4V-Plus", "GLM-4.6V-FlashX", "GLM-3-Turbo"])
def test_a_model_name_is_found_in_any_case(name: str) -> None:
    assert row(name).name == name.strip().lower()


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "gpt-4o", "zai", "zai-org/", "glm-4v-plus-9999", "glm-4.6v-mini", "my-glm-4.6v", "glm-4.6v-finetuned",
        "glm-4.60v", "glm-46v", "glm-4.6vx", "glm-4.6v-v", "glm-4.6v/other", "ft:glm-4.6v:org:1", "gpt-4.6v",
        # Other weights of the same family: their limits are not those of the platform's models.
        "glm4", "glm4:latest", "ollama/glm4", "glm4:9b", "glm-4-moe", "glm-4.6v-mixed",
        "THUDM/glm-4v-9b", "THUDM/GLM-4.1V-9B-Thinking", "glm-4-9b", "glm-4-32b-0414", "glm-4.6v:9b", "glm-4.6v-106b",
    ],
)  # fmt: skip
def test_find_model_returns_none_for_an_unknown_name(name: str) -> None:
    assert find_model(name) is None


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("zai-org/GLM-4.6V", "glm-4.6v"),  # Hugging Face
        ("z-ai/glm-4.6v", "glm-4.6v"),  # OpenRouter
        ("z-ai/glm-4.6v:free", "glm-4.6v"),
        ("openrouter/z-ai/glm-4.6v:nitro", "glm-4.6v"),
        ("z-ai/glm-4.6v-20251208", "glm-4.6v"),
        ("glm-4.6v-flash:free", "glm-4.6v-flash"),
        ("zai/glm-4.6v", "glm-4.6v"),  # LiteLLM
        ("openai/glm-4.6v", "glm-4.6v"),
        ("zhipu/glm-4v-plus", "glm-4v-plus"),
        ("zhipuai/glm-4.5v", "glm-4.5v"),
        ("THUDM/GLM-4.5V", "glm-4.5v"),
        ("Pro/zai-org/GLM-4.5V", "glm-4.5v"),  # SiliconFlow
        ("novita/zai-org/glm-4.6v", "glm-4.6v"),
        ("zai-org-glm-4.6v", "glm-4.6v"),  # Venice
        ("accounts/fireworks/models/glm-4p5v", "glm-4.5v"),  # Fireworks
        ("@cf/zai-org/glm-4.6v", "glm-4.6v"),
        ("hf:zai-org/GLM-4.6V", "glm-4.6v"),
        ("zai-org/GLM-4.6V:novita", "glm-4.6v"),  # providers at Hugging Face
        ("glm-4.5v-fp8", "glm-4.5v"),
        ("zai-org/GLM-4.6V-FP8", "glm-4.6v"),
        ("zai-org/GLM-4.6V-FP8-TEE", "glm-4.6v"),
        ("GLM-4.6V-AWQ", "glm-4.6v"),
        ("x/GLM-4.6V-AWQ-4bit", "glm-4.6v"),
        ("x/GLM-4.6V-GPTQ-Int4", "glm-4.6v"),
        ("x/GLM-4.6V-NVFP4", "glm-4.6v"),
        ("x/GLM-4.6V-w4a16", "glm-4.6v"),
        ("x/GLM-4.6V-bf16", "glm-4.6v"),
        ("mlx-community/GLM-4.6V-Flash-8bit", "glm-4.6v-flash"),
        ("unsloth/GLM-4.6V-Flash-GGUF:Q4_K_M", "glm-4.6v-flash"),
        ("zai-org_GLM-4.6V-Flash-IQ4_XS.gguf", "glm-4.6v-flash"),
        ("/models/GLM-4.6V-Flash-UD-Q4_K_XL.gguf", "glm-4.6v-flash"),
        ("C:\\models\\GLM-4.6V.gguf", "glm-4.6v"),
        ("bedrock/zai.glm-4.6v", "glm-4.6v"),
        ("us.zai.glm-4.6v-v1:0", "glm-4.6v"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.zai.glm-4.6v", "glm-4.6v"),
        ("vertex_ai/zai-org/glm-4.6v-maas", "glm-4.6v"),
        ("publishers/zai-org/models/glm-4.6v@001", "glm-4.6v"),
        ("glm-4-6v", "glm-4.6v"),
        ("glm4.6v", "glm-4.6v"),
        ("/models/GLM-4.6V/", "glm-4.6v"),
        ("C:\\models\\GLM-4.6V\\", "glm-4.6v"),
        ("models--zai-org--GLM-4.6V", "glm-4.6v"),
        ("/cache/models--zai-org--GLM-4.6V-Flash/", "glm-4.6v-flash"),
        ("zai-org--GLM-4.6V", "glm-4.6v"),
        ("GLM-4.6V-MXFP4_MOE", "glm-4.6v"),
        ("x/GLM-4.6V-i1-GGUF", "glm-4.6v"),
        ("x/GLM-4.6V-AutoRound", "glm-4.6v"),
        ("Intel/GLM-4.6V-int4-mixed-AutoRound", "glm-4.6v"),
        ("x/GLM-4.6V-int4-mixed", "glm-4.6v"),
        ("x/GLM-4.6V-W4A16-G128", "glm-4.6v"),
        ("x/GLM-4.6V-compressed-tensors", "glm-4.6v"),
        ("x/GLM-4.6V-exl3-4.0bpw", "glm-4.6v"),
        ("mlx-community/GLM-4.6V-6bit-DWQ", "glm-4.6v"),
        ("mlx-community/GLM-4.6V-Flash-8bit-gs32", "glm-4.6v-flash"),
        ("glm-4.6v-flash:9b", "glm-4.6v-flash"),  # Ollama
        ("glm-4.6v-flash:9b-q4_K_M", "glm-4.6v-flash"),
        ("GLM-4.6V-Flash-9B-Q4_K_M", "glm-4.6v-flash"),
        ("glm-4.6v:106b", "glm-4.6v"),
        ("zai-org/AutoGLM-Phone-9B", "autoglm-phone"),
        ("zai-org/AutoGLM-Phone-9B-Multilingual", "autoglm-phone-multilingual"),
        ("glm4-plus", "glm-4-plus"),
        # The nearest row, and not one that begins the same.
        ("z-ai/glm-4.6", "glm-4.6"),
        ("zai-org/GLM-4.6-FP8", "glm-4.6"),
        ("z-ai/glm-4.6v-flash", "glm-4.6v-flash"),
        ("z-ai/glm-4.6v-flashx", "glm-4.6v-flashx"),
        ("glm-5-3-flash", "glm-5.3-flash"),
        ("z-ai/glm-4v-plus-0111", "glm-4v-plus-0111"),
        ("z-ai/glm-4-0520", "glm-4-0520"),
        ("glm-4-air-250414", "glm-4-air-250414"),
        ("glm-4-7-251222", "glm-4.7"),
        ("z-ai/glm-4-5-air", "glm-4.5-air"),
    ],
)
def test_a_model_name_with_the_prefixes_and_suffixes_of_hosts_is_recognized(name: str, model: str) -> None:
    assert row(name).name == model
    assert row(f" {name.upper()} ").name == model


@pytest.mark.parametrize("model", models(), ids=lambda model: model.name)
def test_the_catalog_row_of_each_model_is_found_by_a_name_with_a_prefix_or_suffix(model: Model) -> None:
    for name in (
        model.name,
        f"zai-org/{model.name}",
        f"{model.name}-FP8",
        f"zai-org/{model.name}-AWQ",
        f"z-ai-{model.name}",
    ):
        assert row(name).name == model.name


def test_a_model_whose_name_has_the_suffix_free_costs_nothing_at_any_host() -> None:
    assert row("z-ai/glm-4.6v").prices == row("glm-4.6v").prices != ()
    for name in ("z-ai/glm-4.6v:free", "z-ai/glm-4.5v:free", "openrouter/z-ai/glm-4.5-air:free"):
        assert row(name).prices
        for host in ("https://openrouter.ai/api/v1", "https://api.z.ai/api/paas/v4", "http://127.0.0.1:4000/v1"):
            price = row(name).price_at(host)
            assert price is not None
            assert price.free
            assert price.amount(10**6, 10**6) == 0
    assert row("z-ai/glm-4.6v").price_at("https://openrouter.ai/api/v1") is None
    assert row("z-ai/glm-4.6v:free").images == row("glm-4.6v").images


@pytest.mark.parametrize("model", models(), ids=lambda model: model.name)
def test_the_values_of_each_row_of_the_catalog_agree_with_each_other(model: Model) -> None:
    assert re.search(r"bigmodel\.cn|z\.ai", model.source)
    assert model.name == model.name.lower()
    fields = {field.name for field in dataclasses.fields(model)}
    for doubt in model.doubts:
        assert doubt.partition(": ")[0] in fields
        assert model.doubt(doubt.partition(": ")[0])
    assert (model.default_output or 0) <= (model.max_output or 10**9)
    assert (model.max_output or 0) <= (model.context or 10**9)
    assert bool(model.tools) == bool(model.tool_types)
    assert not model.tools or "tool" in model.roles
    assert bool(model.thinking_values) <= (model.thinking != "no")
    assert (model.images_sure or 0) <= (model.images or 0)
    assert not model.sees or (model.image_bytes, model.image_side) == (5 * 1024**2, 6000)
    assert model.chats or model.endpoint.startswith("/")
    assert model.videos == 0 or model.video_formats or model.name.startswith("autoglm")
    for value, (low, high) in (
        (model.default_temperature, model.temperature),
        (model.default_top_p, model.top_p),
    ):
        assert value is None or low <= value <= high
    assert model.output_sure is None or model.doubt("max_output")
    assert len({price.currency for price in model.prices}) == len(model.prices)
    for price in model.prices:
        assert price.date >= "2024"
        assert re.search(r"bigmodel\.cn" if price.currency == "CNY" else r"z\.ai", price.source)
        assert (price.cached or 0) <= price.input
        assert price.long is None or (price.long.input >= price.input and price.long.output >= price.output)


def test_the_price_depends_on_the_server() -> None:
    model = row("glm-4.6v")
    assert (price := model.price_at("https://open.bigmodel.cn/api/paas/v4")) is not None
    assert (price.currency, price.input, price.output, price.cached) == ("CNY", 1, 3, 0.2)
    assert (price := model.price_at("https://api.z.ai/api/coding/paas/v4")) is not None
    assert (price.currency, price.input, price.output, price.cached) == ("USD", 0.3, 0.9, 0.05)
    for elsewhere in ("http://127.0.0.1:8765/api/paas/v4", "https://bigmodel.cn.example.com/v1", "https://notz.ai/v1"):
        assert model.price_at(elsewhere) is None
    assert row("glm-4v-plus-0111").price_in("USD") is None


def test_cached_tokens_and_long_prompts_have_separate_prices() -> None:
    price = row("glm-5v-turbo").price_in("USD")
    assert price is not None
    assert price.amount(100_000, 0) == pytest.approx(0.12)
    assert price.amount(100_000, 0, cached=90_000) == pytest.approx(0.0336)
    yuan = row("glm-4.6v").price_in("CNY")
    assert yuan is not None
    assert yuan.amount(31_999, 1_000) == pytest.approx(0.034999)
    assert yuan.amount(32_000, 1_000, cached=2_000) == pytest.approx(0.0668)
    without = row("glm-4v-plus-0111").price_in("CNY")
    assert without is not None
    assert without.amount(100, 0, cached=90) == without.amount(100, 0)


def test_glm_ocr_has_a_catalog_row_although_it_is_not_a_chat_model() -> None:
    pages = row("glm-ocr")
    assert (pages.chats, pages.sees, pages.endpoint) == (False, False, "/layout_parsing")
    assert (pages.image_bytes, pages.file_bytes) == (10 * 1024**2, 50 * 1024**2)


def test_rows_of_the_catalog_are_frozen_and_have_unique_names() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        models()[0].images = 3  # type: ignore[misc]  # the point of the test
    assert len({model.name for model in models()}) == len(models())


def test_models_of_different_generations_have_their_documented_limits() -> None:
    assert (row("glm-4v").images, row("glm-4v").roles, row("glm-4v").string_content) == (
        5,
        ("user", "assistant"),
        False,
    )
    assert (row("glm-4v-flash").images, row("glm-4v-flash").image_base64) == (1, False)
    assert (row("glm-4v-plus").video_bytes, row("glm-4v-plus").video_seconds) == (20 * 1024**2, 30)
    assert (row("glm-4v-plus-0111").video_bytes, row("glm-4v-plus-0111").max_output) == (200 * 1024**2, 8192)
    assert (row("glm-4.5v").thinking, row("glm-4.1v-thinking-flash").thinking) == ("switch", "always")
    assert (row("glm-4.6v").context, row("glm-4.6v").max_output, row("glm-4.6v").tools) == (131072, 32768, 128)
    assert row("glm-4.6v").doubt("images") == "50 on docs.bigmodel.cn, 150 on docs.z.ai"
    assert row("glm-4.6v").doubt("context") is None
    assert row("glm-5.3-flash").file_forms == ("url", "data", "id")
    assert not any(model.response_format for model in models() if model.sees)


HEAD = '[sources]\nguide = "docs.bigmodel.cn"\n[doubts]\nwhich = "images: one or two"\n'
ROW = f'{HEAD}[[model]]\nnames = ["one"]\nsource = "guide"\nimages = 1\n'


def test_a_catalog_row_gets_missing_values_from_the_row_in_its_field_like() -> None:
    rows = rows_of(
        ROW
        + '[[model]]\nnames = ["two", "three"]\nlike = "one"\nimages = "undocumented"\ndoubts = ["which"]\nfile_mib = 2'
    )
    one = Model("one", "docs.bigmodel.cn", images=1)
    two = dataclasses.replace(one, name="two", images=None, doubts=("images: one or two",), file_bytes=2 * 1024**2)
    assert list(rows.values()) == [one, two, dataclasses.replace(two, name="three")]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (ROW + "image = 3", "image"),
        (ROW + "[prices]\na = 1", "prices"),
        (ROW.replace('"guide"', '"page"'), "page"),
        (ROW + 'doubts = ["that"]', "that"),
        (ROW + '[[model]]\nnames = ["two"]\nlike = "none"', "none"),
    ],
)
def test_the_error_of_an_unknown_key_in_the_catalog_names_the_key(text: str, key: str) -> None:
    with pytest.raises(KeyError, match=key):
        rows_of(text)


def test_a_name_with_two_rows_in_the_catalog_is_refused() -> None:
    with pytest.raises(ValueError, match="'one' has two rows"):
        rows_of(ROW.replace('["one"]', '["one", "one"]'))


def test_concurrency_limits_apply_only_to_the_platform() -> None:
    for name in ("glm-4.6v-flash", "GLM-4.6V-Flash"):
        assert row(name).concurrency == 1
    for name in ("zai-org/GLM-4.6V-Flash", "z-ai/glm-4.6v-flash:free", "GLM-4.6V-Flash-FP8", "openai/glm-4.6v-flash"):
        other = row(name)
        assert other.concurrency is None
        assert (other.images, other.context) == (row("glm-4.6v-flash").images, row("glm-4.6v-flash").context)


@pytest.mark.parametrize(
    "name",
    ["glm-4.6v" + "-fp8" * 20_000, "glm-4.6v" + "-fp8" * 900, "/" * 4_000, "glm-4.6v" + "_q4" * 30 + "_", "a" * 9**6],
)
def test_a_very_long_model_name_is_looked_up_quickly(name: str) -> None:
    begun = time.perf_counter()
    assert find_model(name) is None
    assert time.perf_counter() - begun < 0.2
