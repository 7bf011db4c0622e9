"""The version of the installed program."""

from __future__ import annotations

import functools
from typing import Final

DISTRIBUTION: Final = "hms-svc"
CLIENT: Final = "hms-svc-client"
"""The distribution for programs that only enqueue jobs: the same package with fewer libraries."""


@functools.cache
def version() -> str:
    """Return the version of the installed distribution, such as `0.1.0`."""
    installed = installed_distributions()
    return installed.get(DISTRIBUTION) or installed[CLIENT]


def installed_distributions() -> dict[str, str]:
    """Return the installed distributions of this package, each name with its version."""
    from importlib import metadata

    found = {}
    for name in (DISTRIBUTION, CLIENT):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
