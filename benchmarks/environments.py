"""Environments of the peers, made from the package indexes of Python and Node.js, versions pinned."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from functools import cache
from pathlib import Path

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
MODULES = {"bullmq": ("bullmq@6.7.0", "ioredis@5.9.3")}


@cache
def python_of(name: str) -> str | None:
    """Return the interpreter of a peer, with its packages installed; None where they cannot be."""
    home = DATA / f"bench-venv-{name}"
    python = os.fspath(home / "bin" / "python")

    def install() -> None:
        venv.create(home, with_pip=True, clear=True)
        _run(python, "-m", "pip", "install", "--quiet", *PACKAGES[name])

    return python if _is_installed(name, home, PACKAGES[name], install) else None


@cache
def modules_of(name: str) -> str | None:
    """Return the folder in which Node.js finds a peer; None where it cannot be installed."""
    home = DATA / f"bench-node-{name}"

    def install() -> None:
        home.mkdir(exist_ok=True)
        _run("npm", "install", "--silent", "--prefix", os.fspath(home), *MODULES[name])

    return os.fspath(home) if _is_installed(name, home, MODULES[name], install) else None


def _is_installed(
    name: str, home: Path, packages: tuple[str, ...], install: Callable[[], None]
) -> bool:
    mark, wanted = home / "ready", "\n".join(packages)
    if not mark.exists() or mark.read_text() != wanted:
        try:
            install()
        except (subprocess.SubprocessError, OSError) as error:
            print(f"skipped: {name} cannot be installed ({error})", file=sys.stderr)
            return False
        mark.write_text(wanted)
    print(f"{name}: {', '.join(packages)}", file=sys.stderr)
    return True


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=600)
