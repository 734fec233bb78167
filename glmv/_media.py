"""The media room's face: everything that can stand in a message beside text."""

from __future__ import annotations

from glmv._file import File
from glmv._image import Image
from glmv._video import Video

__all__ = ["File", "Image", "Video"]
