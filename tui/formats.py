"""Numbers, times and shares in few characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hms_svc.domain.local_time import clock, moment, zone_name

__all__ = [
    "age",
    "attempt",
    "bar",
    "clock",
    "count",
    "duration",
    "moment",
    "number",
    "rate",
    "share",
    "short_id",
    "sparkline",
    "zone_name",
]
_BARS: Final = "▁▂▃▄▅▆▇"
"""Without the full block: it would join the bars of two rows."""
_UNITS: Final = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))
_AGES: Final = ((31_536_000, "y"), (86_400, "d"), (3600, "h"), (60, "m"))


def count(number: int) -> str:
    """Format a count in at most five characters: `9,999`, `22.8k`, `124k`, `1.2M`; 0 is a dot."""
    if number == 0:
        return "·"
    if abs(number) < 10_000:
        return f"{number:,}"
    for size, unit in _UNITS:
        value = number / size
        if abs(value) >= 0.9995:  # else it would be written as 1000 of the smaller unit
            return f"{value:.1f}{unit}" if abs(value) < 99.95 else f"{value:.0f}{unit}"
    return f"{number:,}"


def rate(per_second: float | None) -> str:
    """Format a rate per second in at most five characters; a dot for zero."""
    if per_second is None:
        return ""
    if per_second < 0.005:
        return "·"
    if per_second < 10:
        return f"{per_second:.1f}" if per_second >= 0.095 else f"{per_second:.2f}"[1:]
    return count(round(per_second))


def age(milliseconds: int | None) -> str:
    """Format an age in at most four characters: `0.4s`, `12s`, `5m`, `3h`, `12d`, `2y`."""
    if milliseconds is None:
        return ""
    seconds = max(milliseconds, 0) / 1000
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for size, unit in _AGES:
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:.0f}s"


def duration(milliseconds: int | None) -> str:
    """Format a duration: `3 ms`, `1.2 s`, `4 m 10 s`."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{max(milliseconds, 0)} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest} s"
    return f"{minutes // 60} h {minutes % 60} m"


def share(part: float | None) -> str:
    """Format a share from 0 to 1 as a percentage in at most four characters; a dot for zero."""
    if part is None:
        return ""
    if part <= 0:
        return "·"
    return "<1%" if part < 0.01 else f"{part:.0%}"


def sparkline(numbers: Sequence[float], width: int) -> str:
    """Draw the newest `width` numbers as bars scaled to the largest; blank for zero."""
    shown = list(numbers)[-width:]
    top = max(shown, default=0.0)
    most = len(_BARS) - 1
    bars = "".join(
        _BARS[min(most, int(number / top * most + 0.999))] if number > 0 else " "
        for number in shown
    )
    return bars.rjust(width)


def bar(part: float, width: int) -> str:
    """Draw a share from 0 to 1 as a bar of `width` cells."""
    full = round(max(0.0, min(1.0, part)) * width)
    return "━" * full + "─" * (width - full)


def attempt(number: int, most: int | None) -> str:
    """Format an attempt as `2/5` in at most five characters; without the total if that is too long."""
    of = f"{number}/{most}" if most else str(number)
    return of if len(of) <= 5 else count(number)


def number(value: int) -> str:
    """Format a whole number with thousands separators: `100,000`."""
    return f"{value:,}"


def short_id(job_id: str, width: int = 13) -> str:
    """Return the end of a long id: time-ordered ids differ at the end."""
    return job_id if len(job_id) <= width else "…" + job_id[1 - width :]
