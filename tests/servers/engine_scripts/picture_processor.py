"""Glm4v's processor without video support, which needs torchvision; saved next to the model's weights."""

from __future__ import annotations

from typing import Any

from transformers import ProcessorMixin
from transformers.models.glm4v.processing_glm4v import Glm4vProcessor


class PictureProcessor(Glm4vProcessor):
    """Processes pictures and text like `Glm4vProcessor`."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        self.image_token = "<|image|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token = "<|video|>"
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        self.video_start_id = tokenizer.convert_tokens_to_ids("<|begin_of_video|>")
        self.video_end_id = tokenizer.convert_tokens_to_ids("<|end_of_video|>")
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)
