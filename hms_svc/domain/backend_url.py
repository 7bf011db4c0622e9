"""The addresses of brokers and databases, parsed once into a typed value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import msgspec

SQLITE_PREFIX: Final = "sqlite:///"
_PASSWORD: Final = re.compile(
    r"(?<=://)([^:/?#@]*):(?!\*\*\*@|\d{1,5}(?:/[^@?]*)?\?\w+=)"
    r"(?:(?:(?!\?\w+=).)*@|.*@)"
)
_PASSWORD_IN_TEXT: Final = re.compile(
    r"(?<=://)([^\s:/?#@\[\]]*):(?!\*\*\*@|\d{1,5}(?:/|\?\w+=))"
    r"(?:(?:(?!://|\?\w+=)\S)*@|(?:(?!://)\S)*@)"
)
_PASSWORD_OF_NO_URL: Final = re.compile(r":.*@", re.DOTALL)
_TOKEN: Final = re.compile(
    r"([?&](?!sslkey=|ssl_keyfile=)[^=&]*(?:pass|token|secret|key|sig)[^=&]*=)[^&#\s'\"]*",
    re.IGNORECASE,
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
    """One address. `path` is the absolute path of an SQLite file or of a Redis's Unix socket.

    `hosts` are `host:port` texts (ports filled in), empty if there is a path. `service`
    is the master's name behind Sentinel, `database` the number (Redis) or the
    name (PostgreSQL). For Redis also: `user` and `password`, decoded and empty
    if there is none, and the `options` as pairs of name and value.
    """

    kind: BackendKind
    text: str
    path: str = ""
    hosts: tuple[str, ...] = ()
    service: str = ""
    database: str = ""
    tls: bool = False
    user: str = ""
    password: str = ""
    options: tuple[tuple[str, str], ...] = ()


BROKER_URLS: Final = (
    "sqlite:///PATH, memory://, redis://HOST:PORT/DB, rediss://…, unix:///PATH "
    "or redis+sentinel://HOST1,HOST2/SERVICE/DB"
)
DATABASE_URLS: Final = "sqlite:///PATH or postgresql://USER@HOST/NAME"
TLS_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS_OPTIONS: Final = {
    **dict.fromkeys(TLS_FILES),
    "ssl_cert_reqs": ("required", "none"),
    "ssl_check_hostname": ("true", "false"),
}
"""Each with the values that it takes, if those are few."""
_SOCKET_OPTIONS: Final = {"db": None}
_TLS_SCHEMES: Final = frozenset({"rediss", "valkeys"})
_REDIS_SCHEMES: Final = frozenset({"redis", "valkey"}) | _TLS_SCHEMES
_SENTINEL_SCHEMES: Final = frozenset(f"{name}+sentinel" for name in _REDIS_SCHEMES)
_BROKER_SCHEMES: Final = _REDIS_SCHEMES | _SENTINEL_SCHEMES | {"sqlite", "memory", "unix"}
_DATABASE_SCHEMES: Final = frozenset({"sqlite", "postgresql"})


def read_broker_url(text: str) -> BackendUrl:
    """Parse a broker's address; ValueError names the expected form."""
    return _read(text, _BROKER_SCHEMES, BROKER_URLS)


def read_database_url(text: str) -> BackendUrl:
    """Parse a database's address; ValueError names the expected form."""
    return _read(text, _DATABASE_SCHEMES, DATABASE_URLS)


def sqlite_url(path: str) -> str:
    """Return the address of an SQLite file: three slashes and its path (so four if absolute)."""
    return SQLITE_PREFIX + path


def in_redis_database(url: BackendUrl, number: int) -> str:
    """Return the address of another database, by its number, of the Redis at an address."""
    parts = urlsplit(url.text)
    if url.path:
        others = [pair for pair in parse_qsl(parts.query) if pair[0] != "db"]
        return urlunsplit(parts._replace(query=urlencode([*others, ("db", str(number))])))
    service = parts.path.split("/")[1:2] if url.service else []
    return urlunsplit(parts._replace(path="/".join(["", *service, str(number)])))


def mask_password(url: str) -> str:
    """Return a single address with `***` for its password, and for the keys and tokens in its query."""
    return _TOKEN.sub(rf"\1{MASK}", _PASSWORD.sub(rf"\1:{MASK}@", url))


def mask_broken(text: str) -> str:
    """Return what was given for an address with its password masked, also where `://` is mistyped."""
    return mask_password(text) if "://" in text else _PASSWORD_OF_NO_URL.sub(f":{MASK}@", text)


def mask_passwords(message: str) -> str:
    """Return a message with the addresses in it masked, each up to its last `@` before a blank.

    Digits and a slash after a host are its port; a bracket before the colon cannot be part of a user's name.
    """
    return _TOKEN.sub(rf"\1{MASK}", _PASSWORD_IN_TEXT.sub(rf"\1:{MASK}@", message))


