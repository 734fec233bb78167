"""The public types of media in messages: Image, Video, File."""

from __future__ import annotations

from glmv._public import public_class
from glmv.media.file import File
from glmv.media.image import Image
from glmv.media.video import Video

for _class in (File, Image, Video):
    public_class(_class)

__all__ = ["File", "Image", "Video"]
