"""Whether a value fits a JSON Schema. Pure: nothing is read from files or the network.

Schemas are judged by `jsonschema`, of the extra `schema`, which `langchain`, `llama-index`, `batch` and `cli` contain.
What cannot be judged is left out: a `$ref` that leaves the schema, a keyword whose own value is broken, `format`.
Patterns are matched by pydantic's regular expressions, whose time is linear in the text (https://docs.rs/regex), since
an answer is not to be trusted; a pattern with look-around or back references is unknown to them and is not judged. The
exception is `unevaluatedProperties` beside `patternProperties`: there `jsonschema` matches names by Python's `re`.
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

# Of so many errors the one nearest to the top is reported.
_MOST_ERRORS = 200
# Characters of a schema's value that a message repeats.
_MOST_SHOWN = 200


def need_validator() -> None:
    """Raises InvalidRequestError, which names the extra, where schemas cannot be judged."""
    try:
        import jsonschema  # noqa: F401 - the import is the test
    except ImportError:
        raise InvalidRequestError(
            'To check an answer against a JSON Schema, jsonschema is needed: pip install "glmv[schema]" '
            "(the extras langchain, llama-index, batch and cli contain it)."
        ) from None


def misfit(value: object, schema: object) -> str | None:
    """The first place where a value does not fit a schema, in one line for people and models; None when it fits.

    Args:
        value: parsed JSON.
        schema: a JSON Schema; of the draft that its `$schema` names, else 2020-12. What is not a dict judges nothing.

    Raises:
        InvalidRequestError: when `jsonschema` is not installed.
    """
    if not isinstance(schema, Mapping):
        return None
    need_validator()
    draft = schema.get("$schema")
    try:
        errors = list(
            islice(_validator(draft if isinstance(draft, str) else "")(dict(schema)).iter_errors(value), _MOST_ERRORS)
        )
    except RecursionError:  # a schema that refers to itself without end, or a value as deep as the interpreter goes
        return None
    return _problem(errors) if errors else None


@lru_cache(maxsize=16)
def _validator(draft: str) -> Callable[[Any], Validator]:
    """The URI of a draft, "" for the newest -> what makes validators of it."""
    from functools import partial

    from jsonschema import Draft202012Validator, validators
    from referencing.jsonschema import EMPTY_REGISTRY

    kind = validators.validator_for({"$schema": draft}, default=Draft202012Validator)
    keywords = {**kind.VALIDATORS, "pattern": _pattern, "patternProperties": _pattern_properties}
    keywords["additionalProperties"] = _additional_properties
    careful = {name: _careful(keyword) for name, keyword in keywords.items()}
    # The registry is empty, and cannot retrieve: `jsonschema` by itself would fetch what a `$ref` names.
    return partial(validators.extend(kind, careful), registry=EMPTY_REGISTRY)


def _careful(keyword: _Keyword) -> _Keyword:
    """A keyword that judges nothing where its own value in the schema is broken."""
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
    known = schema.get("properties") or {}
    for name in instance if isinstance(instance, dict) else ():
        if name in known or any(pattern.isinstance_python(name) for pattern in patterns):
            continue
        if allowed is False:
            yield _error(f"has {name!r}, which is not asked for")
        else:
            yield from validator.descend(instance[name], allowed, path=name)


def _error(words: str) -> ValidationError:
    from jsonschema.exceptions import ValidationError

    return ValidationError(words)


_OURS = ("pattern", "additionalProperties")
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
    """The error nearest to the top, as its place and what was expected."""
    error = min(errors, key=lambda found: len(found.absolute_path))
    keyword, value = str(error.validator), error.validator_value
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    match keyword:
        case "anyOf" | "oneOf" if len(value) == 1 and error.context:
            return _problem(error.context)
        case "anyOf" | "oneOf" if error.context:
            words = f"fits none of the {len(value)} forms it may have"
        case "oneOf":
            words = f"fits several of the {len(value)} forms it may have, and has to fit one"
        case "required":
            missing = [name for name in value if name not in error.instance] if isinstance(value, list) else []
            words = f"lacks {', '.join(map(repr, missing))}" if missing else error.message
        case "type":
            words = f"has to be of type {' or '.join(map(str, value if isinstance(value, list) else [value]))}"
        case _ if keyword in _OURS:
            words = error.message
        case _ if keyword in _WORDS:
            words = _WORDS[keyword].format(_shown(value))
        case "None":  # the schema is `false`
            words = f"must not hold {_shown(error.instance)}"
        case _:
            words = f"has to meet {keyword}: {_shown(value)}"
    return f"{place.removeprefix('.') or 'the answer'} {words}"


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:_MOST_SHOWN]
