"""What an address of PostgreSQL says, and what is refused before anything is opened."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from hms_svc.domain.backend_url import read_database_url
from hms_svc.domain.errors import BadSetting
from hms_svc.persistence.postgres_address import PostgresAddress, read_postgres_address


def read(text: str) -> PostgresAddress:
    return read_postgres_address(read_database_url(text))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (
            "postgresql://host/city",
            PostgresAddress(host="host", port=5432, database="city"),
        ),
        (
            "postgresql://ada:p%40s%2Fs@host:6000/the%20city",
            PostgresAddress(
                host="host", port=6000, database="the city", user="ada", password="p@s/s"
            ),
        ),
        (
            "postgresql://ada:p@ss@[::1]/city?search_path=one&application_name=me",
            PostgresAddress(
                host="::1",
                port=5432,
                database="city",
                user="ada",
                password="p@ss",
                search_path="one",
                application_name="me",
            ),
        ),
        (
            "postgresql:///city?host=/var/run/postgresql&sslmode=disable",
            PostgresAddress(
                host="/var/run/postgresql", port=5432, database="city", tls="sslmode=disable"
            ),
        ),
    ],
)
def test_an_address_is_read(text: str, address: PostgresAddress) -> None:
    assert read(text) == address


def test_certificates_are_found_before_the_start(tmp_path: Path) -> None:
    root = tmp_path / "root & branch.crt"
    root.touch()
    escaped = quote(str(root), safe="")
    address = read(f"postgresql://host/city?sslmode=verify-full&sslrootcert={escaped}")
    assert address.tls == f"sslmode=verify-full&sslrootcert={escaped}"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("ssl=on", r"unknown option 'ssl': known are sslmode"),
        ("sslmode=on", r"sslmode 'on': expected one of disable"),
        ("sslrootcert=/nowhere", r"sslrootcert '/nowhere': expected the path"),
        ("search_path=", r"'search_path' without a value"),
    ],
)
def test_an_option_that_cannot_be_is_named_with_what_would_be_right(
    option: str, words: str
) -> None:
    with pytest.raises(BadSetting, match=words):
        read(f"postgresql://host/city?{option}")


def test_an_address_shows_neither_user_nor_password() -> None:
    assert str(read("postgresql://ada:hush@host/city")) == "PostgreSQL at host:5432/city"
