"""What makes a class public: it names the package `glmv`, not the module that it happens to be in."""

from __future__ import annotations

from inspect import get_annotations
from typing import TypeVar

C = TypeVar("C", bound=type)


def public_class(kind: C) -> C:
    """Makes a class name `glmv` as its module, so that pickles and reprs survive a move inside the package.

    Tools evaluate annotations that are strings in the module that a class names, and `glmv` lacks most of their names.
    Therefore the evaluated ones are kept, in the class and in the fields of a dataclass.

    Raises:
        NameError: when an annotation names what its module does not define above the class.
    """
    annotations = get_annotations(kind, eval_str=True)
    for name, field in getattr(kind, "__dataclass_fields__", {}).items():
        field.type = annotations.get(name, field.type)
    kind.__annotations__ = annotations
    kind.__module__ = "glmv"
    return kind
