"""The embedded files of a bench: made once in a process, and then copied, which takes a fraction of the time."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hms_svc import bootstrap
from hms_svc.settings import Settings

_contents: Final[dict[str, bytes]] = {}


async def make_files(settings: Settings) -> None:
    """Make the files of broker and database, with their tables and nothing in them."""
    paths = [Path(settings.broker.path), Path(settings.database.path)]
    if _contents:
        for path in paths:
            path.write_bytes(_contents[path.name])
        return
    database = bootstrap.database(settings)
    async with bootstrap.backend(settings):
        await database.open()
        await database.close()
    _contents.update((path.name, path.read_bytes()) for path in paths)
