"""One run of a command: its settings, and the engines that it opens."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from hms_svc.cli.root import complain
from hms_svc.domain.errors import DatabaseUnavailable, Refused, SchemaMismatch
from hms_svc.domain.local_time import ZONE
from hms_svc.domain.setting_values import PLACES

if TYPE_CHECKING:
    from hms_svc.operations.service import Operations
    from hms_svc.ports.backend import Backend
    from hms_svc.ports.database import Database, DatabaseHealth
    from hms_svc.ports.policy import Policy
    from hms_svc.sdk.registry import Registry
    from hms_svc.settings import Loaded, Settings

Result = TypeVar("Result")


class Session:
    """The shared options, and what follows from them. Settings are loaded on first use."""

    def __init__(
        self,
        overrides: Mapping[str, object],
        *,
        config_path: Path | None,
        read_only: bool,
        environ: Mapping[str, str] | None = None,
        context: str = "",
    ) -> None:
        self._environ = environ
        self.context = context
        self.overrides = dict(overrides)
        self._config_path = config_path
        self._is_read_only = read_only

    @cached_property
    def loaded(self) -> Loaded:
        """The settings with their origins; warnings are printed once, on standard error."""
        from hms_svc.settings import load_settings

        loaded = load_settings(
            self.overrides,
            config_path=self._config_path,
            environ=self._environ,
            context=self.context,
        )
        ZONE.set(loaded.settings.time_zone)
        for warning in loaded.warnings:
            complain(f"warning: {warning}")
        return loaded

    @property
    def settings(self) -> Settings:
        """The settings of this command, which are read when they are first needed."""
        return self.loaded.settings

    @property
    def read_only(self) -> bool:
        """Whether nothing may be changed: because of an option, or of the context."""
        return self._is_read_only or (bool(self.context) and self.loaded.read_only)

    def in_context(self, name: str) -> Session:
        """Return the session of another context of the same configuration; an empty name means none.

        Options that identify an installation only apply to this session.
        """
        kept = {key: value for key, value in self.overrides.items() if key not in PLACES | {"app"}}
        return Session(
            kept,
            config_path=self._config_path,
            read_only=self._is_read_only,
            environ=self._environ,
            context=name,
        )

    def check_writable(self, command: str) -> None:
        """Raise Refused in read-only mode, for a command that changes something by itself."""
        if self.read_only:
            raise Refused(f"{command} is not allowed: this session is read-only")

    @asynccontextmanager
    async def backend(self, *, bounded: bool = True) -> AsyncIterator[Backend]:
        """Open the broker alone; for `bounded` see `bootstrap.backend`."""
        from hms_svc.bootstrap import backend

        async with backend(self.settings, bounded=bounded) as opened:
            yield opened

    @asynccontextmanager
    async def operations(
        self, *, database: bool = True, with_rules: bool = False
    ) -> AsyncIterator[Operations]:
        """Open the operator service; without `database`, an unreachable one is left out.

        `with_rules` also loads the application and its policy, for dry runs.
        """
        from hms_svc.operations.service import make_operations

        async with AsyncExitStack() as stack:
            registry, policy = await self._rules(stack) if with_rules else (None, None)
            opened = await stack.enter_async_context(self.backend())
            stores, away = await self._open_database(needed=database)
            if stores is not None:
                stack.push_async_callback(stores.close)
            yield make_operations(
                self.settings,
                broker=opened.broker,
                inspection=opened.inspection,
                control=opened.control,
                bus=opened.bus,
                database=stores,
                read_only=self.read_only,
                registry=registry,
                policy=policy,
                database_away=away,
            )

    async def _rules(self, stack: AsyncExitStack) -> tuple[Registry, Policy]:
        from hms_svc.bootstrap import application, policy

        rules = policy(self.settings)
        stack.push_async_callback(rules.close)
        return application(self.settings), rules

    async def _open_database(
        self, *, needed: bool
    ) -> tuple[Database | None, DatabaseHealth | None]:
        """Return the database, or why it cannot be opened if it is optional."""
        from hms_svc.bootstrap import database
        from hms_svc.ports.database import DatabaseHealth

        stores = database(self.settings, bounded=True)
        try:
            await stores.open()
        except (DatabaseUnavailable, SchemaMismatch) as error:
            if needed:
                raise
            kind = self.settings.database.kind
            return None, DatabaseHealth(kind, ok=False, notes=(str(error),))
        return stores, None


def run(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run the asynchronous part of a command."""
    import asyncio

    gc.freeze()  # modules and classes stay: the first collection would look through all of them
    gc.enable()
    return asyncio.run(work())


def session_of(context: typer.Context) -> Session:
    """Return the session of a command's context."""
    session = context.obj
    assert isinstance(session, Session)
    return session
