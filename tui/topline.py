"""The top line of every screen: title, engines, problems, workers, and the age of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from hms_svc.domain.plain_text import plural
from hms_svc.tui import formats as f
from hms_svc.tui.command_keys import sign_of
from hms_svc.tui.health_page import ROLES, is_known, waits_for_people
from hms_svc.tui.launch import Launch
from hms_svc.tui.snapshot import DATABASE, ScreenQuery, Snapshot
from hms_svc.tui.text import Cell, Line, Role, cell, fit
from hms_svc.tui.trend import total_rates

FRESH_MS = 4_000
STALE_MS = 7_000
MIN_WIDTH = 80


def top_line(
    snapshot: Snapshot,
    launch: Launch,
    title: str,
    now: int,
    width: int,
    data_query: ScreenQuery | None = None,
) -> tuple[Line, Line]:
    """Return the left and right part. `now` is Unix ms; parts that do not fit are left out.

    Problems take precedence. The age is that of the answer to `data_query`.
    """
    right = _age(snapshot, data_query, now)
    available = width - _width(right) - 2
    head = [Cell(" "), Cell(title, "head"), Cell("  "), *_who(launch)]
    troubles = list(_troubles(snapshot, now))
    left = head
    for engines in (
        _engines(snapshot, trips=width >= 110),
        _engines(snapshot),
        _engine_lights(snapshot),
        _engine_lights(snapshot, away_only=True),
    ):
        left = [*head, *engines, *_first(troubles)]
        more = _width(_more(9, "", width)) if len(troubles) > 1 else 0
        over = _width(left) + more - available
        if over <= 0:
            break
    else:
        left = _shortened(left, over) if troubles else left
    return tuple(_fill(left, troubles, snapshot, available, width)), right


def _who(launch: Launch) -> Iterator[Cell]:
    if launch.facts.profile:
        yield cell(launch.facts.profile, "bad" if launch.facts.production else "strong")
        yield Cell("  ")
    if launch.facts.read_only:
        yield Cell("read-only  ", "warn")


def _engines(snapshot: Snapshot, *, trips: bool = False) -> list[Cell]:
    parts: list[Cell] = []
    if snapshot.broker is not None:
        broker = snapshot.broker
        is_full = broker.capacity is not None and broker.capacity.is_full
        trip = f" {broker.round_trip_ms:.1f} ms" if trips and broker.ok else ""
        parts += [
            _light(broker.ok and not is_full),
            cell(f"{broker.kind}{' is full' if is_full else trip}  "),
        ]
    if snapshot.database is not None:
        parts += [_light(snapshot.database.ok), cell(f"{snapshot.database.kind}  ")]
    return parts


def _engine_lights(snapshot: Snapshot, *, away_only: bool = False) -> list[Cell]:
    """Return short engine states for narrow lines: only unreachable engines are named."""
    engines = [each for each in (snapshot.broker, snapshot.database) if each is not None]
    parts: list[Cell] = []
    for engine in engines:
        if engine.ok and not away_only:
            parts.append(_light(ok=True))
        elif not engine.ok:
            parts += [_light(ok=False), cell("" if away_only else f"{engine.kind}  ")]
    return [*parts, Cell(" ")] if parts else []


def _light(ok: bool) -> Cell:
    return Cell("● ", "good") if ok else Cell("✗ ", "bad")


def _troubles(snapshot: Snapshot, now: int) -> Iterator[Cell]:
    """Yield the problems, the worst first, then jobs that need a decision; or that all is well."""
    troubles = snapshot.health.troubles if snapshot.health is not None else ()
    for trouble in troubles:
        yield cell(trouble.summary(now), ROLES[trouble.level])
    if snapshot.trouble and not troubles:
        yield Cell("not known", "bad")
    waits = waits_for_people(snapshot)
    if waits:
        yield cell(waits, "warn")
    elif not troubles and not snapshot.trouble and is_known(snapshot):
        yield Cell("all well", "good")


def _first(troubles: Sequence[Cell]) -> list[Cell]:
    return [*troubles[:1], Cell("  ")] if troubles else []


def _shortened(left: list[Cell], over: int) -> list[Cell]:
    """Cut the problem at the end of the line, so that the count of the others fits."""
    *before, trouble, gap = left
    width = max(1, cell_len(trouble.text) - over)
    short = trouble.text.replace(" jobs waiting, oldest", " waiting, oldest")
    trouble = Cell(short, trouble.role)
    return [*before, Cell(fit(trouble.text, width).rstrip(), trouble.role), gap]


def _fill(
    left: list[Cell], troubles: Sequence[Cell], snapshot: Snapshot, available: int, width: int
) -> Iterator[Cell]:
    """Yield the line with as many further parts as fit, and the count of problems that do not fit."""
    yield from left
    available -= _width(left)
    rest = list(troubles[1:])
    reserved = _width(_more(9, "", width))
    while rest and _width(rest[:1]) + 2 + (reserved if len(rest) > 1 else 0) <= available:
        yield rest[0]
        yield Cell("  ")
        available -= _width(rest[:1]) + 2
        del rest[0]
    if rest:
        more = _more(len(rest), rest[0].role, width)
        yield from more
        available -= _width(more)
    for part in _work(snapshot):
        if _width([part]) > available:
            return
        yield part
        available -= _width([part])


def _more(number: int, role: Role, width: int) -> list[Cell]:
    """Return the count of problems that do not fit, with the key that shows them: `+2 H`."""
    if width < MIN_WIDTH:
        return [Cell(f"+{number}  ", role)]
    return [Cell(f"+{number} ", role), cell(sign_of("health"), "key"), Cell("  ")]


def _work(snapshot: Snapshot) -> Iterator[Cell]:
    slots = sum(worker.slots for worker in snapshot.workers)
    busy = sum(worker.busy for worker in snapshot.workers)
    shares = f" {busy}/{slots}" if slots else ""
    workers = plural(len(snapshot.workers), "worker") + shares
    if snapshot.at:  # before that the count is not known
        yield cell(f"{workers}  ", "" if snapshot.workers else "warn")
    per_second = total_rates(snapshot.trends)
    if per_second is not None:
        yield cell(f"{f.rate(per_second)}/s  ")
    if snapshot.p95_of_all is not None:
        yield cell(f"p95 {f.duration(snapshot.p95_of_all)}")


def _width(cells: Sequence[Cell]) -> int:
    return sum(cell_len(part.text) for part in cells)


def _age(snapshot: Snapshot, data_query: ScreenQuery | None, now: int) -> Line:
    age, trouble = snapshot.age_of(data_query, now), snapshot.trouble_of(data_query)
    if age is None:
        text = "no answer yet" if trouble else "asking" if snapshot.at else "connecting"
        return (cell(f"{text} ", "bad" if trouble else "dim"),)
    if snapshot.is_frozen:
        return (cell(f"paused, {f.age(age)} old ", "warn"),)
    slack = (
        int(data_query.every_seconds * 1000)
        if data_query is not None and data_query.source == DATABASE
        else 0
    )
    if trouble or age > STALE_MS + slack:
        return (cell(f"STALE {f.age(age)} ", "bad"),)
    return (cell(f"{f.age(age)} old ", "dim" if age < FRESH_MS + slack else "warn"),)
