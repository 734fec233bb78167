"""GLM-4V on loopback: an emulator to test and demonstrate against.

It answers what a test tells it to say, and otherwise what it measured in the pictures it was sent. It shares no code
with the client, and checks what the platform documents. What was verified, and how, is listed in docs/fidelity.md.
"""

from glmv_emulator.answers import Ask, Medium, Reply, ToolCall, default_answer
from glmv_emulator.emulator import Emulator

__all__ = ["Ask", "Emulator", "Medium", "Reply", "ToolCall", "default_answer"]
