"""Calls of the platform's own clients, as in their documentation. `official.py FUNCTION` prints a result as JSON."""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if os.environ["CLIENT"] == "zhipuai":
    import zhipuai

    client = zhipuai.ZhipuAI(api_key=os.environ["GLM_KEY"], base_url=os.environ["GLM_BASE"])
else:
    import zai

    client = zai.ZhipuAiClient(api_key=os.environ["GLM_KEY"], base_url=os.environ["GLM_BASE"])

QUESTION = "Describe the picture."


def ask(url: str, model: str = "glm-4v-plus-0111", **options: Any) -> Any:
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": QUESTION}]
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}], **options)


def picture() -> str:
    return base64.b64encode(Path(os.environ["PICTURE"]).read_bytes()).decode()


def added(stream: Any) -> dict[str, Any]:
    text, reasoning, finish, usage = "", "", [], None
    for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            finish += [choice.finish_reason] if choice.finish_reason else []
        usage = chunk.usage or usage
    return {"text": text, "reasoning": reasoning, "finish": finish, "usage": usage and usage.total_tokens}


def whole(answer: Any) -> dict[str, Any]:
    message = answer.choices[0].message
    return {
        "text": message.content,
        "reasoning": getattr(message, "reasoning_content", None) or "",
        "finish": [answer.choices[0].finish_reason],
        "usage": answer.usage.total_tokens,
    }


def vision() -> Any:
    url = os.environ["URL"]
    return {
        "whole": whole(ask(url)),
        "streamed": added(ask(url, stream=True)),
        "base64": whole(ask(picture())),
        "data URI": whole(ask(f"data:image/png;base64,{picture()}")),
    }


def token() -> Any:
    """The signed token that the client makes."""
    if os.environ["CLIENT"] == "zhipuai":
        from zhipuai.core._jwt_token import generate_token
    else:
        from zai.core._jwt_token import generate_token
    return generate_token(os.environ["GLM_KEY"])


def thinking() -> Any:
    url = os.environ["URL"]
    return {
        "whole": whole(ask(url, "glm-4.6v")),
        "streamed": added(ask(url, "glm-4.6v", stream=True)),
        "off": whole(ask(url, "glm-4.6v", thinking={"type": "disabled"})),
    }


def tools() -> Any:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    function = {"name": "get_weather", "description": "Get the weather of a city", "parameters": parameters}
    messages: list[Any] = [{"role": "user", "content": "What is the weather in the city Berlin?"}]
    tool = {"type": "function", "function": function}
    ask: dict[str, Any] = {"model": "glm-4.6", "tools": [tool], "thinking": {"type": "disabled"}}
    first = client.chat.completions.create(messages=messages, **ask).choices[0]
    call = first.message.tool_calls[0]
    messages.append(first.message.model_dump())
    messages.append({"role": "tool", "content": '{"weather": "rain"}', "tool_call_id": call.id})
    last = client.chat.completions.create(messages=messages, **ask).choices[0]
    return {
        "finish": first.finish_reason,
        "name": call.function.name,
        "arguments": json.loads(call.function.arguments),
        "text": last.message.content,
    }


def deferred() -> Any:
    """An asynchronous task, polled until it is done."""
    messages = [{"role": "user", "content": "Hello"}]
    kind = client.chat.asyncCompletions
    task = kind.create(model="glm-4v-flash", messages=messages, request_id="deferred-1")
    states = [task.task_status]
    for _ in range(50):
        result = kind.retrieve_completion_result(id=task.id)
        states.append(result.task_status)
        if result.task_status != "PROCESSING":
            break
        time.sleep(0.02)
    return {"states": states, "text": result.choices[0].message.content, "request_id": task.request_id}


