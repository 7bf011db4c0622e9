"""Figures and their table: the median of the rounds, with minimum and maximum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple


class Figure(NamedTuple):
    """One measured thing: its value in every round, and what is aimed at (goal; floor).

    It has no values where its measurement failed, and then the reason.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    aim: str = ""
    failure: str = ""

    @property
    def median(self) -> float:
        """The middle value."""
        return median(self.values)


def ratio(name: str, above: Figure, below: Figure, aim: str = "") -> Figure:
    """Divide two figures round by round."""
    pairs = zip(above.values, below.values, strict=True)
    return Figure(name, "×", tuple(one / other for one, other in pairs), aim)


def share(values: Sequence[float], part: float) -> float:
    """Return the value below which this part of sorted values lies: 0.5 is the middle."""
    return values[min(len(values) - 1, int(len(values) * part))]


def table(figures: Iterable[Figure]) -> str:
    """Write figures as a table in Markdown."""
    lines = [
        "| figure | median | min | max | unit | goal; floor |",
        "| --- | --: | --: | --: | --- | --- |",
    ]
    for figure in figures:
        if figure.values:
            numbers = (figure.median, min(figure.values), max(figure.values))
            cells = [figure.name, *map(_written, numbers), figure.unit, figure.aim]
        else:
            cells = [figure.name, "–", "–", "–", figure.unit, f"failed: {figure.failure}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _written(number: float) -> str:
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"
