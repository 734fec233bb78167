"""The endpoints other than chat, as properties of both clients. Each is imported when it is first used.

Few programs need them, and importing them is a tenth of the import time of `glmv`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from glmv.endpoints.context import Context

if TYPE_CHECKING:
    from glmv.endpoints.batches import AsyncBatches, Batches
    from glmv.endpoints.files import AsyncFiles, Files
    from glmv.endpoints.tasks import AsyncTasks, Tasks


class Endpoints:
    """The endpoints of the blocking client."""

    _context: Callable[[], Context]
    _result: Callable[..., Any]

    @property
    def tasks(self) -> Tasks:
        """Asynchronous calls: submit a request and fetch the answer later."""
        from glmv.endpoints.tasks import Tasks

        return Tasks(self._context, self._result)

    @property
    def files(self) -> Files:
        """Files on the platform."""
        from glmv.endpoints.files import Files

        return Files(self._context, self._result)

    @property
    def batches(self) -> Batches:
        """Many requests in one file, at half the price. Pictures: only for glm-4v, glm-4v-plus and glm-4v-plus-0111."""
        from glmv.endpoints.batches import Batches

        return Batches(self._context, self._result)


class AsyncEndpoints:
    """The endpoints of the asynchronous client."""

    _context: Callable[[], Context]
    _result: Callable[..., Any]

    @property
    def tasks(self) -> AsyncTasks:
        """The asynchronous form of `Client.tasks`."""
        from glmv.endpoints.tasks import AsyncTasks

        return AsyncTasks(self._context, self._result)

    @property
    def files(self) -> AsyncFiles:
        """The asynchronous form of `Client.files`."""
        from glmv.endpoints.files import AsyncFiles

        return AsyncFiles(self._context, self._result)

    @property
    def batches(self) -> AsyncBatches:
        """The asynchronous form of `Client.batches`."""
        from glmv.endpoints.batches import AsyncBatches

        return AsyncBatches(self._context, self._result)
