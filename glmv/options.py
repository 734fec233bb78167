"""Options of clients and calls, validated by pydantic, and the request that they become.

Ranges are those of the platform's chat reference (docs.bigmodel.cn, "对话补全", and docs.z.ai,
"Chat Completion"). The narrower limits of a model are in its catalogue row and are
checked in `request/check_options.py`.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    SecretStr,
    ValidationError,
    ValidationInfo,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from glmv._public import ShowsFields, public_class
from glmv.catalog.lookup import find_model, models
from glmv.catalog.row import Model
from glmv.credentials import AsyncApiKey, KeyOrFunction, SecretHeaders, is_secret, without_values
from glmv.errors import InvalidRequestError
from glmv.hosts import asks_platform
from glmv.media.kept import PICTURE_CACHE_BYTES
from glmv.media.text import hint_for_media, nearest, place_of, shortened, shown
from glmv.sending import RETRY_BUDGET, AsyncHTTPClient, HTTPClient, Timeout
from glmv.types import Message

DEFAULT_MODEL = "glm-4.6v"

DialectName = Literal["platform", "openai", "litellm", "openrouter", "vllm", "llama.cpp", "transformers"]


def _words(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a number that JSON can carry")
    return value


@dataclass(frozen=True, slots=True)
class _Platform:
    """A limit that the platform documents. It is checked only when requests go to the platform.

    The context of the validation, or the fields of `Connection` if there is no context, say which server is asked.
    """

    le: float | None = None
    min_length: int | None = None
    max_length: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(self._check, handler(source))

    def _check(self, value: Any, info: ValidationInfo) -> Any:
        if not asks_platform(info.context if isinstance(info.context, Mapping) else info.data):
            return value
        if self.le is not None and value > self.le:
            raise PydanticKnownError("less_than_equal", {"le": self.le})
        if self.min_length is not None and len(value) < self.min_length:
            raise PydanticKnownError("string_too_short", {"min_length": self.min_length})
        if self.max_length is not None and len(value) > self.max_length:
            raise PydanticKnownError("string_too_long", {"max_length": self.max_length})
        return value


def _row_name(value: str | None) -> str | None:
    """Converts the name that any host uses for a model to the catalogue's name."""
    if value is None:
        return None
    if (row := find_model(value)) is not None:
        return row.name
    names = [row.name for row in models()]
    raise ValueError(f"not a model of the catalogue.{nearest(value, names)} The models are {', '.join(names)}")


Share = Annotated[float, BeforeValidator(_finite), Field(ge=0.0, le=1.0)]
Temperature = Annotated[float, BeforeValidator(_finite), Field(ge=0.0), _Platform(le=1.0)]
BaseModelName = Annotated[str | None, AfterValidator(_row_name)]
Seconds = Annotated[float, Field(gt=0)]


