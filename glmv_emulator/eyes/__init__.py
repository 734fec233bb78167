"""Measures pictures and videos, and reads text in pictures; nothing is guessed."""

from glmv_emulator.eyes.colours import Colour
from glmv_emulator.eyes.picture import SeenImage, Unreadable, look_image
from glmv_emulator.eyes.reading import Code, Line, Reading, can_read, read_image
from glmv_emulator.eyes.video import Frame, SeenVideo, look_video

__all__ = [
    "Code",
    "Colour",
    "Frame",
    "Line",
    "Reading",
    "SeenImage",
    "SeenVideo",
    "Unreadable",
    "can_read",
    "look_image",
    "look_video",
    "read_image",
]
