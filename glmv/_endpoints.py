"""The endpoints beside chat, as properties of both clients. Each is loaded when it is first asked for.

Few programs need them, and a tenth of what importing the core costs is theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glmv._batches import AsyncBatches, Batches
    from glmv._endpoint import Desk
    from glmv._files import AsyncFiles, Files
    from glmv._tasks import AsyncTasks, Tasks


class Endpoints:
    """Of the blocking client."""

    _desk: Callable[[], Desk]
    _result: Callable[..., Any]

    @property
    def tasks(self) -> Tasks:
        """Asynchronous calls: hand a request in, come back for the answer."""
        from glmv._tasks import Tasks

        return Tasks(self._desk, self._result)

    @property
    def files(self) -> Files:
        """Files on the platform."""
        from glmv._files import Files

        return Files(self._desk, self._result)

    @property
    def batches(self) -> Batches:
        """Many requests in one file, at half the price."""
        from glmv._batches import Batches

        return Batches(self._desk, self._result)


class AsyncEndpoints:
    """Of the asynchronous one."""

    _desk: Callable[[], Desk]
    _result: Callable[..., Any]

    @property
    def tasks(self) -> AsyncTasks:
        """As `Client.tasks`."""
        from glmv._tasks import AsyncTasks

        return AsyncTasks(self._desk, self._result)

    @property
    def files(self) -> AsyncFiles:
        """As `Client.files`."""
        from glmv._files import AsyncFiles

        return AsyncFiles(self._desk, self._result)

    @property
    def batches(self) -> AsyncBatches:
        """As `Client.batches`."""
        from glmv._batches import AsyncBatches

        return AsyncBatches(self._desk, self._result)
