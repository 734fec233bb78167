"""Batches: many requests in one file, answered within a day or so at half the price.

Of the vision models, batches accept only glm-4v, glm-4v-plus and glm-4v-plus-0111.

Source: docs.bigmodel.cn, "批量处理" (one JSONL line for each request, at most 50,000 lines and 100 MB, `custom_id`
of 6 characters or more, pictures but no videos, and the list of models) and the platform's cookbook
(github.com/MetaGLM/glm-cookbook, glm_batch_api: times in milliseconds, answers in another order than the requests).
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, Unpack, cast

from glmv._public import public_class
from glmv.catalog.lookup import models
from glmv.credentials import without_values
from glmv.endpoints.context import AsyncEndpoint, Context, Endpoint, awaiting, blocking, quoted, seconds
from glmv.endpoints.files import MAX_FILE_BYTES, content, pages, upload
from glmv.endpoints.tasks import once, pauses, waited, withdrawn
from glmv.errors import (
    ConnectionFailed,
    GLMVError,
    InvalidRequestError,
    LimitExceeded,
    MalformedResponse,
    UnsupportedContent,
)
from glmv.exchange.bodies import is_cut
from glmv.exchange.flow import worked
from glmv.exchange.steps import Step
from glmv.keywords import CallKeywords, shows
from glmv.media import Image
from glmv.media.text import shortened, shown
from glmv.options import ChatRequest
from glmv.request.messages import Messages
from glmv.request.prepare import Reading
from glmv.structured.plan import reduced
from glmv.types import Completion, Text
from glmv.wire.decode import parse
from glmv.wire.envelopes import Envelope, envelope, error_from

MAX_REQUESTS = 50_000
MIN_CUSTOM_ID = 6
ENDED = ("completed", "failed", "expired", "cancelled")
ENDPOINT = "/v4/chat/completions"
# Seconds between two requests for the state: a batch takes minutes to hours.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
_OURS = "glmv-"

Requests = Iterable[Messages | ChatRequest] | Mapping[str, Messages | ChatRequest]


class Line(NamedTuple):
    """The custom_id of a request, and the settings for reading its answer."""

    custom_id: str
    reading: Reading = Reading()


@public_class
@dataclass(frozen=True, slots=True)
class Batch:
    """A batch: requests that were submitted together.

    Attributes:
        id: the id for `get`, `wait`, `results` and `cancel`.
        status: "validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled".
        input_file_id, output_file_id, error_file_id: ids of files on the platform, None if absent.
        total, completed, failed: numbers of requests, None until the platform has counted them.
        created_at: seconds since the epoch.
        notes: what the client changed, and doubts about the request, one line each.
        raw: the JSON object as received.
    """

    id: str
    status: str
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    total: int | None = None
    completed: int | None = None
    failed: int | None = None
    created_at: int | None = None
    notes: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _lines: tuple[Line, ...] = field(default=(), repr=False)

    @property
    def ended(self) -> bool:
        """Whether the batch has ended, successfully or not."""
        return self.status in ENDED


@public_class
@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of one request: an answer, or an error of the class that `Client.chat` would have raised."""

    custom_id: str
    completion: Completion | None = None
    error: GLMVError | None = None


@shows(CallKeywords)
def create(
    context: Context,
    /,
    requests: str | Requests,
    *,
    model: str | None = None,
    metadata: Mapping[str, str] | None = None,
    auto_delete_input_file: bool | None = None,
    **options: Unpack[CallKeywords],
) -> Generator[Step, Any, Batch]:
    """Submit many requests as one batch.

    Args:
        requests: a list of messages as in `Client.chat`, one entry for each request; or a mapping from custom_id (6
            characters or more) to messages; or the id of a file that was uploaded with purpose "batch".
        model, options: as for `Client.chat`; they apply to all requests.
        metadata, auto_delete_input_file: sent as they are.

    Raises:
        LimitExceeded: more than 50,000 requests or 100 MB; nothing was sent.
        UnsupportedContent: a request has a video or a file; nothing was sent.
    """
    lines: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()
    if isinstance(requests, str):
        if options or model:
            raise InvalidRequestError("The requests are in the file already: model and options cannot be set here.")
        file_id = requests
    else:
        call_options = cast("dict[str, Any]", options)
        write = partial(written, context, requests, model, call_options)
        data, lines, notes = yield from worked(lambda: without_values(write, call_options), context.policy())
        file_id = (yield from upload(context, data, purpose="batch", name="batch.jsonl")).id
    optional = {"metadata": metadata, "auto_delete_input_file": auto_delete_input_file}
    payload = {"input_file_id": file_id, "endpoint": ENDPOINT, **{k: v for k, v in optional.items() if v is not None}}
    try:
        answer = yield from context.fetch("POST", "/batches", payload, repeatable=False)
    except GLMVError as error:
        error.add_advice(
            f"The requests were uploaded as file {shortened(file_id)}: to try again without uploading them, call "
            f"create({shown(file_id)})."
        )
        raise
    return _batch(answer, Batch("", "", notes=notes, _lines=lines))


