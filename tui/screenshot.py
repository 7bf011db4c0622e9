"""Write one frame as SVG once the screen shows its data."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from hms_svc.domain.errors import BadInput, Outage
from hms_svc.tui.delay import call_after
from hms_svc.tui.screens.base import current_screen

if TYPE_CHECKING:
    from hms_svc.tui.host import ConsoleHost
    from hms_svc.tui.launch import SnapshotFile
    from hms_svc.tui.snapshot import Snapshot

SETTLE_SECONDS: Final = 1.2
"""Time for two queries, so that rates are shown too."""
AGAIN_SECONDS: Final = 0.1
TIMEOUT_SECONDS: Final = 10.0


class ScreenshotWriter:
    """Waits for the first snapshots, writes a frame as SVG, and exits."""

    def __init__(self, console: ConsoleHost, snapshot: SnapshotFile) -> None:
        self._console = console
        self._snapshot = snapshot
        self._began: float | None = None

    def changed(self, snapshot: Snapshot) -> None:
        """Start at the first snapshot; give up if it has no data."""
        if self._began is None:
            self._began = time.monotonic()
            if snapshot.at:
                call_after(SETTLE_SECONDS, self._console, self._save)
            else:
                self._console.give_up(Outage(snapshot.trouble))

    def _save(self) -> None:
        console, path = self._console, self._snapshot.path
        if self._is_asking():
            call_after(AGAIN_SECONDS, console, self._save)
            return
        try:
            path.write_text(console.export_screenshot(title="hms-svc"), encoding="utf-8")
        except OSError as error:
            console.give_up(BadInput(f"--snapshot {path} cannot be written: {error.strerror}"))
            return
        console.exit(0)

    def _is_asking(self) -> bool:
        """Return whether the screen still waits for its query."""
        console_screen, snapshot = current_screen(self._console), self._console.store.snapshot
        data_query = console_screen.data_query() if console_screen is not None else None
        is_late = time.monotonic() - (self._began or 0.0) > TIMEOUT_SECONDS
        is_known = data_query is None or snapshot.answer_to(data_query) is not None
        return not is_known and not snapshot.trouble_of(data_query) and not is_late
