"""An emulator of GLM-4V on loopback, for tests and demonstrations.

It returns scripted answers. Without a script, it describes what it measures in the pictures. It checks requests against
the platform's documentation, and shares no code with the client. docs/fidelity.md lists what was verified, and how.
"""

from glmv_emulator.answers import Ask, Medium, Reply, ToolCall, default_answer
from glmv_emulator.emulator import Emulator

__all__ = ["Ask", "Emulator", "Medium", "Reply", "ToolCall", "default_answer"]