def written(
    context: Context, requests: Requests, model: str | None, options: Mapping[str, Any]
) -> tuple[bytes, tuple[Line, ...], tuple[str, ...]]:
    """Returns the JSONL file with the requests, a `Line` for each request, and notes.

    Raises:
        LimitExceeded, UnsupportedContent, InvalidRequestError: the message names the request; nothing was sent.
    """
    pieces: list[bytes] = []
    lines: list[Line] = []
    notes: dict[str, None] = {}
    size = 0
    for custom_id, item in _with_ids(requests):
        if len(lines) == MAX_REQUESTS:
            raise LimitExceeded(f"A batch takes at most {MAX_REQUESTS:,} requests; got more. Make several batches.")
        try:
            request = item if isinstance(item, ChatRequest) else context.request(item, model, dict(options))
            _fits(request)
            row = context.row(request)
            call = context.prepare(once(request, context), row)
        except GLMVError as error:
            error.message = f"{shortened(custom_id)}: {error.message}"
            raise
        if row is not None and row.sees and not row.batch:
            listed_models = ", ".join(each.name for each in models() if each.batch)
            note = (
                f"model: {request.model} was sent, but the only vision models in the batch guide are {listed_models}."
            )
            notes[note] = None
        head = json.dumps({"custom_id": custom_id, "method": "POST", "url": ENDPOINT}, ensure_ascii=False)
        pieces.append(f'{head[:-1]}, "body": '.encode() + bytes(call.body("")) + b"}\n")
        size += len(pieces[-1])
        if size > MAX_FILE_BYTES:
            raise LimitExceeded(
                f"A batch takes at most 100 MB; with request {shortened(custom_id)} it is larger. Make several batches."
            )
        lines.append(Line(custom_id, call.reading))
    if not lines:
        raise InvalidRequestError("A batch needs at least one request; got none.")
    return b"".join(pieces), tuple(lines), tuple(notes)


def _with_ids(requests: Requests) -> Iterator[tuple[str, Messages | ChatRequest]]:
    if not isinstance(requests, Mapping):
        yield from ((f"{_OURS}{index:06}", item) for index, item in enumerate(requests))
        return
    for custom_id, item in requests.items():
        if not isinstance(custom_id, str) or len(custom_id) < MIN_CUSTOM_ID:
            raise LimitExceeded(f"A custom_id has {MIN_CUSTOM_ID} characters or more; got {shown(custom_id)}.")
        yield custom_id, item


def _fits(request: ChatRequest) -> None:
    if "request_id" in request.options:
        raise InvalidRequestError("request_id cannot be set in a batch: custom_id identifies its requests.")
    for part in (part for message in request.messages for part in message.content):
        if not isinstance(part, Text | Image):
            raise UnsupportedContent(f"A batch takes text and pictures; got {type(part).__name__}.")


def get(context: Context, /, batch: str | Batch, *, deadline: float | None = None) -> Generator[Step, Any, Batch]:
    """The current state of a batch."""
    before = batch if isinstance(batch, Batch) else Batch(batch, "")
    path = f"/batches/{quoted('batch', before.id)}"
    return _batch((yield from context.fetch("GET", path, deadline=deadline)), before)


def listed(context: Context, /, *, limit: int | None = None) -> Generator[Step, Any, list[Batch]]:
    """The batches of the account: at most `limit` of them, or all if it is None."""
    return [_batch(row, Batch("", "")) for row in (yield from pages(context, "/batches", {}, limit))]


