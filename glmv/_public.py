"""What public classes show: the package `glmv`, not the module that they happen to be in, and their fields."""

from __future__ import annotations

from inspect import Signature, get_annotations
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel

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


class _Signature:
    """The signature of a model's class, with all fields.

    pydantic makes it with the validators, and these are made when first needed (`defer_build`). Until then a class
    would show the signature of one of its bases.
    """

    def __get__(self, instance: object, owner: type[BaseModel]) -> Signature:
        if instance is not None:
            raise AttributeError("__signature__")  # instances are not called
        owner.model_rebuild()
        made: Any = vars(owner)["__signature__"]
        shown: Signature = made if isinstance(made, Signature) else made.__get__(None, owner)
        return shown


class ShowsFields(BaseModel):
    """Its classes show their fields in `inspect.signature` and help, before and after they are first used."""

    __signature__: ClassVar[Any] = _Signature()

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        type.__setattr__(cls, "__signature__", _Signature())