@public_class
class Options(ShowsFields):
    """Options of one call. None means that the option is not sent, so the server's default applies.

    Ranges are those of the platform and are checked only for it. Other servers get the values unchecked, in the form
    that they expect.

    Attributes:
        temperature: 0.0 to 1.0; other servers may accept more. 0 and 1 are sent as they are.
        top_p: 0.0 to 1.0.
        max_tokens: the most tokens of the answer, thinking included; 1 or more.
        stop: words at which the answer ends. Words beyond the model's limit are not sent: the client cuts the answer
            at them.
        do_sample: False means greedy decoding, which ignores temperature and top_p. Other servers than the platform
            get temperature 0 instead.
        thinking: True, False, "auto" (not sent), or the dict of the wire format. Inference engines get
            `chat_template_kwargs` with `enable_thinking`, OpenRouter gets `reasoning`, and other proxies get the
            platform's field.
        reasoning_effort: "high", "low" or "max", for models that support it.
        tools: functions in the OpenAI shape; `web_search` and `retrieval` dicts are sent as they are.
        tool_choice: "auto", "none", "required", a function's name, or the OpenAI dict. The platform supports
            "auto" only; for the others the client adds an instruction, checks the answer and may ask once more.
        parallel_tool_calls: False keeps the first tool call only.
        response_format: {"type": "json_object"} or {"type": "json_schema", ...}. It may also be used for
            models that have no such field: the client describes the format in the prompt and checks the answer.
        tool_stream: stream the arguments of tool calls piece by piece, for models that support it.
        stream_options: sent with streams only. By default the client asks for the usage, if the server reports the
            usage of streams only on request. False turns this off.
        sensitive_word_check, seed: sent as they are.
        request_id: 1 to 64 characters; the client makes one when it is absent. docs.z.ai wants 6 or more: a shorter one
            is sent with a note. For other servers none is made, and yours is sent as the header X-Request-Id.
        user_id: the end user, for abuse tracking; 6 to 128 characters. Other servers get it as `user`.
        extra_body: further keys of the body. They replace the keys that the client sets; `chat_template_kwargs`,
            `reasoning` and `stream_options` are merged, key by key.
    """

    # By name, too: pydantic's plugin for mypy checks no keywords of a class that is only populated by AliasChoices.
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, defer_build=True, populate_by_name=True)

    temperature: Temperature | None = None
    top_p: Share | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: Annotated[list[str] | None, BeforeValidator(_words)] = Field(
        default=None, validation_alias=AliasChoices("stop", "stop_sequences")
    )
    do_sample: bool | None = None
    thinking: bool | Literal["auto"] | dict[str, Any] | None = None
    reasoning_effort: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | bool | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    tool_stream: bool | None = None
    stream_options: dict[str, Any] | Literal[False] | None = None
    sensitive_word_check: dict[str, Any] | None = None
    seed: int | None = None
    request_id: Annotated[str, _Platform(min_length=1, max_length=64)] | None = None
    user_id: Annotated[str, _Platform(min_length=6, max_length=128)] | None = None
    extra_body: dict[str, Any] | None = None


