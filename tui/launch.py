"""What the console is started with: the operator service to open, and the embedded workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec
from textual.driver import Driver

from hms_svc.tui.idle_collection import IdleCollection

if TYPE_CHECKING:
    from hms_svc.operations.service import Operations


class Workforce(Protocol):
    """The workers that run in the process of the console. No method blocks."""

    def start(self) -> None:
        """Start the workers; during an outage, retry until it is over."""
        ...

    def stop(self) -> None:
        """Stop once the running jobs have finished, at most after the grace period; a second call stops at once."""
        ...

    async def wait_stopped(self) -> None:
        """Wait until all workers have stopped."""
        ...

    @property
    def state(self) -> str:
        """A short description of their state."""
        ...


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about this installation for the screen. The addresses contain no passwords."""

    broker: str
    database: str
    namespace: str
    actor: str
    profile: str = ""
    production: bool = False
    read_only: bool = False


class SnapshotFile(msgspec.Struct, frozen=True, kw_only=True):
    """Write one frame as SVG, at this terminal size, and exit."""

    path: Path
    width: int = 120
    height: int = 40


Opened: TypeAlias = "Callable[[], AbstractAsyncContextManager[Operations]]"
"""Return a context manager that opens the operator service and closes it."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of the console.

    - `operations` opens the operator service on the console's own event loop; `without_database` is
      used while the database is unavailable, and reads from the broker only.
    - `driver` draws on the right terminal (None: Textual's own driver).
    - `on_signals` is called on the running loop with the function to call on SIGTERM, SIGHUP or a lost
      terminal.
    - `memory` is the file that remembers table views (None: nothing is remembered), `filters` the file of
      saved filters.
    - `contexts` are the other installations in the configuration; `enter` prepares the console of one
      (empty: of the first), and raises BadSetting if it cannot be used.
    - `notice` is shown at the start, `notify` is the kind of notifications, `keys` are remapped keys.
    - `screen` is the first screen, `where` its filter.
    - `collection` collects garbage between keys, in a process that belongs to the console.
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
    collection: IdleCollection = msgspec.field(default_factory=IdleCollection)
