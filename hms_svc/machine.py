"""What its surroundings give a process: folders, the name of its user, files of text.

Each of them may be missing: no HOME, a user id that has no name, a file of another encoding.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hms_svc.domain.utf8 import read_text


def config_folder(app: str) -> Path | None:
    """Return the folder of the user's configuration, None where no home is known."""
    from platformdirs import user_config_path

    try:
        return user_config_path(app, appauthor=False).absolute()
    except RuntimeError:
        return None


def data_folder(app: str) -> Path | None:
    """Return the folder of the user's data, None where no home is known."""
    from platformdirs import user_data_path

    try:
        return user_data_path(app, appauthor=False).absolute()
    except RuntimeError:
        return None


def passing_folder(app: str) -> Path:
    """Return a folder, of this user's name, for what may be gone tomorrow."""
    import tempfile

    return Path(tempfile.gettempdir()) / f"{app}-{os.getuid()}"


def login_name() -> str:
    """Return the user's name, `uid-1000` where the id has none."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid-{os.getuid()}"


def file_fault(path: Path) -> str:
    """Return why a path cannot be the file that is wanted; empty where it can."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    return "is a folder" if stat.S_ISDIR(mode) else ""


def read_text_file(path: Path) -> str:
    """Read a file in UTF-8, with or without a byte-order mark.

    ValueError says what is wrong with it, in words that follow its name.
    """
    try:
        return read_text(path.read_bytes())
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"is {error}") from error
