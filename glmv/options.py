"""What people ask for: options validated by pydantic, and the request they become.

Ranges are those of the platform's chat reference (docs.bigmodel.cn, "对话补全", and docs.z.ai,
"Chat Completion"); a model's own narrower limits are in its catalogue row and are
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
from glmv.media.text import nearest, shortened, shown
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
    """A limit that the platform documents. It holds where the platform is asked.

    The server is named by fields before this one (`Connection`), or in the context of the validation.
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
    """The name of a row, or what hosts make of it -> the name of the row."""
    if value is None:
        return None
    if (row := find_model(value)) is not None:
        return row.name
    names = [row.name for row in models()]
    raise ValueError(f"it is none of the models in the catalogue.{nearest(value, names)} They are {', '.join(names)}")


Share = Annotated[float, BeforeValidator(_finite), Field(ge=0.0, le=1.0)]
Temperature = Annotated[float, BeforeValidator(_finite), Field(ge=0.0), _Platform(le=1.0)]
BaseModelName = Annotated[str | None, AfterValidator(_row_name)]
Seconds = Annotated[float, Field(gt=0)]


@public_class
class Options(ShowsFields):
    """Options of one call. None means: not sent, the server's default holds.

    Ranges are the platform's, and hold where it is asked. At other servers what is set is sent, in their terms.

    Attributes:
        temperature: 0.0 to 1.0, elsewhere as high as the server takes it; sent as given; 0 and 1 are not rewritten.
        top_p: 0.0 to 1.0.
        max_tokens: tokens of the answer at most, thinking included; 1 or more.
        stop: words at which the answer ends; more than the model takes are cut on our side.
        do_sample: False is greedy decoding: temperature and top_p are ignored. Outside of the platform it is sent as
            temperature 0.
        thinking: True, False, "auto" (not sent), or the wire's own dict. Engines are sent `chat_template_kwargs` with
            `enable_thinking`, OpenRouter `reasoning`, and other proxies the platform's own field.
        reasoning_effort: "high", "low", "max", where the model takes it.
        tools: functions in the OpenAI shape; `web_search` and `retrieval` dicts pass as they are.
        tool_choice: "auto", "none", "required", a function's name, or the OpenAI dict. The platform knows
            "auto" only; the others are met by instruction, check and one repair turn.
        parallel_tool_calls: False keeps the first tool call only.
        response_format: {"type": "json_object"} or {"type": "json_schema", ...}; met the same way where
            the model has no such field.
        tool_stream: stream the arguments of tool calls piece by piece, where the model does.
        stream_options: sent with streams only. When absent, servers that report usage in streams on demand are asked
            for it; False asks for nothing.
        sensitive_word_check, seed: sent as they are.
        request_id: 1 to 64 characters; made by us when absent. docs.z.ai wants 6: a shorter one is sent with a note.
            Outside of the platform none is made, and yours is sent as the header X-Request-Id.
        user_id: the end user for abuse tracking, 6 to 128 characters. Outside of the platform it is sent as `user`.
        extra_body: further keys of the body. They replace those of ours; `chat_template_kwargs`, `reasoning` and
            `stream_options` are merged, key by key.
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
    """Where a client connects, as whom, and how long it waits and retries.

    Attributes:
        api_key: the platform's key, "id.secret"; None reads ZHIPUAI_API_KEY, then ZAI_API_KEY, when first needed. A
            function that returns the key is called before each attempt; in asynchronous calls it may be asynchronous,
            and a blocking one runs in a worker thread. What it raises, and what is no key, is an `AuthenticationError`.
            Copies share it, and pickles leave it out.
        base_url: the API's base; None is decided by the environment and the key (see `glmv.Client`). A key that is
            given and stands in ZAI_API_KEY counts as from there; one that stands nowhere goes to ZHIPUAI_BASE_URL or
            ZAI_BASE_URL, unless that stands beside another key, and else to open.bigmodel.cn. The key of a function
            is not known before: it goes where such a base URL says, else where a key that is set there belongs.
        auth: "key" sends the key as it is; "token" signs a short-lived token with it.
        token_ttl: lifetime of a signed token in seconds; 0 or less means the plain key.
        timeout: seconds for each connection, each read and each write, or an `httpx.Timeout`; None is connect 8, read
            300, write 60.
        deadline: seconds for all of a call, from waiting for a slot to the last byte. Waiting for a slot ends
            with `GateTimeout`, which says who holds the slots: at the deadline, or when none came free for as long as
            the read timeout.
        idle_timeout: seconds between two events of a stream; None is the read timeout.
        max_retries: a call makes at most `max_retries + 1` requests; those that are refused as too many at once are not
            counted while other calls of its gate are answered. 0 fails at once.
        retry_budget: retries that all calls of a client may make in a row in an outage; each answer earns a little of
            them back. Refusals as too many at once cost nothing. None is without a bound, 0 is without retries.
        max_concurrency: calls under way at once for this account and model; None is the documented number.
        http_client, http_async_client: your own `httpx` or `httpx2` clients; you close them, and they stay as they are.
            In a blocking one a call's deadline is looked at between reads, so one read may last for its timeout.
        default_headers: headers for every request.
        allow_http: allow `http://` to other hosts than this machine.
        dialect: how the server speaks: "platform"; "openai", a proxy in front of the platform, "litellm" and
            "openrouter", where a note tells of what the platform would refuse; "vllm" (also SGLang), "llama.cpp" and
            "transformers", for which the platform's limits say nothing. None is told by the URL: "platform",
            "openrouter" or "openai".
        base64_as: "raw" or "data_uri", where a server wants another form than its dialect has.
        tracing: False makes no spans (docs/telemetry.md); None: unless GLMV_TRACING is "off".
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

    if not TYPE_CHECKING:  # checkers know the keywords of pydantic's own

        def __init__(self, **given: Any) -> None:
            def validate() -> None:
                try:
                    super(Connection, self).__init__(**given)
                except ValidationError as error:  # its text and its data would show a key under a misspelt name
                    raise InvalidRequestError(explained(error, type(self))) from None

            without_values(validate, given)

    def __setattr__(self, name: str, value: Any) -> None:
        # pydantic does not validate what is set later; a bare key would show up where only SecretStr is expected.
        super().__setattr__(name, SecretStr(value) if name == "api_key" and isinstance(value, str) else value)

    def __getstate__(self) -> dict[str, Any]:
        # pydantic would pickle secrets in the clear; whoever unpickles reads the key from the environment again.
        fields = dict(self.__dict__)
        state = super().__getstate__()
        kept = dict(state["__dict__"])
        for name in fields.keys() - self.__dict__.keys():
            # LlamaIndex takes what cannot be pickled, as the method of an object with a lock, out of the model itself.
            self.__dict__[name] = fields[name]
        headers = {name: value for name, value in (self.default_headers or {}).items() if not is_secret(name)}
        return {**state, "__dict__": {**kept, "api_key": None, "default_headers": headers or None}}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # What a function's owner holds (locks, connections) cannot be copied, and copies share a gate.
        key = self.__dict__.get("api_key")
        return super().__deepcopy__({**(memo or {}), id(key): key})


