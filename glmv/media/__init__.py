"""What a message can contain beside text."""

from __future__ import annotations

from glmv.media.file import File
from glmv.media.image import Image
from glmv.media.video import Video

__all__ = ["File", "Image", "Video"]