def absolute_path(path: str | Path) -> Path:
    """Return the absolute path, `~` resolved; ValueError names the expected form.

    It is raised if the home directory is not known, or the current directory was deleted.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError("a path whose home directory is known") from error
    except FileNotFoundError as error:
        raise ValueError("an absolute path, since the current directory was deleted") from error


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
    if scheme == "unix":
        return _unix(text)
    return _sentinel(text, scheme) if scheme in _SENTINEL_SCHEMES else _redis(text, scheme)


def _sqlite(text: str) -> BackendUrl:
    if not text.startswith(SQLITE_PREFIX):
        raise ValueError("sqlite:///PATH, with three slashes before the path (four if absolute)")
    path = text.removeprefix(SQLITE_PREFIX)
    if not path or path == ":memory:" or path.endswith("/") or "?" in path:
        raise ValueError("sqlite:///PATH with the path of a file, without options or ?")
    full = str(absolute_path(path))
    return BackendUrl(kind=BackendKind.SQLITE, text=sqlite_url(full), path=full)


def _redis(text: str, scheme: str) -> BackendUrl:
    right = f"{scheme}://[USER:PASSWORD@]HOST[:PORT][/DB] with DB a number"
    host, port, path = _parts(text, right)
    if not host or port == 0 or (path and not path.isdecimal()):
        raise ValueError(right)
    user, password = _login(urlsplit(text).netloc)
    return BackendUrl(
        kind=BackendKind.REDIS,
        text=text,
        hosts=(f"{host}:{port or 6379}",),
        database=path or "0",
        tls=scheme in _TLS_SCHEMES,
        user=user,
        password=password,
        options=_redis_options(text, scheme),
    )


def _unix(text: str) -> BackendUrl:
    right = "unix://[USER:PASSWORD@]/PATH[?db=NUMBER] with the absolute path of a socket"
    parts = urlsplit(text)
    if parts.netloc.rpartition("@")[2] or len(parts.path) < 2:
        raise ValueError(right)
    options = _redis_options(text, "unix")
    database = dict(options).get("db", "0")
    if not database.isdecimal():
        raise ValueError(right)
    user, password = _login(parts.netloc)
    return BackendUrl(
        kind=BackendKind.REDIS,
        text=text,
        path=unquote(parts.path),
        database=database,
        user=user,
        password=password,
        options=options,
    )


def _sentinel(text: str, scheme: str) -> BackendUrl:
    right = f"{scheme}://[USER:PASSWORD@]HOST1[:PORT],HOST2[:PORT]/SERVICE[/DB] with DB a number"
    address = text.removeprefix(f"{scheme}://").partition("#")[0].partition("?")[0]
    authority, _, path = address.partition("/")
    service, _, database = path.partition("/")
    found = [_parts(f"//{name}", right) for name in authority.rpartition("@")[2].split(",") if name]
    if not found or not service or (database and not database.isdecimal()):
        raise ValueError(right)
    if any(not host or port == 0 or rest for host, port, rest in found):
        raise ValueError(right)
    user, password = _login(authority)
    name = scheme.removesuffix("+sentinel")
    return BackendUrl(
        kind=BackendKind.SENTINEL,
        text=text,
        hosts=tuple(f"{host}:{port or 26379}" for host, port, _ in found),
        service=unquote(service),
        database=database or "0",
        tls=name in _TLS_SCHEMES,
        user=user,
        password=password,
        options=_redis_options(text, scheme),
    )


def _login(authority: str) -> tuple[str, str]:
    user, _, password = authority.rpartition("@")[0].partition(":")
    return unquote(user), unquote(password)


def _redis_options(text: str, scheme: str) -> tuple[tuple[str, str], ...]:
    """Read the options of an address: a closed list, since the library accepts any name as its own."""
    parts = urlsplit(text)
    if parts.fragment:
        raise ValueError(f"{scheme}://… without #; in a password write it as %23")
    given = parse_qsl(parts.query, keep_blank_values=True)
    known: Mapping[str, tuple[str, ...] | None] = {}
    if scheme == "unix":
        known = _SOCKET_OPTIONS
    elif scheme.removesuffix("+sentinel") in _TLS_SCHEMES:
        known = _TLS_OPTIONS
    for name, value in given:
        if name not in known:
            raise ValueError(_unknown(name, scheme, known))
        values = known[name]
        if not value or (values and value not in values):
            raise ValueError(f"the option {name} with {' or '.join(values or ('a value',))}")
    names = [name for name, _ in given]
    if len(set(names)) < len(names):
        raise ValueError("each option only once")
    if "ssl_keyfile" in names and "ssl_certfile" not in names:
        raise ValueError("the option ssl_keyfile only together with ssl_certfile")
    return tuple(given)


def _unknown(name: str, scheme: str, known: Mapping[str, object]) -> str:
    if name in _TLS_OPTIONS and scheme != "unix":
        secure = scheme.replace("redis", "rediss").replace("valkey", "valkeys")
        return f"{secure}:// for the option {name}: {scheme}:// has no TLS"
    taken = f"the options are {', '.join(known)}" if known else f"{scheme}:// takes none"
    return f"no option {name!r}: {taken}"


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
