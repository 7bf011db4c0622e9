"""The environment of a process: directories, the name of its user, text files.

Each of them may be missing: no HOME, a user id that has no name, a file of another encoding.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hms_svc.domain.backend_url import absolute_path
from hms_svc.domain.errors import BadSetting
from hms_svc.domain.utf8 import read_text


def config_folder(app: str) -> Path | None:
    """Return the directory of the user's configuration, None if no home is known."""
    from platformdirs import user_config_path

    try:
        return user_config_path(app, appauthor=False).absolute()
    except RuntimeError:
        return None


def data_folder(app: str) -> Path | None:
    """Return the directory of the user's data, None if no home is known."""
    from platformdirs import user_data_path

    try:
        return user_data_path(app, appauthor=False).absolute()
    except RuntimeError:
        return None


def passing_folder(app: str) -> Path:
    """Return a directory, named after this user, for temporary files."""
    import tempfile

    return Path(tempfile.gettempdir()) / f"{app}-{os.getuid()}"


def login_name() -> str:
    """Return the user's name, or `uid-1000` if the id has none."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid-{os.getuid()}"


def file_fault(path: Path) -> str:
    """Return why a path is not a usable file; empty if it is."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except OSError as error:
        return f"cannot be accessed: {error.strerror}"
    return "is a directory" if stat.S_ISDIR(mode) else ""


def read_secret(path: Path) -> str:
    """Read a text file without the newline at its end; ValueError as `read_text_file`."""
    if fault := file_fault(path):
        raise ValueError(fault)
    return read_text_file(path).removesuffix("\n").removesuffix("\r")


def read_text_file(path: Path) -> str:
    """Read a file in UTF-8, with or without a byte-order mark.

    ValueError describes the fault, in a form that follows the file's name.
    """
    try:
        return read_text(path.read_bytes())
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"is {error}") from error


def path_value(value: object) -> Path:
    """Parse a path; relative ones are resolved. ValueError names the expected form."""
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ValueError("a path")
    return absolute_path(value)


def file_value(value: object) -> Path:
    """Parse the path of a file that exists. ValueError names the expected form."""
    path = path_value(value)
    if fault := file_fault(path):
        right = "the path of a file that exists"
        raise ValueError(right if fault == "does not exist" else f"{right}: this one {fault}")
    return path


def secret_in(path: str, variable: str) -> str:
    """Read the secret in the file that an environment variable names; BadSetting says what is wrong."""
    try:
        return read_secret(path_value(path))
    except ValueError as error:
        raise BadSetting(f"environment variable {variable}: file {path!r:.200} {error}") from error
