"""A chat by OpenAI's client with either base URL: JSON on standard output."""

from __future__ import annotations

import json
import os
import sys

from openai import OpenAI

client = OpenAI(api_key=os.environ["GLM_KEY"], base_url=os.environ["GLM_BASE"])
content = [
    {"type": "text", "text": "Describe the picture."},
    {"type": "image_url", "image_url": {"url": os.environ["URL"]}},
]
ask = {"model": os.environ["MODEL"], "messages": [{"role": "user", "content": content}]}

answer = client.chat.completions.create(**ask)
stream = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
usage = [chunk.usage for chunk in stream if chunk.usage]
json.dump(
    {
        "id": answer.id,
        "object": answer.object,
        "model": answer.model,
        "models": len(client.models.list().data),
        "text": answer.choices[0].message.content,
        "streamed": "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices),
        "finish": [choice.finish_reason for chunk in stream for choice in chunk.choices if choice.finish_reason],
        "usage": [answer.usage.total_tokens, usage[-1].total_tokens],
    },
    sys.stdout,
)
