"""HTML from Python values: whatever is no `Html` already is escaped, so nothing of a request can become markup."""

from __future__ import annotations

from html import escape

_VOID = {"img", "input", "link", "meta"}


class Html(str):
    """Markup that was made by `tag`."""

    __slots__ = ()


def text(value: object) -> Html:
    """A value as text."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def join(*children: object) -> Html:
    """Children one after the other; None and False are left out."""
    return Html("".join(text(child) for child in children if child is not None and child is not False))


def tag(element: str, /, *children: object, **attributes: object) -> Html:
    """An element. `class_` stands for `class`, `data_x` for `data-x`; None and False leave an attribute out."""
    said = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if element in _VOID:
        return Html(f"<{element}{said}>")
    return Html(f"<{element}{said}>{join(*children)}</{element}>")
