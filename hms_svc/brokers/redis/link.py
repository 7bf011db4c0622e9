"""The connection to Redis: scripts and commands, safe retries, and translated errors."""

from __future__ import annotations

import asyncio
import random
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from hms_svc.brokers.redis.calls import ScriptCall
from hms_svc.brokers.redis.clients import Clients, Commands
from hms_svc.brokers.redis.exchange import Argument, close_client
from hms_svc.brokers.redis.keys import Keys
from hms_svc.brokers.redis.scripts import script
from hms_svc.brokers.redis.wire import ANSWERS
from hms_svc.domain.backend_url import BackendKind, BackendUrl, mask_password
from hms_svc.domain.errors import BadSetting, BrokerUnavailable
from hms_svc.ports.answer_timeout import AnswerBound
from hms_svc.ports.clock import Clock, SystemClock

Result = TypeVar("Result")
OLDEST_VERSION: Final = (7, 0)
_EARLIER_KEY: Final = "types"
"""A key that only versions with another format of records have."""
OPEN_SECONDS: Final = 8.0
"""How long opening may take in total, with several unresponsive Sentinels and a server."""
_TRIES: Final = 3
_PAUSE_SECONDS: Final = 0.1
_ITERATIONS_TO_CLOSE: Final = 3
"""Iterations of the loop that a transport needs to close after its connecting was cancelled."""
_LOST: Final = (RedisConnectionError, RedisTimeoutError, OSError)
_SENTINEL_REASON: Final = re.compile(r">\)> - (?:\w+:)*(\w+)")
"""Some versions of redis-py put a category before the name of the error: `network:ConnectionError`."""
_TOO_MANY: Final = "max number of clients"
_NOT_MASTER: Final = (ReadOnlyError, MasterDownError)


