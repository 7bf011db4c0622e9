"""Prints what the failpoint tests of a run have found, a line for each place and pair of engines."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final

import pytest

PROPERTY: Final = "failpoint"
_COUNTED: Final = ("kill", "outage", "lost reply", "lost", "doubled", "stuck", "other")
_HEADS: Final = ("kills", "outages", "lost replies", "lost", "doubled", "stuck", "other faults")


class Figures:
    """The figures of one test: they reach the summary also where it fails, or runs on a worker."""

    def __init__(self, request: pytest.FixtureRequest, place: str, pair: str) -> None:
        self._properties = request.node.user_properties
        self._where = (place, pair)

    def add(self, **figures: int) -> None:
        """Count so many of each."""
        told = [f"{name.replace('_', ' ')}={number}" for name, number in figures.items()]
        self._properties.append((PROPERTY, [*self._where, *told]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, where there is one."""
    table: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    for report in reports:
        for name, value in report.user_properties if report.when == "call" else ():
            if name == PROPERTY:
                place, pair, *told = value
                for figure in told:
                    word, _, number = figure.partition("=")
                    table[place, pair][word] += int(number)
    if not table:
        return
    terminalreporter.section("interruptions at failpoints")
    terminalreporter.write_line(_line("place", "pair", *_HEADS))
    for (place, pair), figures in sorted(table.items()):
        terminalreporter.write_line(_line(place, pair, *(figures[name] for name in _COUNTED)))


def _line(place: str, pair: str, *cells: object) -> str:
    return f"{place:<20}{pair:<20}" + "".join(f"{cell!s:>14}" for cell in cells)
