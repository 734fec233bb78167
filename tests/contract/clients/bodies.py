"""Makes the calls listed as JSON in an environment variable, with the platform's own client."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

if os.environ["CLIENT"] == "zhipuai":
    import zhipuai

    client: Any = zhipuai.ZhipuAI(api_key=os.environ["GLM_KEY"], base_url=os.environ["GLM_BASE"], max_retries=0)
else:
    import zai

    client = zai.ZhipuAiClient(api_key=os.environ["GLM_KEY"], base_url=os.environ["GLM_BASE"], max_retries=0)

METHODS = {
    "chat": lambda: client.chat.completions.create,
    "task": lambda: client.chat.asyncCompletions.create,
    "embed": lambda: client.embeddings.create,
    "batch": lambda: client.batches.create,
    "file": lambda: upload,
}


def upload(name: str, data: str, purpose: str) -> Any:
    return client.files.create(file=(name, data.encode()), purpose=purpose)


for method, options in json.loads(os.environ["CALLS"]):
    answer = METHODS[method]()(**options)
    if options.get("stream"):
        list(answer)
json.dump([], sys.stdout)
