"""A list with a preview of the row at its cursor: below it from 120 columns, beside it from 180."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import ClassVar, Final

from textual import events, work
from textual.containers import Container, Vertical
from textual.timer import Timer
from textual.widget import Widget

from hms_svc.domain.errors import HmsError
from hms_svc.domain.plain_text import plain
from hms_svc.tui.page_lines import PageText
from hms_svc.tui.preview import Read
from hms_svc.tui.queries import GlanceQuery
from hms_svc.tui.screens.base import ConsoleScreen
from hms_svc.tui.snapshot import Snapshot
from hms_svc.tui.text import cell, line
from hms_svc.tui.widgets.bar import Bar
from hms_svc.tui.widgets.grid import Grid
from hms_svc.tui.widgets.page import Page

LEAST_WIDTH: Final = 120
BESIDE_WIDTH: Final = 180
SHARE: Final = 0.45
LEAST_LINES: Final = 6
AROUND: Final = 3
"""Lines that are neither the list's nor the preview's."""
NOTHING: Final = PageText((line(cell("no row is selected", "dim")),))
REST_SECONDS: Final = 0.2
"""How long the cursor rests on a row before anything is read for it."""
PATIENCE_SECONDS: Final = 6.0


class Previewed(ConsoleScreen):
    """What a list knows of a row is shown at once; what has to be read, once for each rest of the cursor."""

    without: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self._glance: GlanceQuery | None = None
        self._read: Read = None
        self._previewed: str | None = None
        self._rest: Timer | None = None
        self._next_at = 0.0
        self._needed = 0
        """The most lines that the list has needed since the screen was opened: nothing jumps."""

    def list_body(self) -> Iterable[Widget]:
        """Return the widgets of the list."""
        raise NotImplementedError

    def body(self) -> Iterable[Widget]:
        """Put the preview beside the list."""
        preview = Vertical(Bar(id="previewed"), Page(id="preview"), id="aside")
        yield Container(Vertical(*self.list_body(), id="list"), preview, id="split")

    def preview(self, key: str, read: Read, snapshot: Snapshot) -> PageText | None:
        """Describe a row, with what was read for it; None where nothing is known."""
        raise NotImplementedError

    def glance_of(self, key: str) -> GlanceQuery | None:
        """Return what has to be read for the row; None where the list knows all."""
        return None

    @property
    def is_previewing(self) -> bool:
        """Whether the preview is shown: on a narrow screen only below a list that leaves room for it."""
        is_wide = self.size.width >= LEAST_WIDTH
        return self.console.preferences.preview and (is_wide or self._left_over > LEAST_LINES)

    @property
    def _left_over(self) -> int:
        """How many lines of the screen the list does not need; none while it is not known what it needs."""
        return self.size.height - AROUND - self._needed if self._needed else 0

    @property
    def is_reading(self) -> bool:
        """Whether something that the preview waits for has not been read yet."""
        return self._glance is not None and self._read is None

    @property
    def preview_lines(self) -> int:
        """How many lines it takes from the list, however short that is."""
        if (
            not self.console.preferences.preview
            or not LEAST_WIDTH <= self.size.width < BESIDE_WIDTH
        ):
            return 0
        return max(LEAST_LINES, int((self.size.height - AROUND) * SHARE))

    def _fit_preview(self) -> None:
        """Return the preview the lines that the list does not need."""
        bars = [bar for bar in self.query("#list Bar") if bar.display]
        tables = list(self.query("#list Grid").results(Grid))
        needed = len(bars) + sum(len(grid.rows) + 1 for grid in tables if grid.is_known)
        if needed > self._needed and any(grid.rows for grid in tables):
            self._needed = needed
            self._arrange()

    def place_preview(self) -> None:
        """Show the preview where it has its room, or hide it."""
        self._arrange()
        if self._is_ready:
            self.call_after_refresh(self.ask)

    def _arrange(self) -> None:
        aside = self.query_one("#aside")
        is_beside = self.size.width >= BESIDE_WIDTH
        self.set_class(is_beside, "-beside")
        aside.display = self.is_previewing
        aside.styles.width = f"{SHARE:.0%}" if is_beside else "100%"
        lines = max(self.preview_lines, self._left_over)
        aside.styles.height = "100%" if is_beside else lines
        if not self.is_previewing:
            self._leave()

    def draw(self, snapshot: Snapshot) -> None:
        """Show a snapshot, and the preview of what is at the cursor in it."""
        super().draw(snapshot)
        if self._is_ready and self.is_current:
            self._fit_preview()
            self._show_preview(snapshot)

    def _show_preview(self, snapshot: Snapshot) -> None:
        grid = self.table
        if not self.is_previewing or grid is None:
            return
        key = grid.chosen
        wanted = None if key is None else self.glance_of(key)
        is_kept = key == self._previewed and self._glance is not None
        if is_kept and wanted is not None and not wanted.stamp:
            wanted = self._glance
        if wanted != self._glance:
            self._leave()
            self._glance = wanted
            if wanted is not None:
                seconds = max(REST_SECONDS, self._next_at - time.monotonic())
                self._rest = self.set_timer(seconds, self._begin_reading)
        page = self.query_one("#preview", Page)
        described = NOTHING if key is None else self.preview(key, self._read, snapshot)
        page.show(
            *(
                (described.lines, described.links, described.heads)
                if described is not None
                else ((),)
            )
        )
        if key != self._previewed:
            self._previewed = key
            page.action_edge(-1)
        self.query_one("#previewed", Bar).show(
            line(
                cell(" Preview", "head"), cell(f"  {key.partition(' ')[0]}" if key else "", "dim")
            ),
            line(cell("tab scroll  v hide ", "dim")),
        )

    def _leave(self) -> None:
        """Ask for nothing more of the row that the cursor has left."""
        if self._rest is not None:
            self._rest.stop()
        self.workers.cancel_group(self, "preview")
        self._glance, self._read, self._rest = None, None, None

    def _begin_reading(self) -> None:
        if self._glance is not None and self.is_current:
            self._next_at = time.monotonic() + self._glance.spacing_seconds
            self._take()

    @work(name="console-preview", group="preview")
    async def _take(self) -> None:
        """Read once; a key that moves the cursor on calls it off."""
        read: Read
        wanted = self._glance
        if wanted is None:
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                read = await wanted.take(self.console.store.operations())
        except HmsError as error:
            read = plain(str(error))
        except TimeoutError:
            read = f"no answer within {PATIENCE_SECONDS:g} s"
        if wanted == self._glance and self.is_current:
            self._read = read
            self._show_preview(self.console.store.snapshot)

    def on_grid_moved(self, message: Grid.Moved) -> None:
        """Preview the row at the cursor."""
        if self._is_ready and self.is_current:
            self._show_preview(self.console.store.snapshot)

    def on_descendant_focus(self) -> None:
        """Preview the row at the cursor of the table that has the keys now."""
        if self._is_ready and self.is_current:
            self._show_preview(self.console.store.snapshot)

    def on_screen_suspend(self) -> None:
        """Ask for nothing while something else is shown."""
        self._leave()

    def on_screen_resume(self) -> None:
        """Share the lines anew, unless only a dialog was closed."""
        if not self._is_covered:
            self._needed = 0

    def on_resize(self, event: events.Resize) -> None:
        """Fit the preview to the new size."""
        self.place_preview()
