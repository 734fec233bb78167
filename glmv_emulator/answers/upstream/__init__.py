"""Translates between the platform's chat API and an OpenAI-compatible server, which answers in place of the rules."""

from glmv_emulator.answers.upstream.answer import CallPiece, ErrorAnswer, Malformed, Piece, Reader
from glmv_emulator.answers.upstream.events import DONE, Events
from glmv_emulator.answers.upstream.request import Question, Unsendable, translated

__all__ = [
    "DONE",
    "CallPiece",
    "ErrorAnswer",
    "Events",
    "Malformed",
    "Piece",
    "Question",
    "Reader",
    "Unsendable",
    "translated",
]
