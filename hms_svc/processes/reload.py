"""`hms-svc serve --reload`: the service is started again when a source file of its applications changes.

The files are compared at intervals: a developer has hundreds of them, which costs a few milliseconds.
"""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from hms_svc import bootstrap
from hms_svc.domain.errors import BadInput
from hms_svc.observability.logs import set_up_logging
from hms_svc.processes.child_spec import ChildSpec, start_child
from hms_svc.processes.stop_signals import EXIT_INTERRUPTED, stop_signals
from hms_svc.processes.supervisor import STOP, STOP_NOW, send
from hms_svc.sdk.apps import installed_apps, source_folders
from hms_svc.settings import Settings, child_environment

log: Final = logging.getLogger("hms_svc.runtime")
LOOK_SECONDS: Final = 0.5
Versions = Mapping[Path, tuple[int, int]]
"""Of each file its time of change, in nanoseconds, and its size."""


class Sources:
    """The Python files of applications: those of a package with all below it, or beside a module."""

    def __init__(self, apps: Sequence[str]) -> None:
        self._patterns = [
            (folder, "**/*.py" if is_package else "*.py")
            for app in apps
            for folder, is_package in source_folders(app)
        ]
        self._seen = self._versions()

    def changed(self) -> list[Path]:
        """Return the files that are new, different or gone since the last call."""
        before, self._seen = self._seen, self._versions()
        both = before.keys() | self._seen.keys()
        return sorted(file for file in both if before.get(file) != self._seen.get(file))

    def _versions(self) -> Versions:
        return dict(self._files())

    def _files(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for folder, pattern in self._patterns:
            for file in folder.glob(pattern):
                try:
                    found = file.stat()
                except OSError:  # it was removed meanwhile
                    continue
                yield file, (found.st_mtime_ns, found.st_size)


class Reloader:
    """Runs the supervisor of `serve` as a child, and starts another one after each change.

    The old one stops as after SIGTERM: running jobs may finish within the grace period. Sockets that
    it listens on stay open meanwhile. If it ends by itself, as after an error of import, the next change starts another.
    """

    def __init__(self, settings: Settings, specs: list[ChildSpec], sources: Sources) -> None:
        self._specs = specs
        self._environment = child_environment(settings)
        self._sources = sources
        self._stop = threading.Event()
        self._code = 0
        self._line: socket.socket | None = None

    def run(self) -> int:
        """Run until a signal stops it; return the exit code of `serve`."""
        for number in stop_signals():
            signal.signal(number, self._on_signal)
        while not self._stop.is_set():
            process = self._start()
            self._wait_for_change(process)
            send(self._line, STOP)
            process.wait()
        return self._code

    def _start(self) -> subprocess.Popen[bytes]:
        inherited = [number for spec in self._specs for number in spec.descriptors]
        if self._line is not None:
            self._line.close()
        process, self._line = start_child(
            "hms_svc.processes.supervisor_main",
            self._specs,
            self._environment,
            inherited=inherited,
        )
        return process

    def _wait_for_change(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until files have changed, and then have not for a moment, or until a stop."""
        changed: list[Path] = []
        has_ended = False
        while not self._stop.wait(LOOK_SECONDS):
            if not has_ended and (code := process.poll()) is not None:
                has_ended = True
                log.error("the service ended with %d; it starts again after a change", code)
            now = self._sources.changed()
            if changed and not now:
                log.warning("%s changed: starting the service again", changed[0])
                return
            changed += now

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._stop.is_set():
            send(self._line, STOP_NOW)
            return
        self._code = EXIT_INTERRUPTED if number == signal.SIGINT else 0
        self._stop.set()
        send(self._line, STOP)


def serve_reloading(settings: Settings, specs: list[ChildSpec]) -> int:
    """Run `serve` with these children until it is stopped; return its exit code.

    Raises BadInput if there is no application whose files could change.
    """
    apps = (*settings.app, *installed_apps())
    if not apps:
        raise BadInput("--reload watches the files of an application: name one with --app M:N")
    set_up_logging(settings.log_level, settings.log_format)
    return Reloader(bootstrap.resolve(settings), specs, Sources(apps)).run()
