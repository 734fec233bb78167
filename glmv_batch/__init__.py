"""Ask the same question about many pictures. No answer is lost, and none is paid for twice. Progress is reported.

    from glmv_batch import Job
    job = Job("photos", "Describe it in one sentence.", model="glm-4.6v")
    job.write("answers.jsonl")                            # run again: it continues where it stopped

`glmv_batch.ray` runs a job on many machines; `Job(..., via="platform")` uses the platform's own batches at half price.
"""

import importlib as _importlib
import typing as _typing

if _typing.TYPE_CHECKING:
    from glmv_batch._items import Item
    from glmv_batch._job import Job
    from glmv_batch._progress import Progress
    from glmv_batch._row import Row

_MODULES = {"Item": "_items", "Job": "_job", "Progress": "_progress", "Row": "_row"}

__all__ = ["Item", "Job", "Progress", "Row"]


def __getattr__(name: str) -> _typing.Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(_importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
