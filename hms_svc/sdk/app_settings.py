"""Settings of an application: its pydantic model, read from its section of the settings."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from hms_svc.domain.app_sections import TABLE, Given, Sections, variable_of
from hms_svc.domain.backend_url import MASK, mask_broken, mask_password
from hms_svc.domain.errors import BadInput, BadSetting
from hms_svc.domain.suggestions import did_you_mean
from hms_svc.machine import read_secret

if TYPE_CHECKING:
    from pydantic import BaseModel

    from hms_svc.sdk.resources import Scopes

_NAME: Final = re.compile(r"(?!.*__)[a-z][a-z0-9_]{0,39}")
_FILE: Final = "_file"
_SECRETS: Final = frozenset({"SecretStr", "SecretBytes"})
Section = Mapping[str, Given]


def check_section_name(name: object) -> None:
    """Raise BadInput for what cannot be the name of a section."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadInput(
            f"registry.settings {name!r:.80} is not the name of a section, such as permits: a-z, 0-9 "
            'and _: @registry.settings("permits")'
        )


def check_settings(name: str, model: object) -> None:
    """Raise BadInput for what cannot be the settings of an application."""
    from pydantic import BaseModel

    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise BadInput(
            f"registry.settings {name}: {model!r:.80} is not a class derived from pydantic.BaseModel"
        )


def read_app_settings(
    scopes: Scopes, sections: Sections, *, without: Container[Any] = ()
) -> dict[type[BaseModel], BaseModel]:
    """Return the settings of all applications, by their model, except models that are in `without`.

    Raises BadSetting naming setting, value, origin and what would be right.
    """
    return {
        model: _read(name, model, sections.get(name, {}))
        for name, model in _models_of(scopes).items()
        if model not in without
    }


def check_app_settings(scopes: Scopes, sections: Sections) -> None:
    """Raise BadSetting for wrong settings, and for a section that no application declares."""
    known = _models_of(scopes)
    for name, section in sections.items():
        if name not in known:
            source = next((given.source for given in section.values()), "empty")
            raise BadSetting(
                f"no application declares the settings {TABLE}.{name} ({source})"
                f"{did_you_mean(name, known)}"
            )
    read_app_settings(scopes, sections)


def shown_app_settings(scopes: Scopes, sections: Sections) -> Iterator[tuple[str, object, str]]:
    """Return name, value and origin of each setting of the applications; secrets are masked."""
    models = _models_of(scopes)
    for model, instance in read_app_settings(scopes, sections).items():
        [name] = [name for name, each in models.items() if each is model]
        values = instance.model_dump(mode="json", by_alias=True)
        section = sections.get(name, {})
        for key in model.model_fields:
            shown = _key_of(model, key)
            given = section.get(shown) or section.get(shown + _FILE)
            value = values.get(shown, values.get(key))
            is_masked = type(getattr(instance, key)).__name__ in _SECRETS
            yield (
                f"{TABLE}.{name}.{shown}",
                MASK if is_masked else mask_password(value) if isinstance(value, str) else value,
                "default" if given is None else given.source,
            )


def _models_of(scopes: Scopes) -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}
    for scope in scopes.all():
        for name, model in scope.settings.items():
            if found.setdefault(name, model) is not model:
                raise BadSetting(
                    f"the settings {TABLE}.{name} are declared twice: by {_named(found[name])} and "
                    f"by {_named(model)}"
                )
    return found


def _named(model: type[BaseModel]) -> str:
    return f"{model.__module__}.{model.__qualname__}"


def _key_of(model: type[BaseModel], field: str) -> str:
    return model.model_fields[field].alias or field


def _read(name: str, model: type[BaseModel], section: Section) -> BaseModel:
    keys = {_key_of(model, field): field for field in model.model_fields}
    values: dict[str, Any] = {}
    origins: dict[str, Given] = {}
    for key, given in section.items():
        target, value = _value_of(name, key, given, keys)
        if target in values:
            raise BadSetting(
                f"settings {TABLE}.{name}.{target} and {TABLE}.{name}.{target}{_FILE} are both given "
                f"({origins[target].source}, {given.source}): expected only one of them"
            )
        values[target], origins[target] = value, given
    return _validated(name, model, values, origins)


def _value_of(name: str, key: str, given: Given, keys: Mapping[str, str]) -> tuple[str, Any]:
    """Return the setting that a key sets, and the value: for `api_key_file`, the content of that file."""
    target = key.removesuffix(_FILE)
    if key in keys or target not in keys:
        if key in keys:
            return key, given.value
        raise BadSetting(
            f"unknown setting {TABLE}.{name}.{key} ({given.source}){did_you_mean(key, keys)}"
        )
    try:
        return target, read_secret(Path(str(given.value)))
    except ValueError as error:
        raise BadSetting(
            f"setting {TABLE}.{name}.{key} ({given.source}): file {str(given.value)!r} {error}"
        ) from error


def _validated(
    name: str, model: type[BaseModel], values: dict[str, Any], origins: Mapping[str, Given]
) -> BaseModel:
    from pydantic import ValidationError

    try:
        try:
            return model.model_validate(values)
        except ValidationError as error:
            decoded = _with_json(values, {str(fault["loc"][0]) for fault in _faults(error)})
            if decoded == values:
                raise
            return model.model_validate(decoded)
    except ValidationError as error:
        raise BadSetting(_described(name, model, _faults(error)[0], values, origins)) from None
    except Exception as error:
        raised = f"{model.__name__} raised {type(error).__name__}: {error}"
        raise BadSetting(f"settings {TABLE}.{name} are wrong: {raised}") from error


def _faults(error: Any) -> list[Any]:
    faults: list[Any] = error.errors(include_url=False)
    return [{**fault, "loc": fault["loc"] or ("",)} for fault in faults]


def _with_json(values: dict[str, Any], wrong: set[str]) -> dict[str, Any]:
    """Return the values, with lists and tables that are given as text, as in the environment, decoded."""
    decoded = dict(values)
    for key in wrong & values.keys():
        if isinstance(values[key], str) and values[key][:1] in ("[", "{"):
            try:
                decoded[key] = json.loads(values[key])
            except ValueError:
                continue
    return decoded


def _described(
    name: str,
    model: type[BaseModel],
    fault: Mapping[str, Any],
    values: Mapping[str, Any],
    origins: Mapping[str, Given],
) -> str:
    key = str(fault["loc"][0])
    path = ".".join(str(step) for step in (TABLE, name, *fault["loc"]) if step != "")
    if key not in values:
        if fault["type"] == "missing":
            return (
                f"setting {path} is missing: set {key} in [{TABLE}.{name}] of the configuration file, "
                f"or {variable_of(name, key)}"
            )
        return f"settings {path} are wrong: {fault['msg']}"
    shown = MASK if _is_secret(model, key) else f"{mask_broken(str(fault['input']))!r:.200}"
    return f"setting {path} = {shown} ({origins[key].source}) is wrong: {fault['msg']}"


def _is_secret(model: type[BaseModel], key: str) -> bool:
    """Return whether a setting is a SecretStr or SecretBytes, or one or None."""
    for field, info in model.model_fields.items():
        if key in (field, info.alias):
            kinds = (info.annotation, *get_args(info.annotation))
            return any(getattr(kind, "__name__", "") in _SECRETS for kind in kinds)
    return False
