"""When the pieces of an answer left, as a small drawing."""

from __future__ import annotations

from collections.abc import Sequence

from glmv_emulator.page.tags import Html, join, tag

WIDTH, HEIGHT = 320, 22
EDGE = 4
AXIS = 18
MOST_MARKS = 160


def seconds(value: float) -> str:
    """A time as people read it: `4 ms`, `1.25 s`."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def timeline(moments: Sequence[tuple[float, int]], duration: float) -> Html:
    """The wait before the first piece as a thin line, and a mark for each piece. `moments` are (seconds, bytes)."""
    span = max(duration, moments[-1][0] if moments else 0.0, 1e-6)

    def x(moment: float) -> str:
        return f"{EDGE + (WIDTH - 2 * EDGE) * moment / span:.1f}"

    first = moments[0][0] if moments else span
    places = sorted({x(moment) for moment, _ in moments}, key=float)
    step = -(-len(places) // MOST_MARKS) or 1
    marks = [tag("line", x1=place, x2=place, y1=AXIS - 12, y2=AXIS, class_="piece") for place in places[::step]]
    return tag(
        "svg",
        tag("line", x1=EDGE, x2=WIDTH - EDGE, y1=AXIS, y2=AXIS, class_="axis"),
        tag("line", x1=EDGE, x2=x(first), y1=AXIS, y2=AXIS, class_="wait"),
        join(*marks),
        class_="timeline",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        aria_hidden="true",
    )


def told(moments: Sequence[tuple[float, int]], duration: float, *, running: bool) -> str:
    """The same in words."""
    if not moments:
        return f"nothing sent for {seconds(duration)}" + (" so far" if running else "")
    count = f"{len(moments)} chunk{'s' * (len(moments) > 1)}"
    size = sum(length for _, length in moments)
    ended = "under way" if running else f"over after {seconds(duration)}"
    return f"first byte after {seconds(moments[0][0])}, {count}, {size:,} bytes, {ended}"
