"""Checks whether a value fits a JSON Schema. Nothing is read from files or the network.

The validator is `jsonschema`, from the extra `schema`; the extras `langchain`, `llama-index`, `batch` and `cli` include
it. `format`, a `$ref` to another document, and a keyword whose value in the schema is invalid are not checked. Patterns
are matched by pydantic's regular expressions, in linear time (https://docs.rs/regex), because answers are not trusted.
These expressions do not support look-around and back references, so patterns with them are not checked. Python's `re`
is used only in schemas that have both `unevaluatedProperties` and `patternProperties`: there `jsonschema` matches the
names of the properties itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic_core import SchemaError, SchemaValidator, core_schema

from glmv.errors import InvalidRequestError

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

_Errors = Iterator[Any]
_Keyword = Callable[[Any, Any, Any, Any], _Errors | None]

# The most errors that are collected; the one nearest to the top is reported.
_MOST_ERRORS = 200
# The most characters of a schema's value in a message.
_MOST_SHOWN = 200


def need_validator() -> None:
    """Raises InvalidRequestError, with the extra to install, if `jsonschema` is missing."""
    try:
        import jsonschema  # noqa: F401 - the import is the test
    except ImportError:
        raise InvalidRequestError(
            'Checking an answer against a JSON Schema needs jsonschema: pip install "glmv[schema]" '
            "(the extras langchain, llama-index, batch and cli contain it)."
        ) from None


def misfit(value: object, schema: object) -> str | None:
    """Describes where a value does not fit a schema, in one line for users and models; None if it fits.

    Args:
        value: parsed JSON.
        schema: a JSON Schema; `$schema` names its draft, by default 2020-12. A schema that is not a mapping accepts
            every value.

    Raises:
        InvalidRequestError: `jsonschema` is not installed.
    """
    if not isinstance(schema, Mapping):
        return None
    need_validator()
    draft = schema.get("$schema")
    try:
        errors = list(
            islice(_validator(draft if isinstance(draft, str) else "")(dict(schema)).iter_errors(value), _MOST_ERRORS)
        )
    except RecursionError:  # an endless reference of the schema to itself, or a very deep value
        return None
    return _problem(errors) if errors else None


@lru_cache(maxsize=16)
def _validator(draft: str) -> Callable[[Any], Validator]:
    """Returns a function that makes validators. `draft` is the URI of a draft; "" means draft 2020-12."""
    from functools import partial

    from jsonschema import Draft202012Validator, validators
    from referencing.jsonschema import EMPTY_REGISTRY

    kind = validators.validator_for({"$schema": draft}, default=Draft202012Validator)
    keywords = {**kind.VALIDATORS, "pattern": _pattern, "patternProperties": _pattern_properties}
    keywords["additionalProperties"] = _additional_properties
    careful = {name: _careful(keyword) for name, keyword in keywords.items()}
    # An empty registry, because `jsonschema` would otherwise fetch the URL of a `$ref`.
    return partial(validators.extend(kind, careful), registry=EMPTY_REGISTRY)


def _careful(keyword: _Keyword) -> _Keyword:
    """The check of a keyword, changed to accept everything if the schema has an invalid value for the keyword."""
    from jsonschema.exceptions import UnknownType
    from referencing.exceptions import Unresolvable

    broken = (
        UnknownType,
        Unresolvable,
        SchemaError,
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        ArithmeticError,
    )

    def judged(validator: Any, value: Any, instance: Any, schema: Any) -> _Errors:
        try:
            yield from keyword(validator, value, instance, schema) or ()
        except (*broken, re.error):
            return

    return judged


@lru_cache(maxsize=256)
def _regex(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern))


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> _Errors:
    if isinstance(instance, str) and not _regex(pattern).isinstance_python(instance):
        yield _error(f"has to match the pattern {_shown(pattern)}")


def _pattern_properties(validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any) -> _Errors:
    for pattern, inner in patterns.items() if isinstance(instance, dict) else ():
        for name in filter(_regex(pattern).isinstance_python, instance):
            yield from validator.descend(instance[name], inner, path=name, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, instance: Any, schema: Any) -> _Errors:
    patterns = [_regex(pattern) for pattern in schema.get("patternProperties") or ()]
    properties = schema.get("properties") or {}
    for name in instance if isinstance(instance, dict) else ():
        if name in properties or any(pattern.isinstance_python(name) for pattern in patterns):
            continue
        if allowed is False:
            yield _error(f"has {name!r}, which the schema does not allow")
        else:
            yield from validator.descend(instance[name], allowed, path=name)


def _error(words: str) -> ValidationError:
    from jsonschema.exceptions import ValidationError

    return ValidationError(words)


_WORDS = {
    "const": "has to be {}",
    "enum": "has to be one of {}",
    "minimum": "has to be at least {}",
    "maximum": "has to be at most {}",
    "exclusiveMinimum": "has to be more than {}",
    "exclusiveMaximum": "has to be less than {}",
    "multipleOf": "has to be a multiple of {}",
    "minLength": "has to be at least {} characters long",
    "maxLength": "has to be at most {} characters long",
    "minItems": "has to have at least {} items",
    "maxItems": "has to have at most {} items",
    "uniqueItems": "has to have items that all differ",
    "not": "must not fit {}",
}


def _problem(errors: list[ValidationError]) -> str:
    """Describes the error nearest to the root of the value: its position and what the schema expects there."""
    error = min(errors, key=lambda each: len(each.absolute_path))
    keyword, value = str(error.validator), error.validator_value
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    match keyword:
        case "anyOf" | "oneOf" if len(value) == 1 and error.context:
            return _problem(error.context)
        case "anyOf" | "oneOf" if error.context:
            words = f"fits none of the {len(value)} allowed forms"
        case "oneOf":
            words = f"fits several of the {len(value)} allowed forms, but has to fit exactly one"
        case "required" if isinstance(value, list):
            words = f"lacks {', '.join(repr(name) for name in value if name not in error.instance)}"
        case "type":
            words = f"has to be of type {' or '.join(map(str, value if isinstance(value, list) else [value]))}"
        case "pattern" | "additionalProperties" | "required":  # the first two are ours; draft 3 has `required: true`
            words = error.message
        case _ if keyword in _WORDS:
            words = _WORDS[keyword].format(_shown(value))
        case "None":  # the schema is `false`
            words = f"must not have the value {_shown(error.instance)}"
        case _:
            words = f"has to meet {keyword}: {_shown(value)}"
    return f"{place.removeprefix('.') or 'the answer'} {words}"


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:_MOST_SHOWN]