def cancel(context: Context, /, batch: str | Batch) -> Generator[Step, Any, Batch]:
    """Stop a batch. The answers that exist already can be fetched."""
    before = batch if isinstance(batch, Batch) else Batch(batch, "")
    return _batch((yield from context.fetch("POST", f"/batches/{quoted('batch', before.id)}/cancel")), before)


def wait(context: Context, /, batch: str | Batch, *, deadline: float | None = None) -> Generator[Step, Any, Batch]:
    """Wait until a batch has ended in any way, with growing pauses between the requests for its state.

    Args:
        batch: the batch that `create` returned, or its id.
        deadline: seconds; None means no limit, because the platform itself ends a batch after some days.

    Raises:
        DeadlineExceeded: the batch has not ended in time; it continues on the platform.
    """
    name = batch.id if isinstance(batch, Batch) else batch
    return (
        yield from waited(
            lambda left: get(context, batch, deadline=left),
            lambda current: current.ended,
            pauses(FIRST_PAUSE, LONGEST_PAUSE),
            deadline,
            context.clock,
            f"Batch {name} has not ended",
        )
    )


def results(
    context: Context, /, batch: str | Batch, *, response_format: Mapping[str, Any] | None = None
) -> Generator[Step, Any, list[BatchResult]]:
    """The result of each request, in the order of the requests.

    Args:
        batch: the batch that `create` or `wait` returned, or its id. With an id, the order of your own custom_ids is
            not known: then results have the order of the output file.
        response_format: the `response_format` of the requests. If it is given, each text is reduced to its JSON. An
            answer that does not fit `response_format` gives a `MalformedResponse` with the answer in `partial`,
            because the model is not asked again in a batch.

    Raises:
        InvalidRequestError: the batch has not ended, or the platform refused its file.
        ConnectionFailed: a file of answers did not arrive whole, and the platform still has it.
    """
    current = yield from get(context, batch)
    if not current.ended:
        raise InvalidRequestError(f"Batch {current.id} has not ended (status {current.status}): wait for it first.")
    data = b""
    for file_id in (current.output_file_id, current.error_file_id):
        if file_id is not None:
            data += (yield from _whole_content(context, file_id)) + b"\n"
    if current.status == "failed" and not data.strip():
        raise InvalidRequestError(f"Batch {current.id} failed: {_reasons(current.raw.get('errors'))}.")
    return (yield from worked(partial(_answers, context, current, data, response_format), context.policy()))


def _whole_content(context: Context, file_id: str) -> Generator[Step, Any, bytes]:
    """The bytes of a file of lines, fetched again if they end in the middle of a line.

    Raises:
        ConnectionFailed: the bytes ended in the middle of a line twice, at two different places. If they end at the
            same place twice, the file itself ends there, and its bytes are returned.
    """
    data = yield from content(context, file_id)
    if is_cut(data.rpartition(b"\n")[2]):
        first, data = len(data), (yield from content(context, file_id))
        if len(data) != first and is_cut(data.rpartition(b"\n")[2]):
            raise ConnectionFailed(
                f"The file {file_id} ended in the middle of a line twice, after {first} and after {len(data)} bytes: "
                "fetch the results again."
            )
    return data


def _answers(
    context: Context, batch: Batch, data: bytes, response_format: Mapping[str, Any] | None
) -> list[BatchResult]:
    answers = gathered(context, batch, data)
    return answers if response_format is None else [_reduced(answer, response_format) for answer in answers]


def _reduced(result: BatchResult, response_format: Mapping[str, Any]) -> BatchResult:
    if result.completion is None:
        return result
    try:
        return replace(result, completion=reduced(result.completion, response_format))
    except GLMVError as error:
        return BatchResult(result.custom_id, error=error)


