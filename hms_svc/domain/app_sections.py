"""Settings of applications as file and environment give them, before the application reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from hms_svc.domain.errors import BadSetting

TABLE: Final = "apps"
VARIABLE: Final = "HMS_SVC_APPS"
"""Has all sections as one JSON object, as processes pass them to their children."""
_PREFIX: Final = f"{VARIABLE}__"


class Given(msgspec.Struct, frozen=True):
    """A value, and where it comes from."""

    value: Any
    source: str


Sections: TypeAlias = Mapping[str, Mapping[str, Given]]
"""The values of each application's section, by their names."""


def read_sections(table: Mapping[str, Any], file: str, environ: Mapping[str, str]) -> Sections:
    """Return the sections of a configuration file, overridden by those of the environment."""
    found: dict[str, dict[str, Given]] = {}
    _add(found, table, file)
    if text := environ.get(VARIABLE):
        _add(found, _decoded(text), f"environment {VARIABLE}")
    for variable in sorted(environ):
        if is_of_application(variable) and (value := environ[variable]):
            name, _, key = variable.removeprefix(_PREFIX).lower().partition("__")
            if not name or not key:
                raise BadSetting(
                    f"environment variable {variable} is wrong: expected {_PREFIX}NAME__KEY"
                )
            found.setdefault(name, {})[key] = Given(value, f"environment {variable}")
    return found


def is_of_application(variable: str) -> bool:
    """Return whether an environment variable has one setting of an application."""
    return variable.startswith(_PREFIX)


def variable_of(name: str, key: str) -> str:
    """Return the environment variable of a setting of an application."""
    return f"{_PREFIX}{name}__{key}".upper()


def encode_sections(sections: Sections) -> str:
    """Return the sections as the value of HMS_SVC_APPS."""
    plain = {
        name: {key: given.value for key, given in section.items()}
        for name, section in sections.items()
    }
    return json.dumps(plain, default=str)


def _add(found: dict[str, dict[str, Given]], table: Mapping[str, Any], source: str) -> None:
    for name, section in table.items():
        if not isinstance(section, dict):
            raise BadSetting(
                f"setting {TABLE}.{name} ({source}) is wrong: expected a table, [{TABLE}.{name}]"
            )
        values = {key: Given(value, source) for key, value in section.items()}
        found.setdefault(name, {}).update(values)


def _decoded(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadSetting(
            f"environment variable {VARIABLE} is wrong: expected a JSON object with an object for "
            f"each application; {_PREFIX}NAME__KEY has one setting"
        )
    return found