@public_class
class Settings(Options, Connection):  # pydantic takes fields from the last base on: the ranges need `dialect` first
    """Everything a chat client is made with: the connection, the model and the default options.

    Attributes:
        model: name of the model, in any case, as the server knows it.
        base_model: the model of the catalogue that it is, where its name does not tell (`glmv.find_model`): limits,
            context window, prices and the number of calls at once are that model's. A name with what another host adds
            says nothing of that number; `base_model` does. It is not sent.
        on_sensitive: "raise" withdraws what the platform finds unsafe by `ContentFilterError` (a finish reason of
            "sensitive", or code 1301; other servers say "content_filter"); "return" hands over what came of it, with
            that finish reason.
        keep_pictures: pictures that a request holds at most, all turns together: where there are more, as in a long run
            of an agent that takes screenshots, words stand for the oldest, and a note tells how many. Those of the last
            message with pictures are always sent. None sends all.
        picture_cache_bytes: bytes of fitted pictures, as base64, that are kept for later calls, so that those of a
            history are fitted once; 0 keeps none. The cache belongs to the process: clients share it, and each keeps
            it within its own figure when it adds a picture.
    """

    model: str = Field(default=DEFAULT_MODEL, validation_alias=AliasChoices("model", "model_name"))
    base_model: BaseModelName = None
    on_sensitive: Literal["raise", "return"] = "raise"
    keep_pictures: Annotated[int, Field(ge=1)] | None = None
    picture_cache_bytes: Annotated[int, Field(ge=0)] = PICTURE_CACHE_BYTES

    def catalog_row(self, model: str | None = None) -> Model | None:
        """The catalogue row of the model: that of `base_model`, else of its name; None when it is not known.

        Args:
            model: another model that a call names; its own name decides.
        """
        own = model is None or model == self.model
        return find_model((own and self.base_model) or model or self.model)


