"""How the values of settings are read, whether a file, the environment or an option gave them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import Any, Final

from hms_svc.domain.errors import BadSetting
from hms_svc.domain.utf8 import has_surrogates

PLACES: Final = frozenset(
    {"broker_url", "database_url", "data_dir", "namespace", "profile", "production"}
)
"""What says which installation is meant: a context takes none of it from elsewhere."""
Reader = Callable[[object], Any]
"""Reads a value as file, environment or option gave it; ValueError says what would be right."""


def number(low: float, high: float, unit: str = "seconds") -> Reader:
    """Read a number in a range, whole or not, also as text."""

    def read(value: object) -> float:
        right = f"a number of {unit} from {low:g} to {high:g}"
        try:
            number = float(value) if not isinstance(value, bool) else None  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = None
        if number is None or not low <= number <= high:
            raise ValueError(right)
        return number

    return read


def whole(low: int, high: int) -> Reader:
    """Read a whole number in a range, also as text."""

    def read(value: object) -> int:
        text = str(value).strip()
        if isinstance(value, bool | float) or not re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
            raise ValueError(f"a whole number from {low} to {high}")
        if not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return read


def text(pattern: str, right: str) -> Reader:
    """Read text that matches a pattern and that UTF-8 can carry."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not _fits(pattern, value):
            raise ValueError(right)
        return value

    return read


def choice(*allowed: str) -> Reader:
    """Read one of several names, whatever their case."""
    folded = {name.casefold(): name for name in allowed}

    def read(value: object) -> str:
        found = folded.get(value.casefold()) if isinstance(value, str) else None
        if found is None:
            raise ValueError("one of " + ", ".join(allowed))
        return found

    return read


def flag(value: object) -> bool:
    """Read yes or no, in one of the ways to write it."""
    found = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if str(value).casefold() not in found:
        raise ValueError("true or false")
    return found[str(value).casefold()]


def words(pattern: str, right: str) -> Reader:
    """Read a list, or words with commas between them, of which each matches a pattern."""

    def read(value: object) -> tuple[str, ...]:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise ValueError(right)
        found = tuple(item.strip() if isinstance(item, str) else "" for item in items)
        if not all(_fits(pattern, word) for word in found):
            raise ValueError(right)
        return found

    return read


def networks(value: object) -> tuple[str, ...]:
    """Read a list of IP addresses and networks, or words with commas between them."""
    right = "a list of IP addresses or networks, such as 127.0.0.1 or 10.0.0.0/8"
    try:
        return tuple(str(ip_network(word)) for word in words(r"\S+", right)(value))
    except ValueError as error:
        raise ValueError(right) from error


def _fits(pattern: str, value: str) -> bool:
    return re.fullmatch(pattern, value) is not None and not has_surrogates(value)


def take_table(content: dict[str, Any], name: str, file: str) -> dict[str, Any]:
    """Take a table out of the content of the configuration file; empty where there is none."""
    found = content.pop(name, {})
    if not isinstance(found, dict):
        raise BadSetting(f"setting {name} ({file}) is wrong: want a table, [{name}]")
    return found


def settings_of_context(contexts: Mapping[str, Any], name: str, file: str) -> dict[str, Any]:
    """Return what the configuration file says of a context; its name is its profile, unless it says another.

    Raises BadSetting for one that there is not, and for one that leaves the place of its queue or of its
    cases to the defaults, which are those of this machine.
    """
    found = contexts.get(name)
    if not isinstance(found, dict):
        known = (
            ", ".join(sorted(contexts))
            or f"none: [contexts.{name}] in the configuration file names one"
        )
        raise BadSetting(f"no context {name!r}{f' ({file})' if file else ''}; there are {known}")
    try:
        flag(found.get("read_only", False))
    except ValueError as error:
        raise BadSetting(f"read_only of context {name} is wrong: want {error}") from error
    if "data_dir" not in found and not {"broker_url", "database_url"} <= found.keys():
        raise BadSetting(
            f"context {name} does not say where its queue and its cases are: name broker_url and "
            "database_url, or data_dir"
        )
    return {"profile": name, **found}
