"""The version of the installed program."""

from __future__ import annotations

import functools


@functools.cache
def version() -> str:
    """Return the version of the installed distribution, such as `0.1.0`."""
    from importlib import metadata

    return metadata.version("hms-svc")
