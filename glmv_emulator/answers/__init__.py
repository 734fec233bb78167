"""Answers to requests. They come from a script; without a script, four rules make them (see the module `rules`).

The rules give equal requests equal answers. They contain nothing about particular pictures or tests, and do not
interpret sentences.
"""

from glmv_emulator.answers.scripted import Answer, Script, Scripted, default_answer
from glmv_emulator.answers.values import Ask, Medium, Reply, ToolCall

__all__ = ["Answer", "Ask", "Medium", "Reply", "Script", "Scripted", "ToolCall", "default_answer"]
