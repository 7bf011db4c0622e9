"""The first screen: queues, live results, validation failures, failing and dead jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from textual import events
from textual.containers import Container, Vertical
from textual.widget import Widget

from hms_svc.tui import columns, rows
from hms_svc.tui import formats as f
from hms_svc.tui.commands import Target, TargetKind
from hms_svc.tui.hints import States
from hms_svc.tui.screens.base import ConsoleScreen
from hms_svc.tui.snapshot import Snapshot
from hms_svc.tui.store import NEWEST_EVENTS
from hms_svc.tui.text import Line, cell, line
from hms_svc.tui.widgets.grid import Grid

KINDS: Final[dict[str, TargetKind]] = {
    "queues": "queue",
    "results": "job",
    "validation": "group",
    "dead": "group",
}
WIDE: Final = 160
ENQUEUE: Final = line("Nothing yet. Press ", cell("e", "key"), " to enqueue a sample job.")


class Overview(ConsoleScreen):
    """Four panels; tab moves between them."""

    heading: ClassVar[str] = "Overview"
    CSS_PATH = ["base.tcss", "overview.tcss"]  # noqa: RUF012 - Textual declares it

    def __init__(self) -> None:
        super().__init__()
        self._needs: dict[str, int] = {}

    def body(self) -> Iterable[Widget]:
        """Stack the panels, or put them side by side on wide screens."""
        yield Grid(columns.QUEUES, id="queues", empty=[ENQUEUE])
        with Container(id="below"):
            yield Grid(
                columns.RESULTS,
                id="results",
                follows=True,
            )
            with Vertical(id="failures"):
                yield Grid(
                    columns.VALIDATION,
                    id="validation",
                    follows=True,
                    empty=[line("No job was rejected.")],
                )
                yield Grid(
                    columns.FAILING,
                    id="dead",
                    follows=True,
                    empty=[line("Nothing is failing, nothing is dead.")],
                )

    def wants(self) -> dict[str, bool]:
        """Return both common parts."""
        return {"failures": True, "results": True}

    def show(self, snapshot: Snapshot) -> None:
        """Fill the four panels, once there is data."""
        if not snapshot.at:
            return
        now = snapshot.at
        self._grid("results").empty = (_no_result(snapshot),)
        self._show_queues(snapshot)
        self._grid("results").is_whole = False
        self._grid("results").show(rows.result_rows(snapshot.results))
        self._grid("validation").show(rows.validation_rows(snapshot.failures, now))
        self._grid("dead").show(rows.failing_rows(snapshot.failures, now))
        self._share_height()

    def _show_queues(self, snapshot: Snapshot) -> None:
        """Show queues with problems first; count those that do not fit in the heading."""
        most, grid = max(2, (self.size.height - 2) * 2 // 5 - 1), self._grid("queues")
        is_plain = not grid.row_filter and not grid.view.sort
        shown = rows.queue_rows(
            snapshot.queues, snapshot.trends, snapshot.at, most if is_plain else rows.MANY
        )
        below = rows.trouble_below(shown, most) if is_plain else ""
        grid.show(shown, title=f"Queues{below}")

    def target(self) -> Target | None:
        """Return the item at the cursor of the focused panel."""
        grid = self.focused
        if not isinstance(grid, Grid) or grid.chosen is None:
            return None
        kind = KINDS[str(grid.id)]
        if grid.chosen == rows.IDLE_KEY:
            return None
        where = f"cause:{grid.chosen}" if kind == "group" else ""
        return Target(kind=kind, ids=(grid.chosen,), where=where)

    def states(self) -> States:
        """Return the state of the result or group at the cursor."""
        target, snapshot = self.target(), self.console.store.snapshot
        if target is None or target.kind == "queue":
            return None
        ends = {result.job_id: result.state for result in reversed(snapshot.results)}
        known = ends | {group.id: group.state for group in snapshot.failures}
        return {known[each] for each in target.ids if each in known} or None

    def on_resize(self, event: events.Resize) -> None:
        """Put results and failures side by side on wide screens."""
        self.set_class(event.size.width >= WIDE, "-wide")
        self._needs = {}
        if self._is_ready:
            self.call_after_refresh(self._share_height)

    def _grid(self, name: str) -> Grid:
        return self.query_one(f"#{name}", Grid)

    def _share_height(self) -> None:
        """Set the heights of the panels to what they need, as far as it fits. None shrinks: nothing jumps."""
        for name in KINDS:
            needed = max(len(self._grid(name).rows), 1) + 1
            self._needs[name] = max(self._needs.get(name, 0), needed)
        heights = share_heights(
            self.size.height - 2, self._needs, side_by_side=self.has_class("-wide")
        )
        for name, height in heights.items():
            grid = self._grid(name)
            if grid.styles.height is None or grid.styles.height.value != height:
                grid.styles.height = height


def _no_result(snapshot: Snapshot) -> Line:
    counts = [queue.counts for queue in snapshot.queues]
    ended = sum(each.completed + each.rejected + each.dead + each.cancelled for each in counts)
    if not ended:
        return line("No job has ended yet. Results appear here live.")
    described = f"None among the newest {NEWEST_EVENTS} events. {f.number(ended)} ended before: "
    return line(described, cell("2", "key"), " shows them.")


def share_heights(height: int, needs: Mapping[str, int], *, side_by_side: bool) -> dict[str, int]:
    """Distribute the lines of a screen among the panels; results get what the others leave.

    Queues get at most two fifths, each kind of failures a quarter, and more if other panels
    do not need the lines.
    """
    queues = max(3, min(needs["queues"], height * 2 // 5))
    below = height - queues
    if side_by_side:
        validation = max(3, min(needs["validation"], below // 2))
        return {
            "queues": queues,
            "results": below,
            "validation": validation,
            "dead": below - validation,
        }
    most = max(3, height // 4)
    validation = max(2, min(needs["validation"], most))
    dead = min(max(2, min(needs["dead"], most)), below - validation)
    spare = below - validation - dead - needs["results"]
    if spare > 0:
        more = min(spare, needs["dead"] - dead)
        dead += more
        validation += min(spare - more, needs["validation"] - validation)
    return {
        "queues": queues,
        "results": below - validation - dead,
        "validation": validation,
        "dead": dead,
    }
