"""General rules that turn what was measured and read into an answer.

They know no picture and no test. Equal requests get equal answers.
"""

from glmv_emulator.answers.default import answer
from glmv_emulator.answers.values import Ask, Call, Medium, Reply

__all__ = ["Ask", "Call", "Medium", "Reply", "answer"]
