"""The connection of the heartbeat thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from hms_svc.brokers.redis import worker_calls
from hms_svc.brokers.redis.calls import Answer, ScriptCall
from hms_svc.brokers.redis.clients import close_blocking_client
from hms_svc.brokers.redis.exchange import Argument
from hms_svc.brokers.redis.keys import worker_field
from hms_svc.brokers.redis.link import Link, error_text
from hms_svc.brokers.redis.scripts import Script, script
from hms_svc.brokers.type_limits import limits_text
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.job import LeaseToken
from hms_svc.ports.broker import WorkerRegistration


class RedisLeaseKeeper:
    """Renews leases and the register entry, each in one round trip that may be repeated."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._client: Redis | None = None

    def extend(self, tokens: Sequence[LeaseToken], lease_ms: int) -> list[LeaseToken]:
        """Renew leases from now; return the tokens that no longer own their job."""
        return [tokens[index] for index in self._run(worker_calls.extend(tokens, lease_ms))]

    def register(self, worker: WorkerRegistration) -> None:
        """Add or renew a worker in the register, and remove stale entries."""
        now = self._link.clock.now_ms()
        declared, limits = dict(worker.priorities), dict(worker.limits)
        keyed = dict(worker.keyed_limits)
        self._run(
            worker_calls.register(
                worker_field(worker.id),
                registration=msgspec.json.encode(worker),
                now=now,
                types=[
                    (
                        type,
                        declared.get(type, 0),
                        limits_text(limits.get(type, ())),
                        limits_text(keyed.get(type, ())),
                    )
                    for type in worker.types
                ],
            )
        )

    def close(self) -> None:
        """Release the connection."""
        if self._client is not None:
            close_blocking_client(self._client)
            self._client = None

    def _run(self, call: ScriptCall[Answer]) -> Answer:
        return call.read(self._ask(script(call.name), self._link.command(call)))

    def _ask(self, found: Script, command: list[Argument]) -> Any:
        try:
            if self._client is None:
                self._client = self._link.clients.for_lease_keeper()
            try:
                return self._client.execute_command("EVALSHA", found.digest, *command)  # type: ignore[no-untyped-call]  # untyped in redis-py
            except NoScriptError:
                return self._client.execute_command("EVAL", found.text, *command)  # type: ignore[no-untyped-call]  # untyped in redis-py
        except (RedisError, OSError) as error:
            self.close()
            raise BrokerUnavailable(
                f"heartbeat to {self._link.address}: {error_text(error)}"
            ) from error
