"""The line at the top of every screen: where this is, whether it is well, how old the picture is."""

from __future__ import annotations

from hms_svc.domain.plain_text import plural
from tui import formatting as f
from tui.launch import Launch
from tui.picture import Picture
from tui.text import Cell, Line, cell
from tui.trend import total_rates

FRESH_MS = 4_000
STALE_MS = 7_000


def top_line(
    picture: Picture, launch: Launch, title: str, now: int, width: int
) -> tuple[Line, Line]:
    """Give what stands left and right. `now` is Unix ms; narrow lines leave words out."""
    wide = width >= 110
    left = [Cell(" "), Cell(title, "head"), Cell("  ")]
    if launch.facts.profile:
        left += [
            cell(launch.facts.profile, "bad" if launch.facts.production else "strong"),
            Cell("  "),
        ]
    if launch.facts.read_only:
        left.append(Cell("read-only  ", "warn"))
    left += _engines(picture, wide=wide)
    left += _work(picture, wide=wide)
    return tuple(left), _age(picture, now)


def _engines(picture: Picture, *, wide: bool) -> list[Cell]:
    parts: list[Cell] = []
    if picture.broker is not None:
        broker = picture.broker
        is_full = broker.room is not None and broker.room.is_full
        trip = f" {broker.round_trip_ms:.1f} ms" if wide else ""
        parts += [
            _light(broker.ok and not picture.trouble and not is_full),
            cell(f"{broker.kind}{' is full' if is_full else trip}  "),
        ]
    if picture.database is not None:
        parts += [_light(picture.database.ok), cell(f"{picture.database.kind}  ")]
    return parts


def _light(ok: bool) -> Cell:
    return Cell("● ", "good") if ok else Cell("✗ ", "bad")


def _work(picture: Picture, *, wide: bool) -> list[Cell]:
    slots = sum(worker.slots for worker in picture.workers)
    busy = sum(worker.busy for worker in picture.workers)
    per_second = total_rates(picture.trends)
    parts = [
        cell(plural(len(picture.workers), "worker"), "" if picture.workers else "warn"),
        cell(f" {busy}/{slots}" if slots else ""),
        _health(picture),
        cell("" if per_second is None else f"  {f.rate(per_second)}/s"),
    ]
    if picture.p95_of_all is not None:
        parts.append(cell(f"  p95 {f.duration(picture.p95_of_all)}"))
    return parts


def _health(picture: Picture) -> Cell:
    if picture.trouble:
        return Cell("  not reachable", "bad")
    dead = sum(queue.counts.dead for queue in picture.queues)
    paused = sum(queue.paused for queue in picture.queues)
    words = [f"{f.count(dead)} dead"] if dead else []
    held = sum(queue.counts.held for queue in picture.queues)
    words += [f"{f.count(held)} held"] if held else []
    words += [f"{paused} paused"] if paused else []
    left_off = picture.types_left_off
    words += [f"{f.count(left_off)} types left off"] if left_off else []
    return cell("  " + ", ".join(words), "warn") if words else Cell("  all well", "good")


def _age(picture: Picture, now: int) -> Line:
    if not picture.at:
        words = f"waiting: {picture.trouble}" if picture.trouble else "connecting"
        return (cell(f"{words[:60]} ", "bad" if picture.trouble else "dim"),)
    age = now - picture.at
    if picture.is_still:
        return (cell(f"standing still, {f.age(age)} old ", "warn"),)
    if picture.trouble or age > STALE_MS:
        return (cell(f"STALE {f.age(age)} ", "bad"),)
    return (cell(f"{f.age(age)} old ", "dim" if age < FRESH_MS else "warn"),)
