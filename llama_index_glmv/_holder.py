"""The clients of a component, which pydantic copies and pickles together with it."""

from __future__ import annotations

import glmv


class Holder:
    """The pair of clients of one settings object. Copies and pickles of it start without any."""

    __slots__ = ("clients", "owner")

    def __init__(self, settings: glmv.Settings | None = None) -> None:
        self.owner = id(settings)
        self.clients = None if settings is None else glmv.Clients(settings)

    def __deepcopy__(self, memo: object) -> Holder:
        return Holder()

    def __reduce__(self) -> tuple[type[Holder], tuple[()]]:
        return Holder, ()

    def of(self, settings: glmv.Settings) -> Holder:
        """Itself for the settings it was made for, else a new one: a shallow copy may have other settings."""
        return self if self.clients is not None and self.owner == id(settings) else Holder(settings)