def gathered(context: Context, batch: Batch, data: bytes) -> list[BatchResult]:
    """Converts the lines of the output into one result for each request, in the order of the requests.

    After these come the results of lines about unknown requests, and then the results of lines that cannot be read.
    """
    rows: dict[str, Mapping[str, Any]] = {}
    unreadable: list[BatchResult] = []
    for line in data.split(b"\n"):  # not `splitlines`: it would also split at U+2028, which may be inside a string
        if not line.strip():
            continue
        try:
            row = parse(line, "A line of the batch's output")
            rows.setdefault(str(row["custom_id"]), row)
        except MalformedResponse as error:
            unreadable.append(BatchResult("", error=error))
        except (KeyError, TypeError):
            unreadable.append(
                BatchResult("", error=MalformedResponse("A line of the batch's output has no custom_id."))
            )
    lines = batch._lines or tuple(map(Line, _order(rows, batch.total)))  # noqa: SLF001 - made in this file
    requested = {line.custom_id for line in lines}
    lines += tuple(Line(custom_id) for custom_id in rows if custom_id not in requested)
    return [_result(context, line, rows.get(line.custom_id), batch) for line in lines] + unreadable


def _order(rows: Mapping[str, Any], total: int | None) -> list[str]:
    """The custom_ids, in the order of the requests if the client numbered them, or else in the order of the output."""
    if not all(name.startswith(_OURS) for name in rows):
        return list(rows)
    return sorted(rows.keys() | {f"{_OURS}{index:06}" for index in range(total or 0)})


def _result(context: Context, line: Line, row: Mapping[str, Any] | None, batch: Batch) -> BatchResult:
    if row is None:
        problem = MalformedResponse(
            f"The output has no answer to request {line.custom_id}; the status of the batch is {batch.status}."
        )
        return BatchResult(line.custom_id, error=problem)
    response = row.get("response")
    response = response if isinstance(response, Mapping) else {}
    body, status = response.get("body"), response.get("status_code")
    status = status if isinstance(status, int) else None
    error_body = envelope(body) or (envelope(row) if row.get("error") else None)
    if error_body is None and (status or 200) >= 300:
        error_body = Envelope(None, "", None, None)
    try:
        if error_body is not None:
            raise error_from(status, error_body)
        if not isinstance(body, dict):
            raise MalformedResponse(
                f"The output's line for {line.custom_id} has no answer; the fields of the line are {sorted(row)}."
            )
        return BatchResult(line.custom_id, context.answer(body, line.reading))
    except GLMVError as error:
        completion = withdrawn(error, context)
        return (
            BatchResult(line.custom_id, replace(completion, notes=line.reading.notes))
            if completion
            else BatchResult(line.custom_id, error=error)
        )


def _reasons(errors: object) -> str:
    rows = errors.get("data") if isinstance(errors, Mapping) else errors
    rows = rows if isinstance(rows, list) else []
    reasons = [str(row.get("message") or row.get("code")) for row in rows if isinstance(row, Mapping)]
    return "; ".join(reasons[:5])[:500] or "the platform gave no reason"


def _batch(payload: Mapping[str, Any], before: Batch) -> Batch:
    counts = payload.get("request_counts")
    counts = counts if isinstance(counts, Mapping) else {}
    name = payload.get("id") or before.id
    if not name:
        raise MalformedResponse(f"A batch object of the response has no id; its fields are {sorted(payload)}.")

    def count(of: str) -> int | None:
        return counts[of] if isinstance(counts.get(of), int) else None

    def file(of: str) -> str | None:
        return str(payload[of]) if payload.get(of) else None  # "" while the file does not exist

    return replace(
        before,
        id=str(name),
        status=str(payload.get("status") or before.status),
        input_file_id=file("input_file_id"),
        output_file_id=file("output_file_id"),
        error_file_id=file("error_file_id"),
        total=count("total"),
        completed=count("completed"),
        failed=count("failed"),
        created_at=seconds(payload.get("created_at")),
        raw=payload,
    )


class Batches(Endpoint):
    """Batches of one client's account: `glm.batches`."""

    create = blocking(create)
    get = blocking(get)
    list = blocking(listed)
    cancel = blocking(cancel)
    wait = blocking(wait)
    results = blocking(results)


class AsyncBatches(AsyncEndpoint):
    """`glm.batches` of an asynchronous client: the methods of `Batches`, with `await`."""

    create = awaiting(create)
    get = awaiting(get)
    list = awaiting(listed)
    cancel = awaiting(cancel)
    wait = awaiting(wait)
    results = awaiting(results)
