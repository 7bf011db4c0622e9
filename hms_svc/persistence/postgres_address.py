"""The address of a PostgreSQL and its credentials, validated at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec

from hms_svc.domain.backend_url import BackendUrl
from hms_svc.domain.errors import BadSetting

TLS_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_FILES: Final = ("sslrootcert", "sslcert", "sslkey")
_OPTIONS: Final = ("sslmode", *_FILES, "search_path", "application_name", "host")


class PostgresAddress(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to connect. `host` may be the folder of a Unix socket; `tls` is a query of libpq.

    Without a user or password the defaults of libpq apply: the login name, PGPASSWORD, ~/.pgpass.
    """

    host: str
    port: int
    database: str
    user: str | None = None
    password: str | None = None
    search_path: str = ""
    application_name: str = "hms-svc"
    tls: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"PostgreSQL at {host}:{self.port}/{self.database}"


def read_postgres_address(url: BackendUrl) -> PostgresAddress:
    """Parse `postgresql://[USER[:PASSWORD]@]HOST[:PORT]/NAME[?OPTION=…&…]`; raise BadSetting if invalid."""
    parts = urlsplit(url.text)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, value in given.items():
        _check_option(name, value)
    host, _, port = url.hosts[0].rpartition(":")
    shown = {name: given[name] for name in ("search_path", "application_name") if name in given}
    tls = [(name, given[name]) for name in ("sslmode", *_FILES) if name in given]
    return PostgresAddress(
        host=given.get("host") or unquote(host),
        port=int(port),
        database=url.database,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=urlencode(tls, quote_via=quote),
        **shown,
    )


def _check_option(name: str, value: str) -> None:
    if name not in _OPTIONS:
        raise BadSetting(
            f"database_url has the unknown option {name!r}: known are {', '.join(_OPTIONS)}"
        )
    if name == "sslmode" and value not in TLS_MODES:
        raise BadSetting(
            f"database_url has sslmode {value!r}: expected one of {', '.join(TLS_MODES)}"
        )
    if name in _FILES and not Path(value).is_file():
        raise BadSetting(
            f"database_url has {name} {value!r}: expected the path of a file that exists"
        )
    if not value:
        raise BadSetting(f"database_url has the option {name!r} without a value")
