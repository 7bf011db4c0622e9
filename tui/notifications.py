"""Terminal notifications of new problems: rate-limited, short, and free of control characters."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from hms_svc.domain.causes import MOST_CAUSES
from hms_svc.domain.errors import BadInput
from hms_svc.domain.plain_text import plain, shorten
from hms_svc.operations.explanation import is_silent
from hms_svc.tui.clipboard import wrapped_for_tmux
from hms_svc.tui.rows import cause_text
from hms_svc.tui.screens.base import current_screen

if TYPE_CHECKING:
    from hms_svc.tui.host import ConsoleHost
    from hms_svc.tui.snapshot import Snapshot

OFF: Final = "off"
WAYS: Final = (OFF, "bell", "osc9", "osc777")
MIN_SECONDS: Final = 10.0
"""The least time between two notifications; the next one counts those in between."""
MOST_CHARACTERS: Final = 160
MAX_WAITING: Final = 100
REMEMBERED_MS: Final = 3_600_000
_NAME: Final = "hms-svc"
_CAUSE: Final = "cause "


class Notifier:
    """Compares each snapshot with the known problems; those in the first complete snapshot are not new."""

    def __init__(self, console: ConsoleHost, way: str) -> None:
        self._console = console
        self.way = way
        console.store.always_failures = way != OFF
        self._known: frozenset[str] = frozenset()
        self._causes: dict[str, int] = {}
        self._chosen_at = 0
        self._has_learned = False
        self._waiting: list[str] = []
        self._not_before = 0.0

    def choose(self, way: str) -> None:
        """Change the kind of notifications and send an example; raise BadInput for an unknown kind."""
        if way not in WAYS:
            raise BadInput(
                f"notify {way!r:.40}: expected one of {', '.join(WAYS)}; it is {self.way}"
            )
        self.way = way
        self._chosen_at = self._console.now_ms()
        self._has_learned = False
        self._console.store.always_failures = way != OFF
        if way != OFF:
            self._send("notifications look like this")
        self._console.show_notice(f"notifications: {way}")
        if (screen := current_screen(self._console)) is not None:
            screen.ask()

    def take(self, snapshot: Snapshot) -> None:
        """Notify of new problems in a snapshot, unless notifications are off."""
        if self.way == OFF or not (snapshot.at or snapshot.trouble):
            return
        found = dict(_bad(snapshot))
        self._forget(snapshot.at)
        if self._has_learned:
            known = self._known | self._causes.keys()
            new = [text for key, text in found.items() if key not in known]
            self._waiting = [*self._waiting, *new][:MAX_WAITING]
        self._has_learned |= snapshot.causes_at > self._chosen_at
        self._known = frozenset(found) | self._kept(snapshot)
        self._remember(found, snapshot.at)
        self.tick()

    def _remember(self, found: Iterable[str], now: int) -> None:
        """Remember causes for as long as the broker does: their groups become empty at each attempt."""
        for key in found:
            if key.startswith(_CAUSE):
                self._causes.pop(key, None)
                self._causes[key] = now

    def _forget(self, now: int) -> None:
        while self._causes:
            oldest, at = next(iter(self._causes.items()))
            if len(self._causes) <= MOST_CAUSES and now - at < REMEMBERED_MS:
                break
            del self._causes[oldest]

    def _kept(self, snapshot: Snapshot) -> frozenset[str]:
        """Return the known problems if the snapshot lacks the broker's part: they are not new afterwards."""
        return self._known if snapshot.trouble else frozenset()

    def tick(self) -> None:
        """Send what is waiting, once it is due."""
        if self._waiting and time.monotonic() >= self._not_before:
            first, more = self._waiting[0], len(self._waiting) - 1
            self._waiting = []
            self._not_before = time.monotonic() + MIN_SECONDS
            self._send(f"{first}; {more} more" if more else first)

    def _send(self, text: str) -> None:
        driver = self._console._driver
        if driver is None:
            return
        sequence = sequence_of(self.way, text)
        if self.way != "bell" and self._console.launch.is_in_tmux:
            sequence = wrapped_for_tmux(sequence)
        driver.write(sequence)
        driver.flush()


def sequence_of(way: str, text: str) -> str:
    """Return the escape sequence; nothing in the text can end it or start another."""
    described = shorten(plain(text).replace(";", ","), MOST_CHARACTERS)
    return {
        "bell": "\a",
        "osc9": f"\x1b]9;{_NAME}: {described}\a",
        "osc777": f"\x1b]777;notify;{_NAME};{described}\a",
    }[way]


def _bad(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield the problems in a snapshot as key and text: unreachable engines, silent workers, failure causes."""
    for name, engine in (("broker", snapshot.broker), ("database", snapshot.database)):
        if engine is not None and not engine.ok:
            yield f"engine {name}", f"{name} unreachable"
    for worker in (*snapshot.workers, *snapshot.silent_workers):
        if is_silent(worker, snapshot.at, snapshot.lease_ms):
            yield f"worker {worker.id}", f"worker {worker.id} is silent"
    for group in snapshot.failures:
        yield f"{_CAUSE}{group.id}", f"new cause: {group.type} {cause_text(group)}"