@public_class
class Connection(ShowsFields):
    """The server and key of a client, its time limits and its retries.

    Attributes:
        api_key: the platform's key, "id.secret"; None reads ZHIPUAI_API_KEY, then ZAI_API_KEY, when first needed. A
            function that returns the key is called before each attempt; in asynchronous calls it may be asynchronous,
            and a blocking one runs in a worker thread. When it raises, or returns something that is not a key, the call
            raises `AuthenticationError`. Copies share the function; pickles do not contain it.
        base_url: the base URL of the API. None: the environment and the key decide (see `glmv.Client`). A key argument
            that equals ZHIPUAI_API_KEY or ZAI_API_KEY is treated as a key from this variable. Any other key, and
            any function, gets the first of ZHIPUAI_BASE_URL and ZAI_BASE_URL that is set while its key variable is
            not. If there is none, a function is treated as the key that is set, and a key as one from
            ZHIPUAI_API_KEY.
        auth: "key" sends the key itself; "token" sends a short-lived token signed with it.
        token_ttl: lifetime of a signed token in seconds; 0 or less sends the key itself.
        timeout: seconds for each connection, each read and each write, or an `httpx.Timeout`; None is connect 8, read
            300, write 60.
        deadline: seconds for the whole call, from waiting for a slot to the last byte. At the deadline, or when no
            slot came free within the read timeout, a call that still waits for a slot raises `GateTimeout`.
        idle_timeout: seconds between two events of a stream; None means the read timeout.
        max_retries: a call makes at most `max_retries + 1` requests. Requests that the server refuses because of too
            many concurrent calls do not count while other calls of the same gate succeed. 0 turns retries off.
        retry_budget: retries that all calls of a client together may make during an outage; each success gives a part
            of a retry back. Refusals because of too many concurrent calls cost nothing. None means no bound, 0 no
            retries.
        max_concurrency: concurrent calls for this account and model; None means the documented number.
        http_client, http_async_client: your own `httpx` or `httpx2` clients; you close them, and they are not
            modified. With your own blocking client the deadline is checked between reads, so a call may end late by up
            to the read timeout.
        default_headers: headers for every request.
        allow_http: allow `http://` for other hosts than this machine.
        dialect: the variant of the API that the server has. "platform"; "openai" (a proxy in front of the platform),
            "litellm" and "openrouter", where a request over the platform's limits is sent with a note; "vllm" (also
            SGLang), "llama.cpp" and "transformers", where those limits do not apply. None: the URL decides between
            "platform", "openrouter" and "openai".
        base64_as: "raw" or "data_uri", for a server that needs another form than its dialect.
        tracing: False makes no spans (docs/telemetry.md); None makes them unless GLMV_TRACING is "off".
    """

    # By name, too: pydantic's plugin for mypy checks no keywords of a class that is only populated by AliasChoices.
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, defer_build=True, populate_by_name=True)

    api_key: Annotated[AsyncApiKey, KeyOrFunction()] | None = Field(default=None, exclude=True, repr=False)
    base_url: str | None = Field(default=None, validation_alias=AliasChoices("base_url", "api_base"))
    auth: Literal["key", "token"] = "key"
    token_ttl: float = 210.0
    timeout: Timeout = None
    deadline: Seconds | None = None
    idle_timeout: Seconds | None = None
    max_retries: Annotated[int, Field(ge=0)] = 3
    retry_budget: Annotated[int, Field(ge=0)] | None = RETRY_BUDGET
    max_concurrency: Annotated[int, Field(ge=1)] | None = None
    http_client: HTTPClient = Field(default=None, exclude=True, repr=False)
    http_async_client: AsyncHTTPClient = Field(
        default=None,
        exclude=True,
        repr=False,
        validation_alias=AliasChoices("http_async_client", "async_http_client"),
    )
    # Headers may carry credentials: they stay out of dumps, traces and cache keys.
    default_headers: dict[str, str] | None = Field(default=None, exclude=True, repr=False)
    allow_http: bool = False
    dialect: DialectName | None = None
    base64_as: Literal["raw", "data_uri"] | None = None
    tracing: bool | None = None

    if not TYPE_CHECKING:  # type checkers use the signature that pydantic's plugin makes

        def __init__(self, **values: Any) -> None:
            def validate() -> None:
                try:
                    super(Connection, self).__init__(**values)
                except ValidationError as error:  # its text and data would show a key passed under a misspelt name
                    raise InvalidRequestError(explained(error, type(self))) from None

            without_values(validate, values)

    def __setattr__(self, name: str, value: Any) -> None:
        # pydantic does not validate assignments; a plain str would be printed, a SecretStr is not.
        super().__setattr__(name, SecretStr(value) if name == "api_key" and isinstance(value, str) else value)

    def __getstate__(self) -> dict[str, Any]:
        # pydantic would pickle secrets in plain text. After unpickling, the key is read from the environment again.
        fields = dict(self.__dict__)
        state = super().__getstate__()
        values = dict(state["__dict__"])
        for name in fields.keys() - self.__dict__.keys():
            # LlamaIndex removes values that cannot be pickled from the model itself: put them back.
            self.__dict__[name] = fields[name]
        headers = {name: value for name, value in (self.default_headers or {}).items() if not is_secret(name)}
        return {**state, "__dict__": {**values, "api_key": None, "default_headers": headers or None}}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # A function may refer to locks and connections, which cannot be copied; and copies share a gate.
        key = self.__dict__.get("api_key")
        return super().__deepcopy__({**(memo or {}), id(key): key})


