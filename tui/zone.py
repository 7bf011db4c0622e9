"""Show times in the local time zone, or in UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.domain.local_time import ZONE
from hms_svc.tui import formats as f
from hms_svc.tui.screens.base import current_screen

if TYPE_CHECKING:
    from hms_svc.tui.commands import Target
    from hms_svc.tui.host import ConsoleHost


def toggle_zone(console: ConsoleHost, target: Target | None, argument: str) -> None:
    """Switch between UTC and the time zone of the settings or the machine."""
    ZONE.is_utc = not ZONE.is_utc
    console.show_notice(f"times in {f.zone_name(console.now_ms())}")
    if (screen := current_screen(console)) is not None:
        screen.draw(console.store.snapshot)
