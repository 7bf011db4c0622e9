"""Applications: registries that a setting, an option or an installed package names."""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from hms_svc.domain.errors import BadInput, BadSetting
from hms_svc.sdk.registry import Registry

GROUP = "hms_svc.apps"


def installed_apps() -> list[str]:
    """Return the applications that installed packages name, as `module:registry`."""
    from importlib.metadata import entry_points

    return [point.value for point in entry_points(group=GROUP)]


def load_app(name: str) -> Registry:
    """Import the registry that `module:registry` names.

    Raises BadSetting where there is none, or importing the module fails, with the line of
    the application; BadInput where a declaration in it is wrong.
    """
    module_name, _, attribute = name.partition(":")
    try:
        _find_in_current_folder(module_name)
        module = import_module(module_name)
    except BadInput:
        raise
    except ModuleNotFoundError as error:
        raise BadSetting(f"no module {error.name!r} on the path{_line_of(error)}") from error
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise BadSetting(f"importing {module_name} raised {told}{_line_of(error)}") from error
    found = getattr(module, attribute, None)
    if isinstance(found, Registry):
        return found
    there = [each for each, value in vars(module).items() if isinstance(value, Registry)]
    known = f"; there are: {', '.join(there)}" if there else ""
    if found is None:
        raise BadSetting(f"{module_name} has no registry {attribute!r}{known}")
    raise BadSetting(f"{attribute} is {type(found).__name__}, not a Registry{known}")


def _find_in_current_folder(module_name: str) -> None:
    """Let modules of the current folder be found, behind all others, if this one is nowhere else."""
    if find_spec(module_name.partition(".")[0]) is None:
        with suppress(FileNotFoundError):  # a current folder that was deleted
            sys.path.append(str(Path.cwd()))


def _line_of(error: Exception) -> str:
    """Name the line at which importing ended, where a line of the application ran."""
    frames = traceback.extract_tb(error.__traceback__)[2:]  # behind ours and import_module's
    own = [frame for frame in frames if not frame.filename.startswith("<frozen")]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
