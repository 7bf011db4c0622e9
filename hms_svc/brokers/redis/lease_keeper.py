"""The connection of the heartbeat thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from hms_svc.brokers.limits import STALE_MS
from hms_svc.brokers.redis.clients import close_blocking_client
from hms_svc.brokers.redis.link import Link, error_text, new_nonce
from hms_svc.brokers.redis.record import worker_field
from hms_svc.brokers.redis.scripts import script
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
        pairs = [argument for token in tokens for argument in (token.job_id, token.fence)]
        lost = self._run("extend", lease_ms, *pairs)
        return [tokens[place - 1] for place in lost]

    def register(self, worker: WorkerRegistration) -> None:
        """Add or renew a worker in the register, and remove stale entries."""
        now = self._link.clock.now_ms()
        declared = dict(worker.priorities)
        priorities = [
            argument for type in worker.types for argument in (type, declared.get(type, 0))
        ]
        registration = msgspec.json.encode(worker)
        self._run("register", worker_field(worker.id), registration, now, STALE_MS, *priorities)

    def close(self) -> None:
        """Release the connection."""
        if self._client is not None:
            close_blocking_client(self._client)
            self._client = None

    def _run(self, name: str, *arguments: Any) -> Any:
        found = script(name)
        call = [1, self._link.keys.prefix, *self._link.times(), new_nonce(), *arguments]
        try:
            if self._client is None:
                self._client = self._link.clients.for_lease_keeper()
            try:
                return self._client.execute_command("EVALSHA", found.digest, *call)  # type: ignore[no-untyped-call]  # untyped in redis-py
            except NoScriptError:
                return self._client.execute_command("EVAL", found.text, *call)  # type: ignore[no-untyped-call]  # untyped in redis-py
        except (RedisError, OSError) as error:
            self.close()
            raise BrokerUnavailable(
                f"heartbeat to {self._link.address}: {error_text(error)}"
            ) from error
