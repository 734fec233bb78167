"""Takes docs/images/emulator-page.png: `python docs/emulator_page.py`, with what `make test-browser` installs.

An application asks a running emulator. Three answers are scripted, the others say what was measured; one request is
refused, one stream is cut and asked for again, one client comes back too soon.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import httpx
from playwright.sync_api import Browser, expect, sync_playwright

import glmv
from glmv_emulator import Emulator, Reply

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "emulator-page.png"
PHOTOS = ROOT / "examples" / "pictures"
WIDTH, HEIGHT = 1200, 1250


def asked(emu: Emulator) -> None:
    """Send the emulator what its page will show."""

    def picture(name: str) -> glmv.Image:
        return glmv.Image.from_path(PHOTOS / name)

    with glmv.Client(emu.api_key, base_url=emu.base_url, max_retries=0) as glm:
        emu.say("Dark: a rocket stands on its launch pad at night.")
        glm.chat([picture("rocket.jpg"), "Is it dark or bright?"])
        with contextlib.suppress(glmv.NotFoundError, glmv.InvalidRequestError):
            glm.chat([picture("cat.jpg"), "Which animal is this?"], model="glm-9v")
        impatient(emu)
        list(glm.stream([picture("form.png"), "Describe this form."]))
        emu.say("An espresso in a red cup stands on a wooden table, with a spoon on the saucer beside it.")
        emu.inject("cut")
        for _ in range(2):  # the stream that is cut, and once more
            with contextlib.suppress(glmv.GLMVError):
                list(glm.stream([picture("coffee.jpg"), "Describe this picture."]))
        three = [picture("coffee.jpg"), picture("chart.png"), picture("cat.jpg")]
        emu.say(
            Reply(
                "1. An espresso in a red cup stands on a wooden table.\n"
                "2. A bar chart of the cups sold in a week: most of them on Saturday.\n"
                "3. A cat with green eyes looks to the right.",
                reasoning="Two photographs, and a chart between them.",
            )
        )
        list(glm.stream([*three, "What do these three pictures show? Describe each in one sentence."], thinking=True))


def impatient(emu: Emulator) -> None:
    """A client that is told to wait for a second and does not: the page says so."""
    emu.fail(code=1302, retry_after=1)
    body = {"model": "glm-4.6v", "messages": [{"role": "user", "content": "Are you there?"}]}
    headers = {"authorization": f"Bearer {emu.api_key}", "accept-language": "en"}
    for _ in range(2):
        httpx.post(f"{emu.base_url}/chat/completions", json=body, headers=headers, timeout=30, trust_env=False)


def taken(browser: Browser, target: Path) -> None:
    """Write the page, as the browser shows it, to `target` (PNG)."""
    with Emulator() as emu:
        asked(emu)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(emu.origin)
        newest = page.locator("article").first
        if newest.locator("> details").get_attribute("open") is None:
            newest.locator("summary").first.click()
        # Not `wait_for_function`: it evaluates text again at every frame, which the page's security policy forbids.
        for image in page.locator("img:visible").all():
            expect(image).not_to_have_js_property("naturalWidth", 0)
        page.screenshot(path=target)
        page.close()


if __name__ == "__main__":
    chromium = os.environ.get("GLMV_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        taken(driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]), PICTURE)
