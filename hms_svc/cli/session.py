"""One run of a command: its settings, and the engines it asks for."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from hms_svc.cli.root import complain
from hms_svc.domain.errors import DatabaseUnavailable, SchemaMismatch

if TYPE_CHECKING:
    from hms_svc.bootstrap import Backend
    from hms_svc.operations.service import Operations
    from hms_svc.ports.stores import Database
    from hms_svc.settings import Loaded, Settings

Result = TypeVar("Result")


class Session:
    """What the shared options said, and what comes of it. Settings are read when first asked for."""

    def __init__(
        self, overrides: Mapping[str, object], *, config_path: Path | None, read_only: bool
    ) -> None:
        self.overrides = dict(overrides)
        self._config_path = config_path
        self._read_only = read_only

    @cached_property
    def loaded(self) -> Loaded:
        """The settings with their origins; warnings are said once, on standard error."""
        from hms_svc.settings import load_settings

        loaded = load_settings(self.overrides, config_path=self._config_path)
        for warning in loaded.warnings:
            complain(f"warning: {warning}")
        return loaded

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.loaded.settings

    @asynccontextmanager
    async def backend(self) -> AsyncIterator[Backend]:
        """Open the broker alone."""
        from hms_svc.bootstrap import backend

        async with backend(self.settings) as opened:
            yield opened

    @asynccontextmanager
    async def operations(self, *, database: bool = True) -> AsyncIterator[Operations]:
        """Open the operator service; without `database` one that cannot be reached is left out."""
        from hms_svc.operations.service import make_operations

        async with self.backend() as opened:
            stores = await self._open_database(needed=database)
            try:
                yield make_operations(
                    self.settings,
                    broker=opened.broker,
                    inspection=opened.inspection,
                    control=opened.control,
                    bus=opened.bus,
                    database=stores,
                    read_only=self._read_only,
                )
            finally:
                if stores is not None:
                    await stores.close()

    async def _open_database(self, *, needed: bool) -> Database | None:
        from hms_svc.bootstrap import database

        stores = database(self.settings)
        try:
            await stores.open()
        except (DatabaseUnavailable, SchemaMismatch):
            if needed:
                raise
            return None
        return stores


def run(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run the asynchronous part of a command."""
    import asyncio

    gc.enable()
    return asyncio.run(work())


def session_of(context: typer.Context) -> Session:
    """Give the session of a command's context."""
    session = context.obj
    assert isinstance(session, Session)
    return session
