"""The page as a whole: heading, verdicts, filter, the requests, and how to send the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from glmv_emulator.faults.verdicts import Verdict
from glmv_emulator.page.entry import Entry, card
from glmv_emulator.page.tags import Html, join, tag

OUTCOMES = {
    "": "all outcomes",
    "answered": "answered",
    "refused": "refused",
    "fault": "with a fault",
    "running": "under way",
}
MODEL = "glm-4.6v"


@dataclass(frozen=True, slots=True)
class View:
    """What of the journal is on show. `before` is the number of the request that the page ends above, 0 for none."""

    model: str = ""
    outcome: str = ""
    before: int = 0


@dataclass(frozen=True, slots=True)
class Sheet:
    """All that a page says."""

    view: View
    base_url: str
    entries: Sequence[Entry]
    models: Sequence[str]
    figures: Mapping[str, int]
    verdicts: Sequence[Verdict]
    older: int
    token: str


def document(sheet: Sheet) -> str:
    """The page as HTML."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", "GLM-4V emulator"),
        tag("link", rel="icon", href="/page/icon.svg"),
        tag("link", rel="stylesheet", href="/page/style.css"),
        tag("script", src="/page/script.js", defer=True),
    )
    body = tag(
        "body",
        tag("a", "Skip to the requests", href="#requests", class_="skip"),
        _header(sheet.base_url),
        tag(
            "main",
            tag("div", panel(sheet), id="panel"),
            _bar(sheet),
            tag(
                "div",
                *listing(sheet),
                id="requests",
                data_token=sheet.token,
                data_live=not sheet.view.before,
                tabindex=-1,
            ),
            _older(sheet),
            _first_request(sheet),
        ),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en")


def listing(sheet: Sheet) -> list[Html]:
    """The requests; the newest is unfolded."""
    return [card(entry, unfolded=not place) for place, entry in enumerate(sheet.entries)]


def panel(sheet: Sheet) -> Html:
    """Figures of the whole journal, and verdicts on the client."""
    figures = tag(
        "dl",
        *[tag("div", tag("dt", name), tag("dd", f"{value:,}")) for name, value in sheet.figures.items()],
        class_="totals",
    )
    return join(figures, _verdicts(sheet.verdicts) if sheet.figures["requests"] else None)


def _header(base_url: str) -> Html:
    return tag(
        "header",
        tag("h1", "GLM-4V emulator"),
        tag("p", "It measures pictures and answers from what it measured. It is not the model.", class_="claim"),
        tag("p", tag("code", base_url), class_="base"),
        tag("p", "Reload to see new requests", id="live", role="status"),
    )


def _verdicts(verdicts: Sequence[Verdict]) -> Html:
    beyond = "Whether your application saw a failed call cannot be seen from here: emu.report(errors=…) tells."
    if not verdicts:
        calm = tag("p", tag("b", "No verdicts."), " The client behaved, as far as its requests show.")
        return tag("section", tag("h2", "Verdicts"), calm, tag("p", beyond, class_="facts"), class_="verdicts calm")
    items = [
        tag(
            "li",
            tag("b", verdict.name),
            tag("p", verdict.advice),
            tag("p", verdict.evidence, class_="facts"),
        )
        for verdict in verdicts
    ]
    said = f"Verdicts ({len(verdicts)})"
    return tag("section", tag("h2", said), tag("ul", *items), tag("p", beyond, class_="facts"), class_="verdicts")


def _bar(sheet: Sheet) -> Html:
    models = {"": "all models"} | {name: name for name in sheet.models}
    if sheet.view.model:
        models.setdefault(sheet.view.model, sheet.view.model)
    return tag(
        "form",
        tag("h2", "Requests"),
        _choice("model", "Model", models, sheet.view.model),
        _choice("outcome", "Outcome", OUTCOMES, sheet.view.outcome),
        tag("button", "Show", type="submit"),
        tag("button", "Unfold all", type="button", id="fold", hidden=True),
        method="get",
        action="/",
        class_="bar",
    )


def _choice(name: str, label: str, options: Mapping[str, str], chosen: str) -> Html:
    items = [tag("option", shown, value=value, selected=value == chosen) for value, shown in options.items()]
    return tag("label", tag("span", label), tag("select", *items, name=name))


def _older(sheet: Sheet) -> Html:
    view = sheet.view
    where = f"/?model={quote(view.model, safe='')}&outcome={view.outcome}"
    links = [
        sheet.older and tag("a", "Older requests", href=f"{where}&before={sheet.older}"),
        view.before and tag("a", "Newest requests", href=where),
    ]
    nothing = not sheet.entries and bool(sheet.figures["requests"])
    return tag(
        "p",
        tag("span", "No request matches.", id="nothing", hidden=not nothing),
        *links,
        class_="older",
    )


def _first_request(sheet: Sheet) -> Html:
    """Snippets; unfolded as long as nothing has come."""
    base_url = sheet.base_url
    shell = f"export ZHIPUAI_BASE_URL={base_url}\nexport ZHIPUAI_API_KEY=...   # the key printed when it started"
    curl = (
        f"curl {base_url}/chat/completions \\\n"
        '  -H "Authorization: Bearer $ZHIPUAI_API_KEY" \\\n'
        '  -H "Content-Type: application/json" -d @- <<END\n'
        f'{{"model": "{MODEL}",\n "messages": [{{"role": "user", "content": "Hello"}}]}}\nEND'
    )
    langchain = (
        "from langchain_glmv import ChatGLMV, image\n\n"
        f'model = ChatGLMV(\n    model="{MODEL}",\n    base_url="{base_url}",\n)\n'
        'asked = [image("photo.jpg"), "How large is it?"]\nprint(model.invoke([("human", asked)]).text)'
    )
    llama_index = (
        "from llama_index.core.llms import ChatMessage, ImageBlock\n"
        "from llama_index_glmv import GLMV\n\n"
        f'llm = GLMV(\n    model="{MODEL}",\n    api_base="{base_url}",\n)\n'
        'asked = ChatMessage("How large is it?")\nasked.blocks.append(ImageBlock(path="photo.jpg"))\n'
        "print(llm.chat([asked]).message.content)"
    )
    snippets = {"In the other shell": shell, "curl": curl, "LangChain": langchain, "LlamaIndex": llama_index}
    empty = not sheet.figures["requests"]
    return tag(
        "details",
        tag("summary", "Send a request"),
        tag("p", "Nothing has come yet. This page shows each request as it comes.", id="empty", hidden=not empty),
        tag("div", *[_snippet(name, code) for name, code in snippets.items()], class_="snippets"),
        open=empty,
        id="first",
    )


def _snippet(name: str, code: str) -> Html:
    copy = tag("button", "Copy", type="button", class_="copy", hidden=True, aria_label=f"Copy: {name}")
    return tag("section", tag("h3", name), copy, tag("pre", tag("code", code), tabindex=0), class_="snippet")
