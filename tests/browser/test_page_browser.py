"""The emulator's page in a real browser: live, safe, readable in light and dark, on a narrow screen, by keyboard."""

from __future__ import annotations

import base64
import io
import os
import runpy
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from glmv_emulator import Emulator

HOW = "make test-browser installs what the browser tests need"
ATTACK = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SHIFT = """() => new Promise((resolve) => {
  let sum = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((one) => { sum += one.value; }))
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => resolve(sum), 200);
})"""
# WCAG contrast of each text with its background, and the texts with a contrast below 4.5.
FAINT = """() => {
  const light = (colour) => {
    const linear = (one) => one <= .04045 ? one / 12.92 : ((one + .055) / 1.055) ** 2.4;
    const parts = colour.map((one) => linear(one / 255));
    return .2126 * parts[0] + .7152 * parts[1] + .0722 * parts[2];
  };
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (css) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const found = rgb(getComputedStyle(at).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility() &&
    [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())).filter((one) => {
      const [a, b] = [light(rgb(getComputedStyle(one).color)), light(ground(one))];
      return (Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5;
    }).map((one) => one.textContent.slice(0, 60));
}"""

pytestmark = pytest.mark.browser


class Sender:
    """Sends requests to an emulator without using `glmv`."""

    def __init__(self, emu: Emulator) -> None:
        self.emu = emu

    def chat(self, *content: Any, model: str = "glm-4.6v", **more: Any) -> None:
        parts = [one if isinstance(one, dict) else {"type": "text", "text": one} for one in content]
        body = {"model": model, "messages": [{"role": "user", "content": parts}], **more}
        headers = {"authorization": f"Bearer {self.emu.api_key}", "accept-language": "en"}
        try:
            httpx.post(f"{self.emu.base_url}/chat/completions", json=body, headers=headers, timeout=30, trust_env=False)
        except httpx.TransportError:
            assert self.emu.requests[-1].fault is not None

    def every_kind(self) -> None:
        """Send one request of each kind: plain, refused, with a tool, with pictures, broken off, with an attack."""
        parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
        tool = {"type": "function", "function": {"name": "get_weather", "parameters": parameters}}
        self.chat("Hello", model="glm-4v-flash")
        self.chat("Hello", model="no-such-model")
        self.chat("What is the weather in Paris? Use the tool.", tools=[tool])
        self.chat(picture("red"), picture("navy"), "Which is brighter?", stream=True)
        self.emu.inject("cut")
        self.chat(picture("teal"), "Describe this picture.", stream=True)
        self.chat(ATTACK, picture("olive"), stream=True)


def picture(colour: str) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.new("RGB", (300, 200), colour).save(buffer, "PNG")
    return {"type": "image_url", "image_url": {"url": base64.b64encode(buffer.getvalue()).decode()}}


@pytest.fixture
def sender() -> Iterator[Sender]:
    with Emulator() as emu:
        yield Sender(emu)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason=HOW)
    path = os.environ.get("GLMV_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip(f"there is no Chromium here: {HOW}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, sender: Sender) -> Iterator[Any]:
    """Opens the page; the test fails when the page logs an error in its console."""
    opened: list[Any] = []
    complaints: list[str] = []

    def visited(query: str = "", **settings: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 900}} | settings)
        context.set_default_timeout(10_000)
        opened.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{sender.emu.origin}/{query}")
        return page

    yield visited
    for context in opened:
        context.close()
    assert complaints == []


def test_a_new_request_and_its_picture_appear_on_the_open_page(sender: Sender, visit: Any) -> None:
    from playwright.sync_api import expect

    page = visit()
    assert page.get_by_text("Nothing has come yet").is_visible()
    sender.chat(picture("red"), "What colour is it?")
    page.locator("article#r1").wait_for()
    expect(page.locator("#r1 .body img")).to_have_js_property("naturalWidth", 160)
    assert not page.get_by_text("Nothing has come yet").is_visible()
    assert page.locator("#r1 .body").is_visible()
    sender.chat("And now?")
    page.locator("article#r2").wait_for()
    assert [one.get_attribute("id") for one in page.locator("article").all()] == ["r2", "r1"]


def test_the_example_commands_of_an_empty_page_keep_their_line_breaks(visit: Any) -> None:
    snippets = visit().locator(".snippet pre")
    assert "<<END\n{" in snippets.nth(1).inner_text()
    assert [text.rstrip().rpartition("\n")[2][:5] for text in snippets.all_inner_texts()] == [
        "expor",
        "END",
        "print",
        "print",
    ]


