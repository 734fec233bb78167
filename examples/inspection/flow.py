"""The flow: look at a photo, read its label into data, decide; all photos side by side, and a report at the end."""

from __future__ import annotations

import operator
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, TypedDict

import zxingcpp
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, RetryPolicy, Send
from PIL import Image
from rules import Label, Order, Verdict, judge

import glmv
from langchain_glmv import image

ATTEMPTS = 4
# What is wrong with one photo or its answer. Whatever else is wrong would be so for the next one, and stops the flow.
UNREADABLE = (glmv.MalformedResponse, glmv.ContentFilterError, glmv.UnsupportedContent)


class Finding(TypedDict):
    """The result of the inspection of one photo."""

    photo: str
    verdict: Verdict
    reasons: list[str]
    seen: str


class Photo(TypedDict, total=False):
    """The state of one photo in the flow."""

    path: str
    seen: str
    code: str | None
    label: Label
    verdict: Verdict
    reasons: list[str]
    findings: list[Finding]


class Shift(TypedDict, total=False):
    """All photos of a shift. Findings come in any order and are added up."""

    paths: list[str]
    findings: Annotated[list[Finding], operator.add]
    report: str


def passes_by_itself(error: Exception) -> bool:
    """Whether a retry may help, as after a busy platform or a broken connection, but not with an account in arrears."""
    return isinstance(error, glmv.GLMVError) and error.retryable


# One layer owns the retries. It is this one, so the model is made with max_retries=0.
RETRY = RetryPolicy(max_attempts=ATTEMPTS, initial_interval=0.2, backoff_factor=2, retry_on=passes_by_itself)


def inspection(model: BaseChatModel, order: Order) -> Any:
    """The compiled flow: `inspection(model, order).invoke({"paths": [...]})["report"]`."""
    reader = model.with_structured_output(Label)

    def look(photo: Photo) -> Command[Any]:
        """The model says what it sees. The code is decoded here: a vision model does not read QR codes reliably."""
        try:
            question = HumanMessage(["Which words stand on this tin?", image(photo["path"])])
            seen = model.invoke([question]).text
        except UNREADABLE as unread:
            return by_hand(unread)
        with Image.open(photo["path"]) as picture:
            codes = zxingcpp.read_barcodes(picture.convert("RGB"))
        return Command(update={"seen": seen, "code": codes[0].text if codes else None}, goto="extract")

    def extract(photo: Photo) -> Command[Any]:
        """The label as data."""
        try:
            label = reader.invoke([HumanMessage(["Read this label.", image(photo["path"])])])
        except UNREADABLE as unread:
            return by_hand(unread)
        return Command(update={"label": label}, goto="decide")

    def decide(photo: Photo) -> Photo:
        verdict, reasons = judge(photo["label"], photo["code"], order)
        return {"verdict": verdict, "reasons": reasons}

    def note(photo: Photo) -> Photo:
        name = Path(photo["path"]).name
        finding = Finding(photo=name, verdict=photo["verdict"], reasons=photo["reasons"], seen=photo.get("seen", ""))
        return {"findings": [finding]}

    one = StateGraph(Photo)
    one.add_node("look", look, retry_policy=RETRY, destinations=("extract", "note"))
    one.add_node("extract", extract, retry_policy=RETRY, destinations=("decide", "note"))
    one.add_node("decide", decide)
    one.add_node("note", note)
    one.add_edge(START, "look")
    one.add_edge("decide", "note")
    one.add_edge("note", END)

    shift = StateGraph(Shift)
    shift.add_node("inspect", one.compile())
    shift.add_node("report", lambda state: {"report": report(state["findings"])})
    shift.add_conditional_edges(START, each_photo, ["inspect"])
    shift.add_edge("inspect", "report")
    shift.add_edge("report", END)
    return shift.compile()


def by_hand(unread: glmv.GLMVError) -> Command[Any]:
    """Leave the photo to a person, with the reason."""
    return Command(update={"verdict": "by hand", "reasons": [f"not read: {type(unread).__name__}"]}, goto="note")


def each_photo(shift: Shift) -> list[Send]:
    """One branch for each photo; the client's gate limits the concurrent calls to those that the account allows."""
    return [Send("inspect", {"path": path}) for path in shift["paths"]]


def report(findings: list[Finding]) -> str:
    """The findings as a page of Markdown."""
    count = Counter(finding["verdict"] for finding in findings)
    total = ", ".join(f"{number} {verdict}" for verdict, number in sorted(count.items()))
    rows = [
        f"| {one['photo']} | {one['verdict']} | {'; '.join(one['reasons']) or 'as ordered'} |"
        for one in sorted(findings, key=lambda one: one["photo"])
    ]
    return "\n".join([f"{len(findings)} photos: {total}", "", "| photo | verdict | why |", "|---|---|---|", *rows])