def embeddings() -> Any:
    near, same, far = (
        client.embeddings.create(model="embedding-3", input=[text], dimensions=256).data[0].embedding
        for text in ("a red car on the road", "the red car on a road", "十二个月的财务报表")
    )

    def product(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    return {"size": len(near), "near": product(near, same), "far": product(near, far)}


def files() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.jsonl"
        lines = [batch_line(f"request-{number}", f"Say {number}") for number in range(5)]
        path.write_text("\n".join(json.dumps(line) for line in lines))
        with path.open("rb") as opened:
            file = client.files.create(file=opened, purpose="batch")
    listed = client.files.list(purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v4/chat/completions",
        auto_delete_input_file=False,
        completion_window="24h",
        metadata={"what": "a test"},
    )
    states = [batch.status]
    for _ in range(100):
        batch = client.batches.retrieve(batch.id)
        states.append(batch.status)
        if batch.status == "completed":
            break
        time.sleep(0.02)
    output = client.files.content(batch.output_file_id)
    answers = [json.loads(line) for line in output.content.decode().splitlines() if line.strip()]
    deleted = client.files.delete(file.id)
    return {
        "listed": file.id in [one.id for one in listed.data],
        "states": states,
        "ids": [answer["custom_id"] for answer in answers],
        "texts": [answer["response"]["body"]["choices"][0]["message"]["content"] for answer in answers],
        "counts": batch.request_counts.model_dump(),
        "deleted": deleted.deleted,
        "metadata": batch.metadata,
    }


def batch_line(name: str, text: str) -> dict[str, Any]:
    body = {"model": "glm-4v-plus", "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}
    return {"custom_id": name, "method": "POST", "url": "/v4/chat/completions", "body": body}


def habits() -> Any:
    """Requests as in the clients' own tests: a number as request id, `temperature` and `top_p` 0 and 1, web search."""
    messages = [
        {"role": "user", "content": "Write a slogan for my product."},
        {"role": "assistant", "content": "What is the product?"},
        {"role": "user", "content": "A platform for models."},
    ]
    search = {"type": "web_search", "web_search": {"search_query": "slogans", "search_result": True, "enable": True}}
    asks: dict[str, dict[str, Any]] = {
        "temperature 0": {"temperature": 0, "top_p": 0.7},
        "temperature 1": {"temperature": 1, "top_p": 0.7},
        "top_p 0": {"temperature": 0.9, "top_p": 0},
        "top_p 1": {"temperature": 0.9, "top_p": 1},
        "web search": {"tools": [search]},
        "extra body": {"extra_body": {"temperature": 0.5, "max_tokens": 50}},
        "word check": {"sensitive_word_check": {"type": "ALL", "status": "DISABLE"}},
    }
    answers = {
        name: client.chat.completions.create(
            model="glm-4", messages=messages, request_id=time.time(), user_id="12345678", **more
        )
        for name, more in asks.items()
    }
    vector = client.embeddings.create(model="embedding-2", input="你好", extra_body={"model_version": "v1"})
    return {
        "texts": {name: bool(answer.choices[0].message.content) for name, answer in answers.items()},
        "embedding": len(vector.data[0].embedding),
    }


def pages() -> Any:
    """A listing of batches, page after page."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.jsonl"
        path.write_text(json.dumps(batch_line("request-1", "Hello")))
        with path.open("rb") as opened:
            file = client.files.create(file=opened, purpose="batch")
    results = [
        client.batches.create(
            input_file_id=file.id,
            endpoint="/v4/chat/completions",
            completion_window="24h",
            auto_delete_input_file=False,
        ).id
        for _ in range(5)
    ]
    first = client.batches.list(limit=2)
    listed = [batch.id for page in first.iter_pages() for batch in page.data]
    return {"made": results, "listed": listed, "more": first.has_more}


def refused() -> Any:
    """The exception that the client raises for each refusal, without a retry."""
    wrong = type(client)(api_key="test-id.test-secret", base_url=os.environ["GLM_BASE"], max_retries=0)
    message = [{"role": "user", "content": "Hello"}]

    def outcome(caller: Any, model: str, **more: Any) -> list[Any]:
        try:
            caller.chat.completions.create(model=model, messages=message, **more)
        except Exception as problem:
            return [type(problem).__name__, getattr(problem, "status_code", None)]
        return []

    def fault(name: str) -> dict[str, Any]:
        return {"extra_headers": {"x-glmv-fault": name}}

    once = type(client)(api_key=os.environ["GLM_KEY"], base_url=os.environ["GLM_BASE"], max_retries=0)
    return {
        "wrong key": outcome(wrong, "glm-4"),
        "unknown model": outcome(once, "glm-9v"),
        "busy": outcome(once, "glm-4", **fault("code-1302")),
        "broken": outcome(once, "glm-4", **fault("code-500")),
        "overloaded": outcome(once, "glm-4", **fault("status-503")),
    }


FUNCTIONS: dict[str, Callable[[], Any]] = {
    function.__name__: function
    for function in (vision, token, thinking, tools, deferred, embeddings, files, habits, pages, refused)
}

if __name__ == "__main__":
    json.dump(FUNCTIONS[sys.argv[1]](), sys.stdout)
