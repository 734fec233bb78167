"""Declares the keywords with their types, so that editors complete them and type checkers report a misspelt one.

`glmv.options` has the same names as fields of pydantic models, which validate the values. A test compares both names
and types.
"""

# No `from __future__ import annotations` here: it would turn the annotations of a TypedDict into strings.
import inspect
from collections.abc import Callable
from typing import Any, Literal, TypedDict, TypeVar

from pydantic import BaseModel

from glmv._public import public_class
from glmv.credentials import SecretHeaders
from glmv.options import DialectName, Settings

F = TypeVar("F", bound=Callable[..., Any])


class OptionKeywords(TypedDict, total=False):
    """The fields of `glmv.Options`."""

    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: str | list[str] | None
    do_sample: bool | None
    thinking: bool | Literal["auto"] | dict[str, Any] | None
    reasoning_effort: str | None
    tools: list[dict[str, Any]] | None
    tool_choice: str | dict[str, Any] | bool | None
    parallel_tool_calls: bool | None
    response_format: dict[str, Any] | None
    tool_stream: bool | None
    stream_options: dict[str, Any] | Literal[False] | None
    sensitive_word_check: dict[str, Any] | None
    seed: int | None
    request_id: str | None
    user_id: str | None
    extra_body: dict[str, Any] | None


@public_class
class CallKeywords(OptionKeywords, total=False):
    """Keywords of one call, such as `Client.chat`; `glmv.Options` and `glmv.ChatRequest` say what each means.

    For functions that pass keywords on: `def ask(text: str, **options: Unpack[glmv.CallKeywords])`.
    """

    base_model: str | None
    timeout: Any
    deadline: float | None
    idle_timeout: float | None
    max_retries: int | None
    extra_headers: SecretHeaders | dict[str, str] | None
    on_sensitive: Literal["raise", "return"] | None
    boxes_of: int | None
    keep_pictures: int | None
    may_replace: bool | None
    on_misfit: Literal["raise", "return", "return_value"] | None
    validate: Callable[[str], object] | type[BaseModel] | None


@public_class
class ClientKeywords(OptionKeywords, total=False):
    """Keywords of `glmv.Client` except the key; `glmv.Settings` says what each means."""

    base_url: str | None
    auth: Literal["key", "token"]
    token_ttl: float
    timeout: Any
    deadline: float | None
    idle_timeout: float | None
    max_retries: int
    retry_budget: int | None
    max_concurrency: int | None
    http_client: Any
    http_async_client: Any
    default_headers: dict[str, str] | None
    allow_http: bool
    dialect: DialectName | None
    base64_as: Literal["raw", "data_uri"] | None
    tracing: bool | None
    model: str
    base_model: str | None
    on_sensitive: Literal["raise", "return"]
    keep_pictures: int | None
    picture_cache_bytes: int


class _Unset:
    """The default of an optional keyword, which `help()` shows as `...`. An omitted keyword is not passed on."""

    def __repr__(self) -> str:
        return "..."


_UNSET = _Unset()


def shows(kind: Any) -> Callable[[F], F]:
    """Makes `inspect.signature` and help show the keywords of a function instead of its `**options`.

    Args:
        kind: the TypedDict that the function unpacks: `CallKeywords`, `ClientKeywords`, or one that extends them.

    Returns:
        A decorator, which returns the same function.
    """
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    of_client = kind is ClientKeywords
    defaults = {name: field.default for name, field in Settings.model_fields.items()} if of_client else {}

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        *explicit, _ = signature.parameters.values()
        own = {parameter.name for parameter in explicit}
        single = [
            inspect.Parameter(name, keyword_only, default=defaults.get(name, _UNSET), annotation=annotation)
            for name, annotation in kind.__annotations__.items()
            if name not in own
        ]
        function.__signature__ = signature.replace(parameters=[*explicit, *single])  # type: ignore[attr-defined]  # a function may have one
        return function

    return decorate
