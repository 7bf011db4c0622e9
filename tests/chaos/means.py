"""By what a place is interrupted: a kill, an outage of broker or database, or a reply that is lost."""

from __future__ import annotations

import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, Self

import httpx

from tests.chaos.interrupted import APP
from tests.chaos.site import Site
from tests.support.framing import POSTGRESQL
from tests.support.postgres_server import PostgresServer
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.serve_process import Served
from tests.support.waiting import PATIENCE_SECONDS, wait_until

OUTAGE_SECONDS: Final = 1.0
"""Longer than the program's own repetitions take, and than the busy timeout of `interrupted.py`."""
CHECK_SECONDS: Final = 0.03
PROCESSES, MANY_PROCESSES = 2, 6
SECONDS_A_KILL: Final = 5
"""The longest pause that the supervisor makes before it starts a process again."""
MANY: Final = 10
"""From so many kills on there are more processes: the supervisor waits before it starts one again."""


class Means(NamedTuple):
    """What happens at a place: a `kill`, or an `outage` of a side or a `lost reply` from it."""

    how: str
    whom: str = ""

    def __str__(self) -> str:
        return f"{self.whom} {self.how}".strip()


KILL: Final = Means("kill")
ALL_MEANS: Final = (
    KILL,
    *(Means(how, whom) for whom in ("broker", "database") for how in ("outage", "lost reply")),
)
HELD_BY_THE_STOPPED: Final = {("effect.within", "database"), ("reaper.found", "broker")}
"""Places within a transaction on an embedded file: nobody else can lock it, but a disk may be full."""


class Side(Protocol):
    """A broker or a database between the program and the test."""

    url: str
    """The address for the program."""
    loses: str
    """The order to who comes to a place with a reply to be lost: stop for the test, or lose it itself."""

    def break_off(self, means: Means, pid: int, *, is_held: bool) -> Any:
        """Return a context: as it begins the way is broken off, and as it ends it is whole again."""


class ServerSide:
    """A server, behind a proxy."""

    loses = "stop"

    def __init__(self, url: str, proxy: Proxy) -> None:
        head, _, rest = url.rpartition("@") if "@" in url else url.partition("://")[::1]
        joint = "@" if "@" in url else "://"
        self._proxy = proxy
        self.url = f"{head}{joint}127.0.0.1:{proxy.port}/{rest.partition('/')[2]}"

    @contextmanager
    def break_off(self, means: Means, pid: int, *, is_held: bool) -> Iterator[None]:
        """See Side: an outage ends every connection with a reset, and then nobody listens."""
        if means.how == "lost reply":
            self._proxy.cut_after_reply()
            yield
            _await(lambda: not self._proxy.armed)
            return
        self._proxy.reset_all()
        self._proxy.refuse()
        yield
        time.sleep(OUTAGE_SECONDS)
        self._proxy.pass_through()


class FileSide:
    """An embedded file."""

    def __init__(self, url: str, file: Path) -> None:
        self.url = url
        self.loses = f"lose {file.name}"
        self._file = file

    @contextmanager
    def break_off(self, means: Means, pid: int, *, is_held: bool) -> Iterator[None]:
        """See Side: another program locks the file, or where that cannot be, the disk is full."""
        with _full_disk(pid) if is_held else _locked(self._file):
            yield
            time.sleep(OUTAGE_SECONDS)


