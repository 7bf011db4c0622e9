"""The addresses of Redis: a closed list of options, refused by name, and masks that eat no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from hms_svc.brokers.redis.address import read_redis_address
from hms_svc.domain.backend_url import (
    BackendKind,
    mask_password,
    mask_passwords,
    read_broker_url,
)
from hms_svc.domain.errors import BadSetting


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://h/0?foo=bar", "no option 'foo': redis:// takes none"),
        ("redis://h?socket_timeout=abc", "'socket_timeout'"),
        ("redis://h/0?decode_responses=true", "'decode_responses'"),
        ("redis://h/0?db=7", "'db'"),
        ("redis://h/0?ssl_ca_certs=/ca", "rediss:// for the option ssl_ca_certs"),
        ("valkey+sentinel://h/city?ssl_ca_certs=/ca", r"valkeys\+sentinel:// for the option"),
        ("rediss://h/0?sslrootcert=/ca", "'sslrootcert': the options are ssl_ca_certs, "),
        ("rediss://h/0?ssl_ca_certs=", "ssl_ca_certs with a value"),
        ("rediss://h/0?ssl_cert_reqs=maybe", "ssl_cert_reqs with required or none"),
        ("rediss://h/0?ssl_check_hostname=yes", "ssl_check_hostname with true or false"),
        ("rediss://h/0?ssl_keyfile=/k", "together with ssl_certfile"),
        ("rediss://h/0?ssl_ca_certs=/a&ssl_ca_certs=/b", "each option only once"),
        ("redis+sentinel://h/city?x=1", r"redis\+sentinel:// takes none"),
        ("redis+sentinel://h:port/city", "HOST1"),
        ("redis+sentinel://h/city/x", "DB a number"),
        ("redis://h:0/0", "HOST"),
        ("redis://h/0#1", "%23"),
        ("unix://host/run/redis.sock", "absolute path of a socket"),
        ("unix:///", "absolute path of a socket"),
        ("unix:///run/redis.sock?db=one", "absolute path of a socket"),
        ("unix:///run/redis.sock?ssl_ca_certs=/ca", "the options are db"),
    ],
)
def test_what_cannot_be_is_refused_by_name(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_broker_url(url)


@pytest.mark.parametrize("name", ["redis", "valkey"])
def test_each_scheme_has_one_of_valkey(name: str) -> None:
    plain, secure = read_broker_url(f"{name}://h/2"), read_broker_url(f"{name}s://h/2")
    assert (plain.kind, plain.tls, secure.kind, secure.tls) == (
        BackendKind.REDIS,
        False,
        BackendKind.REDIS,
        True,
    )
    fleet = read_broker_url(f"{name}s+sentinel://u:p%40ss@h1,[::1]:7/city/3")
    assert (fleet.kind, fleet.tls, fleet.hosts) == (
        BackendKind.SENTINEL,
        True,
        ("h1:26379", "::1:7"),
    )
    address = read_redis_address(fleet)
    assert address.sentinels == (("h1", 26379), ("::1", 7))
    assert address.login == {"username": "u", "password": "p@ss"}


def test_a_socket_is_a_path_with_a_database_and_a_login() -> None:
    url = read_broker_url("unix://u:p%2Fw@/run/a%20b.sock?db=4")
    assert (url.path, url.database, url.hosts) == ("/run/a b.sock", "4", ())
    address = read_redis_address(url)
    assert (address.socket, address.database) == ("/run/a b.sock", 4)
    assert address.login == {"username": "u", "password": "p/w"}


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, option: str) -> None:
    file = tmp_path / "no.pem"
    url = read_broker_url(f"rediss://h/0?{option}={file}")
    with pytest.raises(
        BadSetting, match=f"{option} '{file}': expected the path of a file that exists"
    ):
        read_redis_address(url)
    file.write_text("nothing")
    with pytest.raises(BadSetting, match=f"{option} '{file}': expected PEM"):
        read_redis_address(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0?x=a@b", "redis://h:6379/0?x=a@b"),
        ("redis://h:6379?x=a@b", "redis://h:6379?x=a@b"),
        ("redis://u:pw@h/0?x=a@b", "redis://u:***@h/0?x=a@b"),
        ("redis://u:p@ss/w?rd@h/0?x=a@b", "redis://u:***@h/0?x=a@b"),
        ("redis://u:p?x=1@h", "redis://u:***@h"),
        ("unix://u:pw@/run/redis.sock", "unix://u:***@/run/redis.sock"),
        ("rediss://h?ssl_keyfile=/k&sslkey=/k", "rediss://h?ssl_keyfile=/k&sslkey=/k"),
        ("https://h/?key=1&sslkeys=2", "https://h/?key=***&sslkeys=***"),
    ],
)
def test_the_mask_hides_the_password_and_nothing_else(url: str, shown: str) -> None:
    assert mask_password(url) == shown
    assert mask_passwords(f"{url} is away") == f"{shown} is away"