class Link:
    """Access to Redis for all modules of this broker. In tests `clock` replaces the server's TIME.

    With `bounded` a call to a server that does not respond ends after MOST_SECONDS; see
    AnswerBound. Otherwise it ends after three timeouts of the connection.
    """

    def __init__(
        self,
        url: BackendUrl,
        namespace: str,
        clients: Clients,
        clock: Clock | None = None,
        *,
        bounded: bool = False,
    ) -> None:
        self.url = url
        self.address = mask_password(url.text)
        self.keys = Keys(namespace)
        self.clients = clients
        self.clock = clock or SystemClock()
        self.has_own_clock = clock is not None
        self._commands: Commands | None = None
        self._waiting: AsyncRedis | None = None
        self.refused = 0
        """Calls of this process that the server refused because it is full."""
        self._probes: Commands | None = None
        self._is_bounded = False
        self._bound = AnswerBound(self.address, self._probe, BrokerUnavailable) if bounded else None

    async def open(self) -> None:
        """Connect within OPEN_SECONDS; raise BadSetting for an unsupported server."""
        self._commands = self.clients.for_commands()
        self._waiting = self.clients.for_waiting()
        # Some Sentinels may not respond: the others are tried after them.
        self._is_bounded = self.url.kind is not BackendKind.SENTINEL
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                self._check(await self.info())
                await self._check_format()
        except TimeoutError as error:
            await self.close()
            raise BrokerUnavailable(f"{self.address}: no answer in {OPEN_SECONDS:g} s") from error
        except BaseException:
            await self.close()
            raise
        self._is_bounded = True

    async def close(self) -> None:
        """Release all connections."""
        if self._bound is not None:
            await self._bound.close()
        for commands in (self._commands, self._probes):
            if commands is not None:
                await commands.close()
        if self._waiting is not None:
            await close_client(self._waiting)
        self._commands = self._probes = self._waiting = None
        for _ in range(_ITERATIONS_TO_CLOSE):
            await asyncio.sleep(0)

    @property
    def waiting(self) -> AsyncRedis:
        """The client for calls that block on the server."""
        if self._waiting is None:
            raise BrokerUnavailable(f"{self.address} is not open")
        return self._waiting

    async def info(self) -> dict[str, Any]:
        """Return the answer to INFO."""
        found: dict[str, Any] = await self.ask("INFO")
        return found

    async def ask(self, *command: Argument) -> Any:
        """Run one command that may be repeated."""
        return await self._repeat(lambda commands, _tries: commands.ask(*command))

    async def ask_all(self, command: Sequence[Sequence[Argument]]) -> list[Any]:
        """Run commands that may be repeated, in one round trip."""
        return (
            await self._repeat(lambda commands, _tries: commands.ask_all(command))
            if command
            else []
        )

    async def run(self, call: ScriptCall[Result], *, nonce: str | None = None) -> Result:
        """Run a script; it is repeated with the same nonce if its reply was lost."""
        answer, _ = await self.run_reported(call, nonce=nonce)
        return answer

    async def run_reported(
        self, call: ScriptCall[Result], *, nonce: str | None = None
    ) -> tuple[Result, bool]:
        """Run a script; return its answer and whether it was repeated."""
        found = script(call.name)
        command = self.command(call, nonce)
        tries_made = 0

        async def ask(commands: Commands, tries: int) -> Any:
            nonlocal tries_made
            tries_made = tries
            try:
                return await commands.ask("EVALSHA", found.digest, *command)
            except NoScriptError:
                return await commands.ask("EVAL", found.text, *command)

        return call.read(await self._repeat(ask)), tries_made > 0

    def command(self, call: ScriptCall[Any], nonce: str | None = None) -> list[Argument]:
        """Return what follows the script in the command that runs it."""
        return [1, self.keys.prefix, *self.times(), nonce or new_nonce(), call.arguments]

    def times(self) -> tuple[Argument, Argument]:
        """Return the wall and lease time for a script; empty to use the time of the server."""
        return (self.clock.now_ms(), self.clock.lease_ms()) if self.has_own_clock else ("", "")

    def lease_now(self, server_ms: int) -> int:
        """Return the lease time; `server_ms` is the time of the server."""
        return self.clock.lease_ms() if self.has_own_clock else server_ms

    async def _probe(self) -> None:
        """Send PING on a separate connection; any reply, including an error, counts."""
        if self._probes is None:
            self._probes = self.clients.for_probe()
        try:
            await self._probes.ask("PING")
        except ANSWERS:
            return
        except (RedisError, OSError) as error:
            if _TOO_MANY in str(error):
                return  # It responds, although it refuses the connection.
            raise BrokerUnavailable(f"{self.address}: {error_text(error)}") from error

    async def _repeat(self, call: Callable[[Commands, int], Awaitable[Result]]) -> Result:
        if self._bound is None or not self._is_bounded:
            return await self._retry(call)
        async with self._bound.hold():
            return await self._retry(call)

    async def _retry(self, call: Callable[[Commands, int], Awaitable[Result]]) -> Result:
        for tries in range(_TRIES):
            if self._commands is None:
                raise BrokerUnavailable(f"{self.address} is not open")
            try:
                return await call(self._commands, tries)
            except (BusyLoadingError, AuthenticationError, OutOfMemoryError) as error:
                self.refused += isinstance(error, OutOfMemoryError)
                if not isinstance(error, OutOfMemoryError):
                    # By now the address, or Sentinel, may lead to another server, or a login be accepted.
                    await self._commands.reconnect()
                raise BrokerUnavailable(f"{self.address}: {error_text(error)}") from error
            except _NOT_MASTER as error:
                await self._commands.reconnect()
                lost: Exception = error
            except _LOST as error:
                lost = error
            except RedisError as error:
                raise BrokerUnavailable(f"{self.address}: {error_text(error)}") from error
            if tries + 1 < _TRIES:
                await asyncio.sleep(_PAUSE_SECONDS * (tries + random.random()))
        raise BrokerUnavailable(f"{self.address}: {error_text(lost)}") from lost

    def _check(self, server: dict[str, Any]) -> None:
        if server.get("cluster_enabled"):
            raise BadSetting(
                f"broker_url {self.address}: Redis Cluster is not supported, because one step changes keys "
                "of several slots; use one Redis with replicas and Sentinel"
            )
        version = str(server.get("redis_version", ""))
        if version_of(version) < OLDEST_VERSION:
            raise BadSetting(
                f"broker_url {self.address}: Redis {version} is too old; expected 7.0 or later"
            )

    async def _check_format(self) -> None:
        """Raise BadSetting if the namespace has records of an earlier version."""
        if await self.ask("EXISTS", self.keys.ours(_EARLIER_KEY)):
            keys = f"{self.keys.prefix}*"
            raise BadSetting(
                f"broker_url {self.address}: an earlier version of hms-svc has jobs in the keys {keys}, "
                "which this version cannot read; finish them with that version (hms-svc serve --drain), "
                f"stop its processes and producers, and delete the keys {keys} but "
                f"{self.keys.ours('audit', 'heads')} (docs/fleet.md)"
            )


def version_of(text: str) -> tuple[int, ...]:
    """Return the numbers of a version such as 7.0.15."""
    return tuple(int(part) for part in text.split(".") if part.isdecimal())


def error_text(error: BaseException) -> str:
    """Return the text of an error in one line. Some errors of redis-py have none; one prints objects."""
    text = str(error) or type(error).__name__
    if not isinstance(error, MasterNotFoundError):
        return text
    reasons = " and ".join(dict.fromkeys(_SENTINEL_REASON.findall(text)))
    why = f"no Sentinel could be reached ({reasons})" if reasons else "no Sentinel knows it"
    return f"{text.partition(' : ')[0]}: {why}"


def new_nonce() -> str:
    """Return a unique id for one call, which is the same when the call is repeated."""
    return secrets.token_hex(6)


def new_mark() -> int:
    """Return a number that identifies the settlements of a claim; it is the same when one is repeated."""
    return secrets.randbits(31) + 2
