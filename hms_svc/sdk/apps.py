"""Applications: registries that a setting, an option or an installed package names."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from hms_svc.domain.errors import BadInput, BadSetting
from hms_svc.sdk.registry import Registry

GROUP = "hms_svc.apps"
_NAMES_LINE: Final = re.compile(r"\.py:\d+: ")
"""In the error of a declaration: its place."""


def installed_apps() -> list[str]:
    """Return the applications that installed packages name, as `module:registry`."""
    if not any(map(_may_name_apps, sys.path)):
        return []
    from importlib.metadata import entry_points

    return [point.value for point in entry_points(group=GROUP)]


def _may_name_apps(folder: str) -> bool:
    """Return whether a package in a folder of the import path may name applications.

    Reading the files is a tenth of the work of loading `importlib.metadata`, which most
    installations then need for nothing. Archives are left to it.
    """
    try:
        packages = [each.path for each in os.scandir(folder or ".") if _is_metadata(each.name)]
    except NotADirectoryError:
        return True
    except OSError:
        return False
    return any(map(_names_apps, packages))


def _is_metadata(name: str) -> bool:
    return name.lower().endswith(("dist-info", "egg-info"))


def _names_apps(package: str) -> bool:
    try:
        with open(f"{package}/entry_points.txt", "rb") as file:
            return GROUP.encode() in file.read()
    except OSError:
        return False


def load_app(name: str) -> Registry:
    """Import the registry that `module:registry` names.

    Raises BadSetting if there is none, or if importing the module fails, with the line of
    the application; BadInput if a declaration in it is wrong.
    """
    module_name, _, attribute = name.partition(":")
    try:
        _find_in_current_folder(module_name)
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        raise BadSetting(f"module {error.name!r} was not found{_line_of(error)}") from error
    except Exception as error:
        if isinstance(error, BadInput) and _NAMES_LINE.search(str(error)):
            raise
        raised = f"{type(error).__name__}: {error}"
        raise BadSetting(f"importing {module_name} raised {raised}{_line_of(error)}") from error
    found = getattr(module, attribute, None)
    if isinstance(found, Registry):
        return found
    registries = [each for each, value in vars(module).items() if isinstance(value, Registry)]
    known = f"; there are: {', '.join(registries)}" if registries else ""
    if found is None:
        where = f" ({module.__file__})" if module.__file__ else ""
        raise BadSetting(f"{module_name} has no registry {attribute!r}{known}{where}")
    raise BadSetting(f"{attribute} is {type(found).__name__}, not a Registry{known}")


def source_folders(name: str) -> list[tuple[Path, bool]]:
    """Return the folders with the source of `module:registry`, each with whether it is a package.

    Nothing is imported; empty if the module is not found.
    """
    top = name.partition(":")[0].partition(".")[0]
    _find_in_current_folder(top)
    found = find_spec(top)
    if found is None:
        return []
    if found.submodule_search_locations:
        return [(Path(folder), True) for folder in found.submodule_search_locations]
    return [(Path(found.origin).parent, False)] if found.has_location and found.origin else []


def check_injection(registry: Registry, apps: Sequence[str]) -> None:
    """Raise BadSetting if a parameter of the applications has no resource, or more than one."""
    from hms_svc.sdk.injection import Injection

    try:
        Injection(registry)
    except BadInput as error:
        raise BadSetting(f"app {', '.join(apps)}: {error}") from error


def _find_in_current_folder(module_name: str) -> None:
    """Add the current directory to the end of the import path, if this module is nowhere else."""
    if find_spec(module_name.partition(".")[0]) is None:
        with suppress(FileNotFoundError):  # the current directory was deleted
            sys.path.append(str(Path.cwd()))


def _line_of(error: Exception) -> str:
    """Return the line at which importing failed, if it is a line of the application."""
    frames = traceback.extract_tb(error.__traceback__)[2:]  # after ours and import_module's
    own = [frame for frame in frames if not frame.filename.startswith("<frozen")]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
