"""Write a Glm4v model with random weights into a folder: `python tiny_glm4v.py FOLDER`, in the engines' environment.

It answers in random bytes. Everything except the weights is real: the processor, the chat template, the server.
"""

from __future__ import annotations

import sys

import torch
from picture_processor import PictureProcessor
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import Glm4vConfig, Glm4vForConditionalGeneration, PreTrainedTokenizerFast
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil

SPECIAL = [
    "<|endoftext|>",
    "[gMASK]",
    "<sop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
    "<|video|>",
]
# As the templates of the family: a role's mark, a line feed, the content; `enable_thinking` closes an empty thought.
TEMPLATE = """[gMASK]<sop>
{%- for message in messages -%}
<|{{ 'observation' if message.role == 'tool' else message.role }}|>
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content or [] %}
{%- if part.type == 'text' %}{{ part.text }}
{%- elif part.type in ('image', 'image_url') %}<|begin_of_image|><|image|><|end_of_image|>
{%- endif %}{% endfor %}{% endif %}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|assistant|>
{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}
{%- endif -%}"""


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, and the special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=bare,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=SPECIAL[1:],
        chat_template=TEMPLATE,
    )


def config(tokens: PreTrainedTokenizerFast) -> Glm4vConfig:
    """Two small layers for text and one for pictures."""
    number = tokens.convert_tokens_to_ids
    return Glm4vConfig(
        text_config={
            "vocab_size": len(tokens),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 8192,
            "pad_token_id": tokens.pad_token_id,
            "eos_token_id": tokens.eos_token_id,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [2, 3, 3],
                "partial_rotary_factor": 1.0,
            },
        },
        vision_config={
            "depth": 1,
            "hidden_size": 64,
            "num_heads": 4,
            "intermediate_size": 128,
            "out_hidden_size": 64,
            "image_size": 56,
        },
        image_token_id=number("<|image|>"),
        video_token_id=number("<|video|>"),
        image_start_token_id=number("<|begin_of_image|>"),
        image_end_token_id=number("<|end_of_image|>"),
        video_start_token_id=number("<|begin_of_video|>"),
        video_end_token_id=number("<|end_of_video|>"),
    )


def write(folder: str) -> None:
    torch.manual_seed(0)
    tokens = tokenizer()
    model = Glm4vForConditionalGeneration(config(tokens))
    model.generation_config.eos_token_id = tokens.eos_token_id
    model.generation_config.pad_token_id = tokens.pad_token_id
    model.save_pretrained(folder)
    PictureProcessor.register_for_auto_class()
    PictureProcessor(Glm4vImageProcessorPil(), tokens, chat_template=TEMPLATE).save_pretrained(folder)


if __name__ == "__main__":
    write(sys.argv[1])
