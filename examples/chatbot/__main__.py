"""`python examples/chatbot`, then open the page whose address it prints."""

from __future__ import annotations

import os

import uvicorn
from app import application

import glmv
from glmv_emulator import Emulator

PORT = 8000
MODEL = "glm-4.6v"


def main() -> None:
    if os.environ.get("ZHIPUAI_API_KEY") or os.environ.get("ZAI_API_KEY"):
        serve(glmv.AsyncClient(model=MODEL, thinking=False), "GLM-4V answers")
        return
    with Emulator(pace=0.05) as emulator:
        glm = glmv.AsyncClient(emulator.api_key, base_url=emulator.base_url, model=MODEL, thinking=False)
        serve(glm, "no key is set: an emulator answers from what it measures")


def serve(glm: glmv.AsyncClient, who: str) -> None:
    print(f"http://127.0.0.1:{PORT}   ({who}; end with Ctrl+C)")
    uvicorn.run(application(glm), host="127.0.0.1", port=PORT, log_level="warning")


if __name__ == "__main__":
    main()
