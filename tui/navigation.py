"""Navigation between screens, with a history."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Final

from hms_svc.tui.commands import Target
from hms_svc.tui.screens.base import ConsoleScreen, current_screen

if TYPE_CHECKING:
    from hms_svc.domain.event import Event
    from hms_svc.tui.host import ConsoleHost

SCREENS: Final = {
    "overview": "overview:Overview",
    "jobs": "lists:Jobs",
    "failures": "tables:Failures",
    "held": "lists:Held",
    "workers": "workers:Workers",
    "cases": "tables:Cases",
    "events": "tables:Events",
    "schedules": "schedules:Schedules",
    "audit": "tables:Audit",
}
"""The nine screens by name: the module and class of each, imported when it is first opened."""
_PAGES: Final = {
    "job": "page_screens:Inspect",
    "case": "page_screens:InspectCase",
    "audit": "page_screens:InspectAudit",
    "batch": "page_screens:InspectBatch",
    "queue": "inspect_type:InspectType",
}
MOST_STEPS: Final = 50
Step = tuple[str, str]
"""The name of a screen, and its filter."""


def load(where: str) -> Callable[..., ConsoleScreen]:
    """Import the class of a screen, `module:Class`: most are not needed for the first paint."""
    module, _, name = where.partition(":")
    found: Callable[..., ConsoleScreen] = getattr(
        import_module(f"hms_svc.tui.screens.{module}"), name
    )
    return found


class Navigation:
    """Opens screens, and remembers the visited ones with their filters."""

    def __init__(self, console: ConsoleHost) -> None:
        self._console = console
        self._past: list[Step] = []
        self._future: list[Step] = []
        self.here = "overview"

    def begin(self, name: str, where: str) -> None:
        """Open the first screen, with its filter if there is one."""
        self.here = name
        console_screen = self._console.get_screen(name)
        if where and isinstance(console_screen, ConsoleScreen):
            console_screen.start_with(where)
        self._console.push_screen(name)

    @property
    def where(self) -> str:
        """The filter of the screen, also while a page covers it; empty if it has none."""
        console_screen = self._console.get_screen(self.here)
        return console_screen.where if isinstance(console_screen, ConsoleScreen) else ""

    def go(self, name: str, where: str | None = None) -> None:
        """Open a screen, and add the current one to the history."""
        self._past = [*self._past[1 - MOST_STEPS :], (self.here, self.where)]
        self._future = []
        self._open(name, where)

    def back(self) -> None:
        """Close the page over the screen, or open the previous screen."""
        if len(self._console.screen_stack) > 2:
            self._console.pop_screen()
        elif self._past:
            self._future.append((self.here, self.where))
            self._open(*self._past.pop())

    def forward(self) -> None:
        """Open the screen that `back` left."""
        if self._future:
            self._past.append((self.here, self.where))
            self._open(*self._future.pop())

    def follow(self, link: str) -> None:
        """Open the target of a link: `KIND:ID` of a job, case, audit row, batch or queue, or `jobs:FILTER`."""
        kind, _, id = link.partition(":")
        if kind == "jobs":
            self.go("jobs", id)
            return
        here, page = self._console.screen, load(_PAGES[kind])
        if type(here) is not page or getattr(here, "id_of_it", "") != id:
            self._console.push_screen(page(id))

    def inspect(self, target: Target) -> None:
        """Open the page of the target, or the jobs of a group, worker or schedule."""
        if target.kind == "schedule":
            self.go("jobs", f"type:{target.ids[0]}")
        elif target.kind == "worker":
            self.go("jobs", f"state:processing worker:{target.ids[0]}")
        elif target.kind == "group" or target.where:
            self.go("jobs", target.where)
        elif target.kind == "event" and (event := self._event()) is not None:
            self._console.push_screen(load("page_screens:InspectEvent")(event))
        elif target.kind == "audit" and not target.ids[0].isdecimal():
            self.follow(f"batch:{target.ids[0]}")
        elif target.kind in {"case", "audit", "queue"}:
            self.follow(f"{target.kind}:{target.ids[0]}")
        else:
            self.follow(f"job:{target.ids[0]}")

    def _event(self) -> Event | None:
        """Return the event at the cursor if it is not about a job."""
        screen = current_screen(self._console)
        return screen.event_of_no_job() if screen is not None else None

    def _open(self, name: str, where: str | None) -> None:
        while len(self._console.screen_stack) > 2:
            self._console.pop_screen()
        self.here = name
        console_screen = self._console.get_screen(name)
        if isinstance(console_screen, ConsoleScreen) and where is not None:
            console_screen.start_with(where)
        if self._console.screen is console_screen and isinstance(console_screen, ConsoleScreen):
            console_screen.ask()
        else:
            self._console.switch_screen(name)
