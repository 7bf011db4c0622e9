"""Wake-ups between processes: the types of new jobs to each waiting one, as SQLite does not notify of commits.

The sockets are in a folder next to the database that only its user may access. If its
path is too long for a socket address, it is addressed through the open folder.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

log: Final = logging.getLogger("hms_svc.sqlite")
NEWS: Final[frozenset[str]] = frozenset()
"""What there is, as the types whose jobs may begin: none, but somebody may want to read."""
ANY_WORK: Final = frozenset({"!"})
"""Jobs of types that the sender does not name."""
_MOST_BYTES: Final = 4096
"""Of a message; longer ones name no types."""
_MANY: Final = 10
"""Messages that wait in a socket: the system may have dropped further ones, for other types."""
_LONGEST_PATH: Final = 90
"""Addresses of Unix sockets have about 104 bytes, of which the name of a socket takes a dozen."""
_OPEN_FILES: Final = Path("/proc/self/fd")
_SOCKET: Final = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK


def wake_folder(database: Path) -> Path:
    """Return the folder for the wake-up sockets of a database, next to it.

    If open files have no paths (no /proc) and the path is too long, it is in the temporary folder.
    """
    beside = database.with_name(database.name + ".wake")
    if _is_short(beside) or _OPEN_FILES.is_dir():
        return beside
    digest = hashlib.sha256(os.fsencode(database.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"hms-svc-{os.getuid()}-{digest}"


def _is_short(path: Path) -> bool:
    return len(os.fsencode(path)) <= _LONGEST_PATH


class WakeSocket:
    """A datagram socket in the wake-up folder, on which other processes notify this one.

    If the folder belongs to another user or cannot be used, that is logged once: there are
    no notifications then, and waiting workers poll once a second.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1
        self._own: socket.socket | None = None
        self._name = ""
        self._sender: socket.socket | None = None
        self._receives_news = False
        self._has_warned = False
        self._lock = threading.Lock()
        self.woken = asyncio.Event()
        self._types: frozenset[str] | None = None

    def listen(self, *, news: bool) -> None:
        """Bind this process's socket and read it on the running loop; with `news` not only for new work.

        Never raises; see the class.
        """
        self._receives_news = news
        name = f"{'news' if news else 'work'}-{os.getpid()}-{os.urandom(2).hex()}"
        try:
            with self._lock:
                self._enter()
            own = socket.socket(socket.AF_UNIX, _SOCKET)
            try:
                own.bind(self._address(name))
            except OSError:
                own.close()
                raise
        except OSError as error:
            self._warn(error)
            return
        self._own, self._name = own, name
        asyncio.get_running_loop().add_reader(own.fileno(), self._receive)

    def serve(self, types: Iterable[str]) -> None:
        """Let only work of these types wake this process; at first, all does."""
        self._types = ANY_WORK.union(types)

    def wake(self, work: frozenset[str]) -> None:
        """Notify this process, on its loop, if it waits for such work or news."""
        if not work:
            concerns = self._receives_news
        else:
            concerns = self._types is None or not work.isdisjoint(self._types)
        if concerns:
            self.woken.set()

    def notify(self, work: frozenset[str]) -> None:
        """Notify all other processes that listen, on any thread; stale sockets are removed.

        Never raises: the work is already committed, and a waiting worker that cannot be
        reached polls once a second.
        """
        message = b",".join(type.encode() for type in work)
        if len(message) > _MOST_BYTES:
            message = b"!"
        try:
            with self._lock:
                self._enter()
                if self._sender is None:
                    self._sender = socket.socket(socket.AF_UNIX, _SOCKET)
                with os.scandir(self._descriptor) as entries:
                    for entry in entries:
                        if entry.name != self._name and (work or entry.name.startswith("news")):
                            self._send(self._sender, entry, message)
        except OSError as error:
            log.debug("no process was notified: %s", error)

    def close(self) -> None:
        """Remove the socket. The loop that listened must still be running."""
        if self._own is not None:
            asyncio.get_running_loop().remove_reader(self._own.fileno())
            self._own.close()
            with suppress(FileNotFoundError):
                os.unlink(self._name, dir_fd=self._descriptor)
        with self._lock:
            if self._sender is not None:
                self._sender.close()
            self._leave()
            self._sender = None
        self._own = None
        self._name = ""

    def _enter(self) -> None:
        """Open the folder, creating it if needed; raise PermissionError if it belongs to another user."""
        if self._descriptor >= 0:
            if os.fstat(self._descriptor).st_nlink:
                return
            self._leave()  # it was removed: other processes use a new one
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(
            self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        )
        try:
            found = os.fstat(descriptor)
            if found.st_uid != os.getuid():
                raise PermissionError(
                    f"{self._folder} belongs to user {found.st_uid}, not to user {os.getuid()} "
                    "of this process"
                )
            if stat.S_IMODE(found.st_mode) & 0o077:
                os.fchmod(descriptor, 0o700)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _leave(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _address(self, name: str) -> str:
        if _is_short(self._folder):
            return os.fspath(self._folder / name)
        return os.fspath(_OPEN_FILES / str(self._descriptor) / name)

    def _warn(self, error: OSError) -> None:
        level = logging.DEBUG if self._has_warned else logging.WARNING
        self._has_warned = True
        log.log(
            level,
            "the wake-up folder %s cannot be used: %s; workers poll for new work once a second. "
            "Remove the folder, or give it to this user with mode 0700",
            self._folder,
            error,
        )

    def _receive(self) -> None:
        assert self._own is not None
        received = 0
        try:
            while True:
                message = self._own.recv(_MOST_BYTES).decode(errors="replace")
                received += 1
                self.wake(frozenset(message.split(",")) if message else NEWS)
        except BlockingIOError:
            if received >= _MANY:
                self.woken.set()

    def _send(self, sender: socket.socket, entry: os.DirEntry[str], message: bytes) -> None:
        try:
            sender.sendto(message, self._address(entry.name))
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):  # another process has removed it
                if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                    os.unlink(entry.name, dir_fd=self._descriptor)
        except OSError as error:
            log.debug("%s was not notified: %s", entry.name, error)