def test_white_and_black_pictures_have_an_outline_in_light_and_dark_mode(sender: Sender, visit: Any) -> None:
    sender.chat(picture("white"), picture("black"), "Hello")
    for scheme in ("light", "dark"):
        page = visit(color_scheme=scheme)
        style = "(one) => { const it = getComputedStyle(one); return [it.outlineStyle, it.outlineWidth]; }"
        edges = [one.evaluate(style) for one in page.locator("#r1 img").all()]
        assert edges == [["solid", "1px"]] * 4


def test_a_running_stream_grows_on_the_page_and_unfolded_rows_stay_unfolded(sender: Sender, visit: Any) -> None:
    sender.emu.stall(after=2)
    sending = threading.Thread(target=sender.chat, args=("Hello",), kwargs={"stream": True})
    sending.start()
    page = visit()
    page.locator("#r1 .timing").get_by_text("under way").wait_for()
    sender.emu.release()
    sending.join()
    page.locator("#r1 .timing").get_by_text("over after").wait_for()
    assert page.locator("#r1 > details").get_attribute("open") is not None


def test_html_in_a_request_is_never_executed(sender: Sender, visit: Any) -> None:
    sender.chat(ATTACK, model=ATTACK)
    page = visit()
    sender.chat(ATTACK, **{ATTACK: ATTACK})
    page.locator("article#r2").wait_for()
    assert page.title() == "GLM-4V emulator"
    assert page.locator("article script, article img").count() == 0
    assert page.locator("#r1 .parts").inner_text() == ATTACK


def test_the_page_unfolds_and_filters_requests_without_javascript(sender: Sender, visit: Any) -> None:
    sender.every_kind()
    page = visit(java_script_enabled=False)
    assert page.locator("article").count() == 6
    page.locator("#r1 summary").first.click()
    assert page.locator("#r1 .body").is_visible()
    page.get_by_label("Outcome").select_option("refused")
    page.get_by_role("button", name="Show").click()
    assert page.locator("article").count() == 1


def test_the_chosen_model_filter_is_in_the_url_of_the_page(sender: Sender, visit: Any) -> None:
    sender.every_kind()
    page = visit()
    page.get_by_label("Model").select_option("glm-4v-flash")
    page.wait_for_url("**/?model=glm-4v-flash*")
    assert [one.get_attribute("id") for one in page.locator("article").all()] == ["r1"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(sender: Sender, visit: Any, scheme: str) -> None:
    sender.every_kind()
    page = visit(color_scheme=scheme)
    page.get_by_role("button", name="Unfold all").click()
    assert page.evaluate(FAINT) == []


def test_a_narrow_screen_needs_no_horizontal_scrolling(sender: Sender, visit: Any) -> None:
    sender.every_kind()
    sender.chat("a" * 500, model="glm-" + "x" * 200)
    page = visit(viewport={"width": 400, "height": 800})
    page.get_by_role("button", name="Unfold all").click()
    page.locator("#first > summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_the_layout_does_not_shift_while_pictures_load(sender: Sender, visit: Any) -> None:
    sender.every_kind()
    page = visit()
    page.locator("#r6 .body img").evaluate("(one) => one.decode()")
    assert page.evaluate(SHIFT) < 0.01


def test_all_rows_can_be_reached_and_unfolded_by_keyboard(sender: Sender, visit: Any) -> None:
    sender.every_kind()
    page = visit()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('article')?.id") == "r5":
            break
    page.keyboard.press("Enter")
    assert page.locator("#r5 .body").is_visible()
    assert page.locator("#r5 summary").first.evaluate("(one) => getComputedStyle(one).outlineStyle") == "solid"


def test_the_page_reports_that_the_emulator_does_not_answer_and_then_reconnects(sender: Sender, visit: Any) -> None:
    page = visit()
    page.get_by_text("Live").wait_for()
    page.route("**/page/news*", lambda route: route.fulfill(status=200, body="no JSON"))
    page.get_by_text("The emulator does not answer").wait_for()
    page.unroute("**/page/news*")
    page.get_by_text("Live").wait_for()


def test_the_documentation_script_takes_a_new_screenshot_of_the_same_size(chromium: Any, tmp_path: Path) -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "emulator_page.py"))
    script["taken"](chromium, tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as new, Image.open(script["PICTURE"]) as current:
        assert new.size == current.size
        assert len(new.convert("RGB").getcolors(maxcolors=2**24) or ()) > 1000, "no photograph is on the page"
