"""The address of a Redis and its credentials, as arguments of redis-py, validated at the start."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from hms_svc.domain.backend_url import TLS_FILES, BackendKind, BackendUrl
from hms_svc.domain.errors import BadSetting

_CHECK_HOSTNAME: Final = "ssl_check_hostname"


class RedisAddress(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to connect to a host and port, a `socket`, or the master known to `sentinels`.

    `login` and `tls` are arguments of redis-py's connections; `tls` is empty without TLS.
    """

    host: str = ""
    port: int = 0
    socket: str = ""
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    database: int = 0
    login: dict[str, str] = msgspec.field(default_factory=dict)
    tls: dict[str, Any] = msgspec.field(default_factory=dict)


def read_redis_address(url: BackendUrl) -> RedisAddress:
    """Return the address of a Redis; raise BadSetting if a file that it names cannot be used."""
    hosts = [_host(text) for text in url.hosts]
    is_behind_sentinel = url.kind is BackendKind.SENTINEL
    host, port = hosts[0] if hosts and not is_behind_sentinel else ("", 0)
    login = {"username": url.user, "password": url.password}
    return RedisAddress(
        host=host,
        port=port,
        socket=url.path,
        sentinels=tuple(hosts) if is_behind_sentinel else (),
        service=url.service,
        database=int(url.database),
        login={name: value for name, value in login.items() if value},
        tls=_tls(dict(url.options)) if url.tls else {},
    )


def _host(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _tls(given: dict[str, str]) -> dict[str, Any]:
    for name in TLS_FILES:
        if name in given and not Path(given[name]).is_file():
            raise BadSetting(
                f"broker_url has {name} {given[name]!r}: expected the path of a file that exists"
            )
    _load(given, "ssl_ca_certs")
    _load(given, "ssl_certfile")
    check = given.get(_CHECK_HOSTNAME, "true") == "true"
    return {"ssl": True, **given, _CHECK_HOSTNAME: check}


def _load(given: Mapping[str, str], name: str) -> None:
    """Load a file as the connection will; a key with a passphrase would prompt on the terminal."""
    if name not in given:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if name == "ssl_ca_certs":
            context.load_verify_locations(given[name])
        else:
            context.load_cert_chain(given[name], given.get("ssl_keyfile"), password="")
    except (OSError, ValueError) as error:
        key = f" with the key {given['ssl_keyfile']!r}" if "ssl_keyfile" in given else ""
        beside = "" if name == "ssl_ca_certs" else key
        raise BadSetting(
            f"broker_url has {name} {given[name]!r}{beside}: expected PEM that can be read without a "
            f"passphrase ({error})"
        ) from error
