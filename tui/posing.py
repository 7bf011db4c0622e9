"""One frame as a picture: taken when the screen shows what it has asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from hms_svc.domain.errors import BadInput, Outage

if TYPE_CHECKING:
    from tui.app import Console
    from tui.launch import Snapshot
    from tui.picture import Picture

POSE_SECONDS: Final = 1.2
"""Two looks, so that rates are shown, too."""
AGAIN_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 10.0


class Posing:
    """Waits for the first pictures, saves a frame as SVG, and leaves."""

    def __init__(self, console: Console, snapshot: Snapshot) -> None:
        self._console = console
        self._snapshot = snapshot
        self._began: float | None = None

    def changed(self, picture: Picture) -> None:
        """Begin with the first picture; without one there is nothing to show."""
        if self._began is None:
            self._began = time.monotonic()
            if picture.at:
                self._console.set_timer(POSE_SECONDS, self._save)
            else:
                self._console.give_up(Outage(picture.trouble))

    def _save(self) -> None:
        console, path = self._console, self._snapshot.path
        if self._is_asking():
            console.set_timer(AGAIN_SECONDS, self._save)
            return
        try:
            path.write_text(console.export_screenshot(title="hms-svc"), encoding="utf-8")
        except OSError as error:
            console.give_up(BadInput(f"--snapshot {path} cannot be written: {error.strerror}"))
            return
        console.exit(0)

    def _is_asking(self) -> bool:
        """Return whether what the screen looks at is still under way."""
        room, picture = self._console.room, self._console.store.picture
        look = room.look() if room is not None else None
        is_late = time.monotonic() - (self._began or 0.0) > PATIENCE_SECONDS
        is_known = look is None or picture.answer_to(look) is not None
        return not is_known and not picture.trouble_of(look) and not is_late
