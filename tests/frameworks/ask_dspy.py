"""DSPy: `dspy.LM` uses models through LiteLLM; `ReAct` calls tools."""

from __future__ import annotations

import dspy
from scene import ANSWER, DATA_URI, MODEL, QUESTION, count_stock, play, report

import glmv_litellm

glmv_litellm.register()


class Stock(dspy.Signature):
    """Answer a question about the stock."""

    photo: dspy.Image = dspy.InputField()
    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


# What DSPy has the model write: it asks for tools in words.
SAID = [
    {"next_thought": "I count.", "next_tool_name": "count_stock", "next_tool_args": '{"item": "cup"}'},
    {"next_thought": "I know.", "next_tool_name": "finish", "next_tool_args": "{}"},
    {"reasoning": "The tool says it.", "answer": ANSWER},
]


def chat_fields(fields: dict[str, str]) -> str:
    """Names and values of fields -> an answer of the model in the form that DSPy's chat adapter reads."""
    return "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in {**fields, "completed": ""}.items())


with play(*map(chat_fields, SAID)) as emu:
    dspy.configure(lm=dspy.LM(f"glmv/{MODEL}", api_base=emu.base_url, api_key=emu.api_key, cache=False))
    found = dspy.ReAct(Stock, tools=[count_stock])(photo=dspy.Image(DATA_URI), question=QUESTION)
    report(emu, found.answer, "dspy", "litellm")
