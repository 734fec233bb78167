"""Methods that are generated from flows have names, signatures and docstrings like those written by hand."""

from __future__ import annotations

import inspect

import pytest

import glmv

CLIENTS = [glmv.Client("test-id.test-secret"), glmv.AsyncClient("test-id.test-secret")]


@pytest.mark.parametrize("client", CLIENTS, ids=["blocking", "awaited"])
def test_a_generated_method_has_the_name_and_signature_and_docstring_of_its_flow(
    client: glmv.Client | glmv.AsyncClient,
) -> None:
    upload, listed = client.files.upload, client.files.list
    assert list(inspect.signature(upload).parameters) == ["file", "purpose", "name"]
    assert inspect.signature(upload).return_annotation == "StoredFile"
    assert inspect.signature(listed).return_annotation == "list[StoredFile]"
    assert (listed.__name__, listed.__qualname__) == ("list", f"{type(client.files).__name__}.list")
    assert "context" not in upload.__annotations__
    assert (upload.__doc__ or "").startswith("Send a file of up to 100 MB.")


def test_a_method_refuses_context_as_an_argument_because_it_is_internal() -> None:
    with pytest.raises(TypeError, match="'context'"):
        CLIENTS[0].files.upload(b"x", context=1)  # type: ignore[call-arg]