# What one call may set beside the options of the body.
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
    """One call. `options` holds what was set, by the names of `Options`; an absent name is not sent.

    `call` holds what concerns the call and not the body: base_model, timeout, deadline, idle_timeout, max_retries,
    extra_headers, on_sensitive, `boxes_of`, the index of the picture (over all turns) in whose pixels boxes are told
    when there are several, `may_replace`, whether a stream may begin anew (`Delta.replaces`), and `validate`: a
    function that gets the answer's text and raises ValueError when it will not do, or a pydantic class, which judges
    in place of the JSON Schema (used for structured output: what is wrong is shown to the model once), and
    `on_misfit`: what becomes of a second answer that is not the JSON or the tool call that was asked for. "raise" is
    `MalformedResponse`; "return" hands it over with a note, and leaves the arguments of tool calls to the caller;
    "return_value" hands over what is JSON, though not of the schema, with a note. `keep_pictures` of a call is applied
    when the request is made and not kept. `spent` is there when making the request took so many seconds of its
    deadline.
    `cut` holds stop words that the model does not take; we cut the answer at them.
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
        """The same request, of whose deadline so many seconds have passed: making it took them."""
        return replace(self, call={**self.call, "spent": seconds})

    @property
    def row(self) -> Model | None:
        """The catalogue row of the model: that of `base_model`, else of its name; None when it is not known."""
        return find_model(self.call.get("base_model") or self.model)


def validated(given: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of one call -> those that were given by the names of `Options`, validated; None takes a default away.

    Args:
        settings: `dialect` and `base_url` of them say whether the ranges of the platform hold.

    Raises:
        InvalidRequestError: naming each keyword that is wrong, what was given and the documented range.
    """
    try:
        options = Options.model_validate(given, context=settings)
    except ValidationError as error:
        raise InvalidRequestError(explained(error, Options)) from None
    return {name: getattr(options, name) for name in options.model_fields_set}


# Options with a range that only the platform has.
_RANGES = ("temperature", "request_id", "user_id")


def hold_ranges(options: Mapping[str, Any]) -> None:
    """Hold options against the ranges of the platform, where it turns out that the platform is asked.

    Raises:
        InvalidRequestError: as `validated`.
    """
    if given := {name: options[name] for name in _RANGES if name in options}:
        validated(given, {"dialect": "platform"})


class CallOptions(BaseModel):
    """What concerns one call and not its body, beside `validate`."""

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


def call_options(given: dict[str, Any]) -> dict[str, Any]:
    check = given.pop("validate", None)
    if check is not None and not callable(check):
        raise InvalidRequestError(f"validate is a function that takes the answer's text; got {type(check).__name__}.")
    try:
        call = CallOptions.model_validate(given).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise InvalidRequestError(explained(error, CallOptions)) from None
    if isinstance(headers := call.get("extra_headers"), dict):
        call["extra_headers"] = SecretHeaders(headers)
    return call if check is None else {**call, "validate": check}


def explained(error: ValidationError, model: type[BaseModel]) -> str:
    """pydantic's findings in one readable line each, without the values of secrets."""
    lines = []
    for found in error.errors(include_url=False, include_context=False):
        name = ".".join(str(step) for step in found["loc"])
        chats = issubclass(model, Options)
        if found["type"] == "extra_forbidden" and name == "extra_headers" and issubclass(model, Connection):
            lines.append("extra_headers goes with one call; headers of every call are default_headers={...}")
        elif found["type"] == "extra_forbidden" and not chats and name in _CHAT_ONLY:
            lines.append(f"{name}: embeddings have no such option, chat models have")
        elif found["type"] == "extra_forbidden":
            known = [*model.model_fields, *([each for each in CALL_OPTIONS if each != name] if chats else [])]
            further = " Further keys of the body go into extra_body={...}." if "extra_body" in known else ""
            lines.append(f"unknown option {shown(name, 120)}.{nearest(name, known)}{further}")
        else:
            # Without a name it concerns all that was given, and the key is among that.
            value = "" if not name or is_secret(name) else f"; got {reprlib.repr(found['input'])}"
            takes = _range(model.model_fields.get(name))
            told = found["msg"].removeprefix("Value error, ")
            lines.append(f"{shortened(name)}{name and ': '}{told}{takes and f' (it takes {takes})'}{value}")
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
