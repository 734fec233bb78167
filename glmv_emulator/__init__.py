"""GLM-4V on loopback: an emulator that looks at the pictures it is sent, to test and demonstrate against.

It is an oracle: it shares no code with the client, checks what the platform documents, and answers from what it
measures. What was verified, and how, is listed in docs/fidelity.md.
"""

from glmv_emulator.emulator import Emulator

__all__ = ["Emulator"]
