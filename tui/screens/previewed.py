"""A list with a preview of the row at the cursor: below it from 120 columns, beside it from 180."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import ClassVar, Final

from textual import events, work
from textual.containers import Container, Vertical
from textual.widget import Widget

from hms_svc.domain.errors import HmsError
from hms_svc.domain.plain_text import plain
from hms_svc.tui.delay import call_after
from hms_svc.tui.page_lines import PageText
from hms_svc.tui.preview import Read
from hms_svc.tui.queries import PreviewQuery
from hms_svc.tui.screens.base import ConsoleScreen
from hms_svc.tui.snapshot import Snapshot
from hms_svc.tui.text import cell, line
from hms_svc.tui.widgets.bar import Bar
from hms_svc.tui.widgets.grid import Grid
from hms_svc.tui.widgets.page import Page

MIN_WIDTH: Final = 120
BESIDE_WIDTH: Final = 180
SHARE: Final = 0.45
MIN_LINES: Final = 6
AROUND: Final = 3
"""The lines of the screen outside of the list and the preview."""
NOTHING: Final = PageText((line(cell("no row is selected", "dim")),))
REST_SECONDS: Final = 0.2
"""How long the cursor stays on a row before its data is read."""
TIMEOUT_SECONDS: Final = 6.0


class PreviewedScreen(ConsoleScreen):
    """Shows known data of a row at once, and reads the rest once the cursor stays on the row."""

    without: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self._preview_query: PreviewQuery | None = None
        self._read: Read = None
        self._previewed: str | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._next_at = 0.0
        self._needed = 0
        """The most lines that the list has needed since the screen was opened, so that nothing jumps."""

    def list_body(self) -> Iterable[Widget]:
        """Return the widgets of the list."""
        raise NotImplementedError

    def body(self) -> Iterable[Widget]:
        """Put the preview beside or below the list."""
        preview = Vertical(Bar(id="previewed"), Page(id="preview"), id="aside")
        yield Container(Vertical(*self.list_body(), id="list"), preview, id="split")

    def preview(self, key: str, read: Read, snapshot: Snapshot) -> PageText | None:
        """Return the preview of a row with the data that was read; None if the row is unknown."""
        raise NotImplementedError

    def preview_query_of(self, key: str) -> PreviewQuery | None:
        """Return the query for the preview of a row; None if the list has all the data."""
        return None

    @property
    def is_previewing(self) -> bool:
        """Whether the preview is shown: on a narrow screen only below a short list."""
        is_wide = self.size.width >= MIN_WIDTH
        return self.console.preferences.preview and (is_wide or self._left_over > MIN_LINES)

    @property
    def _left_over(self) -> int:
        """How many lines the list does not need; 0 before its need is known."""
        return self.size.height - AROUND - self._needed if self._needed else 0

    @property
    def preview_lines(self) -> int:
        """The least height of the preview below the list; 0 if it is hidden or beside the list."""
        if not self.console.preferences.preview or not MIN_WIDTH <= self.size.width < BESIDE_WIDTH:
            return 0
        return max(MIN_LINES, int((self.size.height - AROUND) * SHARE))

    def _fit_preview(self) -> None:
        """Give the preview the lines that the list does not need."""
        bars = [bar for bar in self.query("#list Bar") if bar.display]
        tables = list(self.query("#list Grid").results(Grid))
        needed = len(bars) + sum(len(grid.rows) + 1 for grid in tables if grid.is_known)
        if needed > self._needed and any(grid.rows for grid in tables):
            self._needed = needed
            self._arrange()

    def place_preview(self) -> None:
        """Show, place or hide the preview."""
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
        """Draw a snapshot, and the preview of the row at the cursor."""
        super().draw(snapshot)
        if self._is_ready and self.is_current:
            self._fit_preview()
            self._show_preview(snapshot)

    def _show_preview(self, snapshot: Snapshot) -> None:
        grid = self.table
        if not self.is_previewing or grid is None:
            return
        key = grid.chosen
        wanted = None if key is None else self.preview_query_of(key)
        is_kept = key == self._previewed and self._preview_query is not None
        if is_kept and wanted is not None and not wanted.stamp:
            wanted = self._preview_query
        if wanted != self._preview_query:
            self._leave()
            self._preview_query = wanted
            if wanted is not None:
                seconds = max(REST_SECONDS, self._next_at - time.monotonic())
                self._rest = call_after(seconds, self, self._begin_reading)
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
        """Cancel the read for the row that the cursor has left."""
        if self._rest is not None:
            self._rest.cancel()
        self.workers.cancel_group(self, "preview")
        self._preview_query, self._read, self._rest = None, None, None

    def _begin_reading(self) -> None:
        if self._preview_query is not None and self.is_current:
            self._next_at = time.monotonic() + self._preview_query.spacing_seconds
            self._take()

    @work(name="console-preview", group="preview")
    async def _take(self) -> None:
        """Read the data once; moving the cursor cancels it."""
        read: Read
        wanted = self._preview_query
        if wanted is None:
            return
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                read = await wanted.read(self.console.store.operations())
        except HmsError as error:
            read = plain(str(error))
        except TimeoutError:
            read = f"no answer within {TIMEOUT_SECONDS:g} s"
        if wanted == self._preview_query and self.is_current:
            self._read = read
            self._show_preview(self.console.store.snapshot)

    def on_grid_moved(self, message: Grid.Moved) -> None:
        """Preview the row at the cursor."""
        if self._is_ready and self.is_current:
            self._show_preview(self.console.store.snapshot)

    def on_descendant_focus(self) -> None:
        """Preview the row at the cursor of the focused table."""
        if self._is_ready and self.is_current:
            self._show_preview(self.console.store.snapshot)

    def on_screen_suspend(self) -> None:
        """Cancel reads while another screen is shown."""
        self._leave()

    def on_screen_resume(self) -> None:
        """Reset the shares of list and preview, unless only a dialog was closed."""
        if not self._is_covered:
            self._needed = 0

    def on_resize(self, event: events.Resize) -> None:
        """Fit the preview to the new size."""
        self.place_preview()
