"""The emulator's eyes: they measure pictures and videos, and guess at nothing."""

from glmv_emulator._eyes._colours import Colour
from glmv_emulator._eyes._picture import SeenImage, Unreadable, look_image
from glmv_emulator._eyes._video import Frame, SeenVideo, look_video

__all__ = ["Colour", "Frame", "SeenImage", "SeenVideo", "Unreadable", "look_image", "look_video"]
