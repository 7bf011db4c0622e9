"""How the values of settings are parsed, whether they come from a file, the environment or an option."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

from hms_svc.domain.errors import BadInput, BadSetting
from hms_svc.domain.time_zones import time_zone
from hms_svc.domain.utf8 import has_surrogates

if TYPE_CHECKING:
    from hms_svc.domain.backend_url import BackendUrl

PLACES: Final = frozenset(
    {"broker_url", "database_url", "data_dir", "namespace", "profile", "production"}
)
"""The settings that identify an installation: a context inherits none of them."""
Reader = Callable[[object], Any]
"""Parses a value from file, environment or option; ValueError names the expected form."""


def number(low: float, high: float, unit: str = "seconds") -> Reader:
    """Return a reader of a number in a range, whole or not, also as text."""

    def read(value: object) -> float:
        right = f"a number of {unit} from {low:g} to {high:g}"
        try:
            number = float(value) if not isinstance(value, bool) else None  # type: ignore[arg-type]  # the TypeError is caught
        except (TypeError, ValueError):
            number = None
        if number is None or not low <= number <= high:
            raise ValueError(right)
        return number

    return read


def whole(low: int, high: int) -> Reader:
    """Return a reader of a whole number in a range, also as text."""

    def read(value: object) -> int:
        text = str(value).strip()
        if isinstance(value, bool | float) or not re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
            raise ValueError(f"a whole number from {low} to {high}")
        if not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return read


def text(pattern: str, right: str) -> Reader:
    """Return a reader of text that matches a pattern and that UTF-8 can encode."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not _fits(pattern, value):
            raise ValueError(right)
        return value

    return read


def choice(*allowed: str) -> Reader:
    """Return a reader of one of several names, ignoring case."""
    folded = {name.casefold(): name for name in allowed}

    def read(value: object) -> str:
        found = folded.get(value.casefold()) if isinstance(value, str) else None
        if found is None:
            raise ValueError("one of " + ", ".join(allowed))
        return found

    return read


def flag(value: object) -> bool:
    """Parse a boolean, in one of the usual spellings."""
    found = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if str(value).casefold() not in found:
        raise ValueError("true or false")
    return found[str(value).casefold()]


def text_list(pattern: str, right: str) -> Reader:
    """Return a reader of a list, or of items separated by commas, each of which matches a pattern."""

    def read(value: object) -> tuple[str, ...]:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise ValueError(right)
        found = tuple(item.strip() if isinstance(item, str) else "" for item in items)
        if not all(_fits(pattern, item) for item in found):
            raise ValueError(right)
        return found

    return read


def networks(value: object) -> tuple[str, ...]:
    """Parse a list of IP addresses and networks, or items separated by commas."""
    right = "a list of IP addresses or networks, such as 127.0.0.1 or 10.0.0.0/8"
    try:
        return tuple(str(ip_network(item)) for item in text_list(r"\S+", right)(value))
    except ValueError as error:
        raise ValueError(right) from error


def _fits(pattern: str, value: str) -> bool:
    return re.fullmatch(pattern, value) is not None and not has_surrogates(value)


def zone(value: object) -> str:
    """Parse the name of a time zone; empty is none."""
    if not isinstance(value, str):
        raise ValueError("a time zone such as Europe/Paris")
    if value:
        try:
            time_zone(value)
        except BadInput as error:
            raise ValueError(f"a time zone such as Europe/Paris ({error})") from error
    return value


def address(read_url: Callable[[str], BackendUrl]) -> Reader:
    """Return a reader of the address of a broker or database."""

    def read(value: object) -> str:
        return read_url(value if isinstance(value, str) else "").text

    return read


def take_table(content: dict[str, Any], name: str, file: str) -> dict[str, Any]:
    """Remove a table from the content of the configuration file and return it; empty if there is none."""
    found = content.pop(name, {})
    if not isinstance(found, dict):
        raise BadSetting(f"setting {name} ({file}) is wrong: expected a table, [{name}]")
    return found


def settings_of_context(contexts: Mapping[str, Any], name: str, file: str) -> dict[str, Any]:
    """Return the settings of a context in the configuration file; its name is its profile, unless it names another.

    Raises BadSetting for an unknown context, and for one that leaves the place of its queue or of its
    cases to the defaults, which are those of this machine.
    """
    found = contexts.get(name)
    if not isinstance(found, dict):
        from hms_svc.domain.backend_url import mask_broken

        shown = mask_broken(name)  # it may be an address that was meant for another option
        known = (
            ", ".join(sorted(contexts))
            or f"none: [contexts.{shown}] in the configuration file defines one"
        )
        raise BadSetting(
            f"no context {shown!r}{f' ({file})' if file else ''}; the contexts are {known}"
        )
    try:
        flag(found.get("read_only", False))
    except ValueError as error:
        raise BadSetting(
            f"setting read_only of context {name} is wrong: expected {error}"
        ) from error
    if "data_dir" not in found and not {"broker_url", "database_url"} <= found.keys():
        raise BadSetting(
            f"context {name} does not say where its queue and its cases are: set broker_url and "
            "database_url, or data_dir"
        )
    return {"profile": name, **found}
