"""Makes public classes appear in reprs, pickles and help as classes of the package `glmv`, with all their fields."""

from __future__ import annotations

from inspect import Signature, get_annotations
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel

C = TypeVar("C", bound=type)


def public_class(kind: C) -> C:
    """Sets `glmv` as the module of a class, so that pickles and reprs survive a move inside the package.

    Some tools evaluate annotations that are strings, and look for the names in the module of the class. `glmv` does not
    have most of these names. So the annotations of the class and of a dataclass' fields are evaluated here.

    Raises:
        NameError: when an annotation uses a name that its module does not define above the class.
    """
    annotations = get_annotations(kind, eval_str=True)
    for name, field in getattr(kind, "__dataclass_fields__", {}).items():
        field.type = annotations.get(name, field.type)
    kind.__annotations__ = annotations
    kind.__module__ = "glmv"
    return kind


class _Signature:
    """The signature of a pydantic class, with all fields.

    pydantic makes the signature together with the validators, when they are first needed (`defer_build`). Until then a
    class would show the signature of a base class.
    """

    def __get__(self, instance: object, owner: type[BaseModel]) -> Signature:
        if instance is not None:
            raise AttributeError("__signature__")  # instances are not called
        owner.model_rebuild()
        value: Any = vars(owner)["__signature__"]
        signature: Signature = value if isinstance(value, Signature) else value.__get__(None, owner)
        return signature


class ShowsFields(BaseModel):
    """Base of classes that show their fields in `inspect.signature` and help, even before they are first used."""

    __signature__: ClassVar[Any] = _Signature()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        type.__setattr__(cls, "__signature__", _Signature())
