"""What the platform cannot be told, it is asked for: `tool_choice` and JSON Schemas by instruction and check."""

from __future__ import annotations

from glmv._dialect import Dialect
from glmv._request import ChatRequest
from glmv._types import Completion, Delta


class Plan:
    """One request and its answer, as it is."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.done = False

    def judge(self, answer: Completion) -> Completion:
        """The answer -> what the caller gets; `done` says whether it stands."""
        self.done = True
        return answer

    def show(self, delta: Delta) -> list[Delta]:
        """A delta -> what the caller gets of it."""
        self.done = delta.last
        return [delta]


def plan(request: ChatRequest, dialect: Dialect) -> Plan:
    """How a request is to be met."""
    return Plan(request)