def _await(comes: Callable[[], object]) -> bool:
    """Wait as long as an outage for what need not come; tells whether it did."""
    end = time.monotonic() + OUTAGE_SECONDS
    while not (here := comes()) and time.monotonic() < end:
        time.sleep(CHECK_SECONDS)
    return bool(here)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    connection = sqlite3.connect(file, isolation_level=None, timeout=PATIENCE_SECONDS)
    with closing(connection):
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def _full_disk(pid: int) -> Iterator[None]:
    """Have each write of a process to any file fail."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def sides_of(
    site: Site, redis: RedisServer | None, postgres: PostgresServer | None
) -> Iterator[dict[str, Side]]:
    """Stand between a site and its broker and database: embedded files where there is no server."""
    broker, database = (
        FileSide(url, file)
        for url, file in zip((site.broker_url, site.database_url), site.files, strict=True)
    )
    sides: dict[str, Side] = {"broker": broker, "database": database}
    with ExitStack() as started:
        if redis is not None:
            proxy = started.enter_context(Proxy(redis.port))
            sides["broker"] = ServerSide(site.broker_url, proxy)
        if postgres is not None:
            home = postgres.home
            proxy = started.enter_context(Proxy(home.port, host=home.host, dialect=POSTGRESQL))
            sides["database"] = ServerSide(site.database_url, proxy)
        yield sides


class Interruptions:
    """So many interruptions, by one means, of whoever comes next to one place; use it as `with`."""

    def __init__(
        self, site: Site, sides: dict[str, Side], place: str, means: Means, times: int
    ) -> None:
        self.site = site
        self.place = place
        self.means = means
        self.times = times
        self.explained: set[str] = set()
        """Faults that the checker finds, and that are none here."""
        self._sides = sides
        self._broken = sides.get(means.whom)
        self._begun = threading.Event()
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._attending = threading.Thread(target=self._attend, name="attending")
        self._handed_out = 0
        self._over = 0
        orders = {"kill": "kill", "outage": "stop"}
        self._order = orders.get(means.how) or (self._broken.loses if self._broken else "")
        if self.kills:
            for _ in range(times):
                self._hand_out()

    def _hand_out(self) -> None:
        """Have the next who comes to the place interrupted there."""
        written = self.site.folder / f"order-{self._handed_out:03}"
        written.write_text(self._order, encoding="ascii")
        written.rename(self.site.folder / f"turn-{self._handed_out:03}")
        self._handed_out += 1

    @property
    def kills(self) -> bool:
        """Whether who comes to the place ends there."""
        return self.means == KILL

    @property
    def taken(self) -> int:
        """How many have happened, or are happening."""
        return len(list(self.site.folder.glob("taken-*")))

    @property
    def all_taken(self) -> bool:
        """Whether every one has happened, and is over."""
        return (self.taken if self.kills else self._over) == self.times

    @property
    def is_set(self) -> bool:
        """Whether the last one is over, and the next one waits at the place where there is one more."""
        return self.all_taken or self.taken < self._handed_out

    def until(self, served: Served | None, what: str, holds: Callable[[], object]) -> None:
        """Wait for a condition, as long as the service runs; looks seldom, so as not to be in the way."""

        def examined() -> bool:
            time.sleep(CHECK_SECONDS)
            if self._error is not None:
                raise self._error
            return bool(holds())

        seconds = PATIENCE_SECONDS + SECONDS_A_KILL * self.times
        if served is None:
            wait_until(what, examined, seconds)
        else:
            served.wait_until(what, examined, seconds)

    def begin(self) -> None:
        """Have whoever comes to the place from now on interrupted; again does nothing. Kills need no word."""
        self._begun.set()

    def __enter__(self) -> Self:
        self._attending.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._attending.join()

    def _attend(self) -> None:
        try:
            while not self._ended.wait(CHECK_SECONDS) and not self.all_taken:
                self._see_to_one()
        except Exception as error:  # noqa: BLE001 - raised where the test waits
            self._error = error

    def _see_to_one(self) -> None:
        """One after the other: whoever is stopped again at once would not notice an outage."""
        if self.kills or not self._begun.is_set():
            return
        if self._over == self._handed_out:
            self._hand_out()
        if self._order != "stop":
            if self.taken == self._handed_out:
                _await((self.site.folder / f"lost-{self._over:03}").exists)
                self._over += 1
            return
        for stopped in self.site.folder.glob("stopped-*"):
            self._break_off(stopped)
            self._over += 1

    def _break_off(self, stopped: Path) -> None:
        """Break off what is to be broken off for whoever is stopped at the place, and let it go on."""
        assert self._broken is not None
        pid = int(stopped.suffix[1:])
        is_held = (self.place, self.means.whom) in HELD_BY_THE_STOPPED
        with self._broken.break_off(self.means, pid, is_held=is_held):
            stopped.unlink()

    def environment(self, at_most: int) -> dict[str, object]:
        """Return the settings of a process that is to be interrupted after 1 to `at_most` visits."""
        return {
            "test_place": self.place,
            "test_folder": self.site.folder,
            "test_at_most": at_most,
            **(
                {} if self.kills else {f"{whom}_url": self._sides[whom].url for whom in self._sides}
            ),
        }

    def serve(
        self, *words: str, app: str = APP, http: str = "", at_most: int = 12, processes: int = 0
    ) -> Served:
        """Serve with the place armed; return the service when it is ready, where it survives."""
        number = processes or (MANY_PROCESSES if self.kills and self.times >= MANY else PROCESSES)
        served = self.site.serve(
            "--processes",
            str(number),
            *words,
            http=http,
            within=(),
            app=app,
            lease_seconds=1 if self.kills else 10,
            **self.environment(at_most),
        )
        if not self.kills:
            self.until(
                served, "the workers are ready", lambda: len(self.site.broker.workers()) >= number
            )
        return served


def is_listening(port: int) -> bool:
    """Return whether the HTTP server at a port is ready."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
