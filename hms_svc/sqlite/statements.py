"""Named SQL statements, read from files of their own beside the code that runs them."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_statements(package: str, file: str) -> dict[str, str]:
    """Read a file of statements, each under a line `-- name: …`, into a mapping by name."""
    text = files(package).joinpath(file).read_text()
    _, *parts = _NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
