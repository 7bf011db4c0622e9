"""The addresses of brokers and databases, read once into a typed value."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

SQLITE_PREFIX: Final = "sqlite:///"
_PASSWORD: Final = re.compile(r"(?<=://)([^:/?#@]*):(?!\*\*\*@)(.*)@")
_PASSWORD_IN_TEXT: Final = re.compile(
    r"(?<=://)([^\s:/?#@\[\]]*):(?!\*\*\*@|\d{1,5}/)(?:(?!://)\S)*@"
)
_TOKEN: Final = re.compile(
    r"([?&][^=&]*(?:pass|token|secret|key|sig)[^=&]*=)[^&#\s'\"]*", re.IGNORECASE
)
MASK: Final = "***"


class BackendKind(StrEnum):
    """The engines that an address can name."""

    SQLITE = "sqlite"
    MEMORY = "memory"
    REDIS = "redis"
    SENTINEL = "redis+sentinel"
    POSTGRESQL = "postgresql"


class BackendUrl(msgspec.Struct, frozen=True, kw_only=True):
    """One address. `path` is the absolute path of an SQLite file, empty for other engines.

    `hosts` are `host:port` texts (ports filled in), `service` the master's name
    behind Sentinel, `database` the number (Redis) or the name (PostgreSQL).
    """

    kind: BackendKind
    text: str
    path: str = ""
    hosts: tuple[str, ...] = ()
    service: str = ""
    database: str = ""
    tls: bool = False


BROKER_URLS: Final = (
    "sqlite:///PATH, memory://, redis://HOST:PORT/DB, rediss://… "
    "or redis+sentinel://HOST1,HOST2/SERVICE/DB"
)
DATABASE_URLS: Final = "sqlite:///PATH or postgresql://USER@HOST/NAME"
_BROKER_SCHEMES: Final = frozenset({"sqlite", "memory", "redis", "rediss", "redis+sentinel"})
_DATABASE_SCHEMES: Final = frozenset({"sqlite", "postgresql"})


def read_broker_url(text: str) -> BackendUrl:
    """Read a broker's address; ValueError says what would be right."""
    return _read(text, _BROKER_SCHEMES, BROKER_URLS)


def read_database_url(text: str) -> BackendUrl:
    """Read a database's address; ValueError says what would be right."""
    return _read(text, _DATABASE_SCHEMES, DATABASE_URLS)


def sqlite_url(path: str) -> str:
    """Give the address of an SQLite file: three slashes and its path (so four where absolute)."""
    return SQLITE_PREFIX + path


def mask_password(url: str) -> str:
    """Return one address, and nothing else, with `***` for the password in it, and for keys and tokens in its query."""
    return _TOKEN.sub(rf"\1{MASK}", _PASSWORD.sub(rf"\1:{MASK}@", url))


def mask_passwords(message: str) -> str:
    """Return a message with the addresses in it masked, each as far as its last `@` before a blank.

    Digits and a slash after a host are its port; a bracket before the colon is no user's name.
    """
    return _TOKEN.sub(rf"\1{MASK}", _PASSWORD_IN_TEXT.sub(rf"\1:{MASK}@", message))


def absolute_path(path: str | Path) -> Path:
    """Give the path from the root, `~` resolved; ValueError says what would be right.

    That is where its home is not known, or the folder that it begins at was deleted.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError("a path whose home directory is known") from error
    except FileNotFoundError as error:
        raise ValueError("a path from the root: the current folder was deleted") from error


def _read(text: str, schemes: frozenset[str], right: str) -> BackendUrl:
    scheme = text.partition("://")[0]
    if "://" not in text or scheme not in schemes:
        raise ValueError(right)
    if scheme == "sqlite":
        return _sqlite(text)
    if scheme == "memory":
        if text != "memory://":
            raise ValueError("memory:// with nothing after it")
        return BackendUrl(kind=BackendKind.MEMORY, text=text)
    if scheme == "postgresql":
        return _postgresql(text)
    return _sentinel(text) if scheme == "redis+sentinel" else _redis(text)


def _sqlite(text: str) -> BackendUrl:
    if not text.startswith(SQLITE_PREFIX):
        raise ValueError("sqlite:///PATH, with three slashes before the path (four if absolute)")
    path = text.removeprefix(SQLITE_PREFIX)
    if not path or path == ":memory:" or path.endswith("/") or "?" in path:
        raise ValueError("sqlite:///PATH with the path of a file, without options or ?")
    full = str(absolute_path(path))
    return BackendUrl(kind=BackendKind.SQLITE, text=sqlite_url(full), path=full)


def _redis(text: str) -> BackendUrl:
    right = "redis://[USER:PASSWORD@]HOST[:PORT][/DB] with DB a number"
    host, port, path = _parts(text, right)
    if not host or (path and not path.isdecimal()):
        raise ValueError(right)
    return BackendUrl(
        kind=BackendKind.REDIS,
        text=text,
        hosts=(f"{host}:{port or 6379}",),
        database=path or "0",
        tls=text.startswith("rediss:"),
    )


def _sentinel(text: str) -> BackendUrl:
    right = "redis+sentinel://HOST1[:PORT],HOST2[:PORT]/SERVICE[/DB]"
    authority, _, path = text.removeprefix("redis+sentinel://").partition("/")
    service, _, database = path.partition("/")
    names = [name for name in authority.rpartition("@")[2].split(",") if name]
    if not names or not service or (database and not database.isdecimal()):
        raise ValueError(right)
    return BackendUrl(
        kind=BackendKind.SENTINEL,
        text=text,
        hosts=tuple(name if ":" in name else f"{name}:26379" for name in names),
        service=service,
        database=database or "0",
    )


def _postgresql(text: str) -> BackendUrl:
    right = "postgresql://[USER:PASSWORD@]HOST[:PORT]/NAME"
    host, port, path = _parts(text, right)
    if not path or "/" in path:
        raise ValueError(right)
    return BackendUrl(
        kind=BackendKind.POSTGRESQL,
        text=text,
        hosts=(f"{host or 'localhost'}:{port or 5432}",),
        database=unquote(path),
    )


def _parts(text: str, right: str) -> tuple[str, int | None, str]:
    try:
        parts = urlsplit(text)
        return parts.hostname or "", parts.port, parts.path.strip("/")
    except ValueError as error:
        raise ValueError(right) from error