@public_class
class Settings(Options, Connection):  # pydantic takes fields from the last base on: the ranges need `dialect` first
    """All settings of a chat client: the connection, the model and the default options.

    Attributes:
        model: the server's name of the model, in upper or lower case.
        base_model: the catalogue's name of the model, when `glmv.find_model` does not recognize `model`. It gives
            the limits, the context window, the prices and the number of concurrent calls. If `model`
            is the catalogue's name with a host's prefix or suffix, `base_model` is needed only for the number of
            concurrent calls. `base_model` is not sent.
        on_sensitive: what to do when the platform flags content (finish reason "sensitive" or code 1301; other servers:
            "content_filter"). "raise" raises `ContentFilterError`; "return" returns the answer so far, with that finish
            reason.
        keep_pictures: the most pictures in one request, over all turns. When there are more, as in a long run of an
            agent that takes screenshots, each of the oldest is replaced by a text, and a note says how many. The
            pictures of the last message that has some are always sent. None sends all.
        picture_cache_bytes: bytes of fitted pictures, as base64, that are cached for later calls, so that pictures of a
            history are fitted once; 0 caches none. All clients of the process share the cache; a client that adds a
            picture shrinks the cache to its own limit.
    """

    model: str = Field(default=DEFAULT_MODEL, validation_alias=AliasChoices("model", "model_name"))
    base_model: BaseModelName = None
    on_sensitive: Literal["raise", "return"] = "raise"
    keep_pictures: Annotated[int, Field(ge=1)] | None = None
    picture_cache_bytes: Annotated[int, Field(ge=0)] = PICTURE_CACHE_BYTES

    def catalog_row(self, model: str | None = None) -> Model | None:
        """The catalogue row of `base_model` if it is set, else of the model's name; None for an unknown model.

        Args:
            model: another model for one call; then its name decides.
        """
        own = model is None or model == self.model
        return find_model((own and self.base_model) or model or self.model)


# Keywords of one call that are not options of the body.
CALL_OPTIONS = (
    "base_model",
    "timeout",
    "deadline",
    "idle_timeout",
    "max_retries",
    "extra_headers",
    "on_sensitive",
    "boxes_of",
    "may_replace",
    "on_misfit",
    "keep_pictures",
    "validate",
)


@public_class
@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call. `options` holds the options that are set, by the names of `Options`; others are not sent.

    `cut` holds stop words beyond the model's limit: the client cuts the answer at them. `call` holds the keywords that
    are not part of the body: base_model, timeout, deadline, idle_timeout, max_retries, extra_headers, on_sensitive, and

    - `boxes_of`: the index, over all turns, of the picture to whose pixels boxes refer. None: the only picture.
    - `may_replace`: whether a stream may start over (`Delta.replaces`).
    - `validate`: a function that takes the answer's text and raises ValueError when it is not acceptable, or a pydantic
      class, which replaces the JSON Schema. The model is shown the error and asked once more.
    - `on_misfit`: what to do when the second answer does not fit either. "raise" raises `MalformedResponse`; "return"
      returns the answer with a note, and does not check the arguments of tool calls; "return_value" does the same if
      the answer is JSON, and raises if it is not.
    - `spent`: seconds that it took to make the request; they count against the deadline.
    """

    model: str
    messages: tuple[Message, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)
    cut: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def but(self, **changes: Any) -> Self:
        """The same request with some fields changed."""
        return replace(self, **changes)

    def after(self, seconds: float) -> Self:
        """The same request with `spent`: the seconds that making the request took. They count against the deadline."""
        return replace(self, call={**self.call, "spent": seconds})

    @property
    def row(self) -> Model | None:
        """The catalogue row of `base_model` if it is set, else of the model's name; None for an unknown model."""
        return find_model(self.call.get("base_model") or self.model)


