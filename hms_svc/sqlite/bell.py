"""The bell: SQLite tells nobody of a commit, so a byte goes to each process that may sleep."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Final

log: Final = logging.getLogger("hms_svc.sqlite")
_LONGEST_PATH: Final = 90
"""Addresses of Unix sockets hold about 104 bytes; the name of a socket takes a dozen."""


def wake_folder(database: Path) -> Path:
    """Give the folder of the wake sockets of a database: beside it, or a short path of its own."""
    beside = database.with_name(database.name + ".wake")
    if len(os.fsencode(beside)) <= _LONGEST_PATH:
        return beside
    digest = hashlib.sha256(os.fsencode(database.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"hms-svc-{os.getuid()}-{digest}"


class Bell:
    """A datagram socket in the wake folder: heard by this process, rung by all others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: socket.socket | None = None
        self._path: Path | None = None
        self._sender: socket.socket | None = None
        self._hears_news = False
        self.heard = asyncio.Event()

    def listen(self, *, news: bool) -> None:
        """Bind this process's socket and hear it on the running loop; `news`: more than new work."""
        self._prepare()
        self._hears_news = news
        kind = "news" if news else "work"
        self._path = self._folder / f"{kind}-{os.getpid()}-{os.urandom(2).hex()}"
        self._own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._own.bind(os.fspath(self._path))
        asyncio.get_running_loop().add_reader(self._own.fileno(), self._hear)

    def ring(self, *, work: bool) -> None:
        """Wake every process that listens for this, ours included; dead sockets are cleared away.

        Never raises: what is rung for has been committed, and a sleeper that
        cannot be reached looks by itself once a second.
        """
        if work or self._hears_news:
            self.heard.set()
        try:
            if self._sender is None:
                self._prepare()
                kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
                self._sender = socket.socket(socket.AF_UNIX, kind)
            own = self._path.name if self._path else ""
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.name != own and (work or entry.name.startswith("news")):
                        _send(self._sender, entry)
        except OSError as error:
            log.debug("nobody was woken: %s", error)

    def close(self) -> None:
        """Leave the folder. The loop that listened must still run."""
        if self._own is not None and self._path is not None:
            asyncio.get_running_loop().remove_reader(self._own.fileno())
            self._own.close()
            self._path.unlink(missing_ok=True)
        if self._sender is not None:
            self._sender.close()
        self._own = self._sender = None

    def _prepare(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self._folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(f"{self._folder} is not a folder of this user")

    def _hear(self) -> None:
        assert self._own is not None
        try:
            while self._own.recv(16):
                self.heard.set()
        except BlockingIOError:
            pass


def _send(sender: socket.socket, entry: os.DirEntry[str]) -> None:
    try:
        sender.sendto(b"!", entry.path)
    except ConnectionRefusedError:
        if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
            Path(entry.path).unlink(missing_ok=True)
    except OSError as error:
        log.debug("%s was not woken: %s", entry.name, error)
