"""Parsing the agencies file: TOML to senders and receivers, with the place of each fault."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from hms_svc.domain.agencies import Agencies, EventMapping, Receiver, Sender
from hms_svc.domain.errors import BadSetting
from hms_svc.domain.ids import JOB_TYPE
from hms_svc.domain.job import INTERNAL_TYPES
from hms_svc.domain.signatures import signing_key
from hms_svc.domain.web_address import read_web_address
from hms_svc.machine import read_text_file

_Named = TypeVar("_Named", Sender, Receiver)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_JOB: Final = re.compile(
    f"(?!(?:{'|'.join(map(re.escape, sorted(INTERNAL_TYPES)))})$){JOB_TYPE.pattern}"
)
_ANYTHING: Final = re.compile(r".+", re.DOTALL)
_SECRET: Final = re.compile(r".{8,}", re.DOTALL)
_NAME_RIGHT: Final = "a name such as hms-act: a-z, 0-9, ., _ and -"
_SECRET_RIGHT: Final = "a secret of 8 characters or more"  # noqa: S105 - describes one
_GLOBS_RIGHT: Final = 'a list of globs such as ["case.*"]'


def load_agencies(path: Path | None) -> Agencies:
    """Read an agencies file; None is no agencies. Raises BadSetting with file and place."""
    if path is None:
        return Agencies()
    try:
        text = read_text_file(path)
    except ValueError as error:
        raise BadSetting(f"{path}: the agencies file {error}") from error
    return read_agencies(text, str(path))


def read_agencies(text: str, name: str) -> Agencies:
    """Read agencies from TOML text; `name` precedes the place in every BadSetting."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(f"{name}: not TOML: {error}") from error
    top = _Table(document, name, ("sender", "receiver"))
    return Agencies(
        senders=tuple(
            _once(top, "sender", ("name", "source", "secret", "secrets", "map"), _sender)
        ),
        receivers=tuple(
            _once(top, "receiver", ("name", "url", "secret", "types", "allow_private"), _receiver)
        ),
    )


class _Table:
    """One table of the file, and the place that its faults are reported with."""

    def __init__(self, values: Mapping[str, Any], place: str, known: tuple[str, ...]) -> None:
        self._values = values
        self.place = place
        for key in values:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                right = f"did you mean {close[0]}" if close else f"the keys are {', '.join(known)}"
                raise self.fault(f"unknown key {key!r:.60}; {right}")

    def fault(self, message: str) -> BadSetting:
        return BadSetting(f"{self.place}: {message}")

    def has(self, key: str) -> bool:
        return key in self._values

    def text(
        self, key: str, right: str, pattern: re.Pattern[str] = _ANYTHING, *, shown: bool = True
    ) -> str:
        if key not in self._values:
            raise self.fault(f"{key} is missing: expected {right}")
        return self._checked(key, self._values[key], right, pattern, shown)

    def texts(
        self, key: str, right: str, pattern: re.Pattern[str] = _ANYTHING, *, shown: bool = True
    ) -> tuple[str, ...]:
        values = self._values.get(key)
        if not isinstance(values, list) or not values:
            fault = "is wrong" if key in self._values else "is missing"
            raise self.fault(f"{key} {fault}: expected {right}")
        return tuple(self._checked(key, value, right, pattern, shown) for value in values)

    def flag(self, key: str) -> bool:
        value = self._values.get(key, False)
        if not isinstance(value, bool):
            raise self.fault(f"{key} {value!r:.60} is wrong: expected true or false")
        return value

    def tables(self, key: str, known: tuple[str, ...]) -> list[_Table]:
        values = self._values.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise self.fault(f"{key} must be a list of tables, each [[…{key}]]")
        return [
            _Table(value, f"{self.place}: {key} {number}", known)
            for number, value in enumerate(values, start=1)
        ]

    def _checked(
        self, key: str, value: object, right: str, pattern: re.Pattern[str], shown: bool
    ) -> str:
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        raise self.fault(f"{key}{f' {value!r:.60}' if shown else ''} is wrong: expected {right}")


def _once(
    top: _Table, key: str, known: tuple[str, ...], read: Callable[[_Table], _Named]
) -> list[_Named]:
    found: dict[str, _Named] = {}
    for table in top.tables(key, known):
        made = read(table)
        if made.name in found:
            raise table.fault(f"name {made.name!r} is used by two {key}s")
        found[made.name] = made
    return list(found.values())


def _sender(table: _Table) -> Sender:
    return Sender(
        name=table.text("name", _NAME_RIGHT, _NAME),
        source=table.text("source", "a glob such as /hms-a2a/*"),
        secrets=_secrets(table),
        mappings=tuple(
            EventMapping(
                event=mapping.text("event", "a glob such as gov.city.pothole.*"),
                job=mapping.text(
                    "job", "a job type such as pothole.report, not one reserved for hms-svc", _JOB
                ),
            )
            for mapping in table.tables("map", ("event", "job"))
        ),
    )


def _receiver(table: _Table) -> Receiver:
    url = table.text("url", "an address such as https://host/path")
    read_web_address(url, f"{table.place}: url")
    return Receiver(
        name=table.text("name", _NAME_RIGHT, _NAME),
        url=url,
        secret=_secret(table, table.text("secret", _SECRET_RIGHT, _SECRET, shown=False)),
        types=table.texts("types", _GLOBS_RIGHT),
        allow_private=table.flag("allow_private"),
    )


def _secrets(table: _Table) -> tuple[str, ...]:
    if table.has("secret") and table.has("secrets"):
        raise table.fault("secret and secrets are both given: expected only one of them")
    if table.has("secrets"):
        right = f"a list, of each {_SECRET_RIGHT}"
        given = table.texts("secrets", right, _SECRET, shown=False)
    elif table.has("secret"):
        given = (table.text("secret", _SECRET_RIGHT, _SECRET, shown=False),)
    else:
        return ()
    return tuple(_secret(table, secret) for secret in given)


def _secret(table: _Table, secret: str) -> str:
    signing_key(secret, f"{table.place}: a secret")
    return secret
