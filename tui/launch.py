"""What the console is started with: the operator service to open, and who works beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec
from textual.driver import Driver

if TYPE_CHECKING:
    from hms_svc.operations.service import Operations


class Workforce(Protocol):
    """The workers that run beside the screen. Nothing here blocks."""

    def start(self) -> None:
        """Begin; an outage at the start is tried again until it is over."""
        ...

    def stop(self) -> None:
        """Let running jobs finish within the grace; a second call ends at once."""
        ...

    async def wait_stopped(self) -> None:
        """Return when nothing works any more."""
        ...

    @property
    def state(self) -> str:
        """Return, in a few words how they are."""
        ...


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the screen says of this installation. Addresses have no passwords in them."""

    broker: str
    database: str
    namespace: str
    actor: str
    profile: str = ""
    production: bool = False
    read_only: bool = False


class SnapshotFile(msgspec.Struct, frozen=True, kw_only=True):
    """One frame is wanted, as SVG, in a terminal of this size; then the end."""

    path: Path
    width: int = 120
    height: int = 40


Opened: TypeAlias = "Callable[[], AbstractAsyncContextManager[Operations]]"
"""Opens the operator service, and closes it."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """All that the console is given. `operations` is opened on the console's own loop.

    `without_database` is opened instead while the database cannot be: it knows what the broker knows.
    `driver` shows on the right terminal (None: Textual's own); `on_signals` is to be called
    on the running loop with what a SIGTERM, a SIGHUP or a lost terminal shall do; `memory` is the
    file that remembers how tables are wanted (None: nothing is remembered).
    `contexts` are other installations that the configuration names; `enter` prepares the console of
    one (empty: of none), and raises BadSetting where it cannot be. `filters` is the file of saved ones.
    `notice` is said at first. `notify` is how what is new and bad is notified of; `keys` are other keys of commands.
    `screen` is the room that is opened first, `where` its filter.
    """

    operations: Opened
    facts: Facts
    workforce: Workforce | None = None
    theme: str = "dark"
    snapshot: SnapshotFile | None = None
    driver: type[Driver] | None = None
    on_signals: Callable[[Callable[[], None]], None] | None = None
    is_in_tmux: bool = False
    memory: Path | None = None
    contexts: tuple[str, ...] = ()
    enter: Callable[[str], None] | None = None
    filters: Path | None = None
    notify: str = "off"
    keys: Mapping[str, str] = {}
    notice: str = ""
    screen: str = "overview"
    where: str = ""
    without_database: Opened | None = None