def validated(keywords: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Validates the keywords of one call, and returns them by the names of `Options`. None removes a default.

    Args:
        settings: their `dialect` and `base_url` decide whether the platform's ranges are checked.

    Raises:
        InvalidRequestError: a keyword is wrong; the message names each, its value and the documented range.
    """
    try:
        options = Options.model_validate(keywords, context=settings)
    except ValidationError as error:
        raise InvalidRequestError(explained(error, Options)) from None
    return {name: getattr(options, name) for name in options.model_fields_set}


# Options with a range that only the platform has.
_RANGES = ("temperature", "request_id", "user_id")


def hold_ranges(options: Mapping[str, Any]) -> None:
    """Check options against the platform's ranges, for a request that goes to the platform.

    Raises:
        InvalidRequestError: as `validated`.
    """
    if limited := {name: options[name] for name in _RANGES if name in options}:
        validated(limited, {"dialect": "platform"})


class CallOptions(BaseModel):
    """The keywords of one call that are not part of the request body. `validate` is checked elsewhere."""

    model_config = ConfigDict(arbitrary_types_allowed=True, defer_build=True)

    base_model: BaseModelName = None
    timeout: Timeout = None
    deadline: Seconds | None = None
    idle_timeout: Seconds | None = None
    max_retries: Annotated[int, Field(ge=0)] | None = None
    extra_headers: SecretHeaders | dict[str, str] | None = None
    on_sensitive: Literal["raise", "return"] | None = None
    boxes_of: Annotated[int, Field(ge=0)] | None = None
    may_replace: bool | None = None
    on_misfit: Literal["raise", "return", "return_value"] | None = None
    keep_pictures: Annotated[int, Field(ge=1)] | None = None


def call_options(keywords: dict[str, Any]) -> dict[str, Any]:
    check = keywords.pop("validate", None)
    if check is not None and not callable(check):
        raise InvalidRequestError(f"validate is a function that takes the answer's text; got {type(check).__name__}.")
    try:
        call = CallOptions.model_validate(keywords).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise InvalidRequestError(explained(error, CallOptions)) from None
    if isinstance(headers := call.get("extra_headers"), dict):
        call["extra_headers"] = SecretHeaders(headers)
    return call if check is None else {**call, "validate": check}


def explained(error: ValidationError, model: type[BaseModel]) -> str:
    """The first three of pydantic's errors in one line, and the number of others. Secrets are not shown."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        name = place_of(problem["loc"])
        chats = issubclass(model, Options)
        if problem["type"] == "extra_forbidden" and name == "extra_headers" and issubclass(model, Connection):
            lines.append("extra_headers is an option of one call; for headers of every call pass default_headers={...}")
        elif problem["type"] == "extra_forbidden" and not chats and name in _CHAT_ONLY:
            lines.append(f"{name}: an option of chat models; embeddings do not have it")
        elif problem["type"] == "extra_forbidden":
            names = [*model.model_fields, *([each for each in CALL_OPTIONS if each != name] if chats else [])]
            further = " Further keys of the body go into extra_body={...}." if "extra_body" in names else ""
            hint = (chats and hint_for_media(name)) or nearest(name, names) + further
            lines.append(f"unknown option {shown(name, 120)}.{hint}")
        elif problem["type"] != "is_instance_of" or len(problem["loc"]) == 1:  # users pass the other type
            # An error without a name is about the whole input, which holds the key.
            value = "" if not name or is_secret(name) else f"; got {reprlib.repr(problem['input'])}"
            allowed = _range(model.model_fields.get(name))
            reason = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{shortened(name)}{name and ': '}{reason}{allowed and f' (allowed: {allowed})'}{value}")
    return "; ".join(lines[:3]) + (f"; and {len(lines) - 3} more" if len(lines) > 3 else "")


_CHAT_ONLY = {*Options.model_fields, *CALL_OPTIONS, "model_name", "on_sensitive", "stop_sequences"} - {
    *Connection.model_fields
}


def _range(thing: Any) -> str:
    """A field -> its range in words: "0.0 to 1.0", "1 or more", "6 to 64 characters"; "" when it has none."""
    limits = list(_limits(thing))
    low = next((f"{name[1]}" for name in limits if name[0] in ("ge", "min_length")), "")
    high = next((f"{name[1]}" for name in limits if name[0] in ("le", "max_length")), "")
    above = next((f"more than {name[1]}" for name in limits if name[0] == "gt"), "")
    unit = " characters" * any(name[0] == "min_length" for name in limits)
    return above or (f"{low} to {high}{unit}" if low and high else low and f"{low} or more{unit}")


def _limits(thing: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, _Platform):
        yield from ((name, value) for name in _LIMITS if (value := getattr(thing, name, None)) is not None)
    elif isinstance(thing, FieldInfo):
        for item in thing.metadata:
            yield from ((name, value) for name in _LIMITS if (value := getattr(item, name, None)) is not None)
        yield from _limits(thing.annotation)
    for inner in get_args(thing):
        yield from _limits(inner)


_LIMITS = ("ge", "gt", "le", "min_length", "max_length")
