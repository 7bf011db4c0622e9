"""Virtual environments of the peers, made from the package index, versions pinned."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from functools import cache

from benchmarks.stage import DATA

_REDIS = ("redis==8.1.0", "hiredis==3.5.0")
PACKAGES = {
    "huey": ("huey==3.5.4",),
    "dramatiq": ("dramatiq==2.2.1", *_REDIS, "psycopg[binary]==3.3.9"),
    "taskiq": (
        *("taskiq==0.13.0", "taskiq-redis==1.2.4", "uvloop==0.23.0", "orjson==3.13.0"),
        *("asyncpg==0.32.0", *_REDIS),
    ),
    "saq": (
        *("saq==0.26.4", "redis==7.4.1", "hiredis==3.5.0", "uvloop==0.23.0", "orjson==3.13.0"),
        *("asyncpg==0.32.0", "typing-extensions==4.16.0"),
    ),
    "loop": ("hiredis==3.5.0", "msgspec==0.22.0", "uvloop==0.23.0"),
}
"""SAQ refuses redis-py 8, and has the newest that it takes."""


@cache
def python_of(name: str) -> str | None:
    """Return the interpreter of a peer, with its packages installed; None where they cannot be."""
    home = DATA / f"bench-venv-{name}"
    python = os.fspath(home / "bin" / "python")
    mark, wanted = home / "ready", "\n".join(PACKAGES[name])
    if not mark.exists() or mark.read_text() != wanted:
        try:
            venv.create(home, with_pip=True, clear=True)
            install = [python, "-m", "pip", "install", "--quiet", *PACKAGES[name]]
            subprocess.run(install, check=True, timeout=600)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"skipped: {name} cannot be installed ({error})", file=sys.stderr)
            return None
        mark.write_text(wanted)
    print(f"{name}: {', '.join(PACKAGES[name])}", file=sys.stderr)
    return python
