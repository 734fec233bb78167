"""What is answered: a script where there is one, and otherwise four rules, which the module `rules` lists.

Equal requests get equal answers by the rules: they know no picture and no test, and interpret no words.
"""

from glmv_emulator.answers.scripted import Answer, Script, Scripted, default_answer
from glmv_emulator.answers.values import Ask, Medium, Reply, ToolCall

__all__ = ["Answer", "Ask", "Medium", "Reply", "Script", "Scripted", "ToolCall", "default_answer"]
