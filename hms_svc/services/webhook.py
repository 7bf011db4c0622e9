"""A signed webhook (standardwebhooks.com) that cannot be abused to reach the internal network."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult

from hms_svc.domain.addresses import is_public
from hms_svc.domain.errors import BadSetting, DeliveryFailed
from hms_svc.domain.signatures import sign, signing_key
from hms_svc.domain.trace_context import TraceContext
from hms_svc.domain.version import version
from hms_svc.domain.web_address import read_web_address
from hms_svc.ports.tls import ssl_context_of
from hms_svc.services.breaker import Breaker
from hms_svc.services.retry_after import retry_after_seconds

if TYPE_CHECKING:
    from httpx import AsyncClient, Response

TIMEOUT_SECONDS: Final = 10.0
_ASKS_FOR_TIME: Final = (429, 503)
DELIVERY_SLOTS: Final = 5
"""The most deliveries of one type that a worker has under way: they wait for other services."""


class Webhook:
    """One configured address. Its host is resolved once per delivery, and the address is pinned.

    Addresses that are not public are rejected unless the host
    is in `allowed_hosts` by name. Redirects are not followed, and proxies are not used.
    `name` is what errors call the address.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str,
        allowed_hosts: Sequence[str] = (),
        name: str = "webhook_url",
        timeout_seconds: float = TIMEOUT_SECONDS,
        now: Callable[[], float] = time.time,
        breaker: Breaker | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self._url = url
        self._name = name
        self._secret = secret
        self._allowed_hosts = frozenset(host.lower() for host in allowed_hosts)
        self._timeout_seconds = timeout_seconds
        self._now = now
        self._breaker = breaker or Breaker()
        self._ca_file = ca_file

    @property
    def configured(self) -> bool:
        """Whether there is an address to deliver to."""
        return bool(self._url)

    def check(self) -> None:
        """Raise BadSetting if the configured address cannot be delivered to."""
        if self.configured:
            signing_key(self._secret)
            if self._target().scheme == "https":
                ssl_context_of(self._ca_file)

    async def deliver(
        self,
        message_id: str,
        body: bytes,
        *,
        content_type: str = "application/json",
        trace: TraceContext | None = None,
    ) -> int:
        """Post JSON and return the 2xx status; anything else raises DeliveryFailed.

        Raises Snooze, without a request, while requests to an unresponsive receiver are paused.

        `message_id` is the same at every attempt, so that a receiver can detect repetitions;
        `trace` is sent in the headers of W3C Trace Context.
        """
        target = self._target()
        stamp = int(self._now())
        headers = {
            "content-type": content_type,
            "user-agent": f"hms-svc/{version()}",
            "webhook-id": message_id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": sign(self._secret, message_id, stamp, body),
            **(trace.headers() if trace is not None else {}),
        }
        with self._breaker.one_try(target.hostname or self._name):
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    addresses = await self._resolve(target)
                    return await self._post(target, addresses, headers, body)
            except TimeoutError as error:
                message = f"{target.hostname} did not answer within {self._timeout_seconds:g} s"
                raise DeliveryFailed(message) from error

    def _target(self) -> SplitResult:
        return read_web_address(self._url, self._name)

    async def _resolve(self, target: SplitResult) -> list[str]:
        host = target.hostname or ""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, _port(target), type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise DeliveryFailed(f"{host} cannot be resolved: {error}") from error
        addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        inner = [address for address in addresses if not is_public(address)]
        if inner and host.lower() not in self._allowed_hosts:
            raise DeliveryFailed(
                f"{host} is {inner[0]}, which is not a public address; "
                "allow the host by name in webhook_allowed_hosts"
            )
        return addresses

    async def _post(
        self, target: SplitResult, addresses: Sequence[str], headers: dict[str, str], body: bytes
    ) -> int:
        import httpx

        try:
            url = httpx.URL(self._url).copy_with(fragment=None)
        except httpx.InvalidURL as error:
            raise BadSetting(f"{self._name}: {error}") from error
        headers["host"] = url.netloc.decode()
        fault: Exception | None = None
        async with self._client(target.scheme) as client:
            for address in addresses:
                request = client.build_request(
                    "POST",
                    url.copy_with(host=address),
                    content=body,
                    headers=headers,
                    extensions={"sni_hostname": url.raw_host.decode()},
                )
                try:
                    response = await client.send(request, stream=True)
                except httpx.ConnectError as error:
                    fault = error
                    continue
                except httpx.HTTPError as error:
                    fault = error
                    break
                await response.aclose()
                return self._accepted(response, target)
        raise DeliveryFailed(f"{target.hostname} cannot be reached: {fault}") from fault

    def _accepted(self, response: Response, target: SplitResult) -> int:
        status = response.status_code
        if 200 <= status < 300:
            return status
        after = None
        if status in _ASKS_FOR_TIME:
            after = retry_after_seconds(response.headers.get("retry-after", ""), self._now())
        message = f"{target.hostname} answered {status}, not 2xx"
        if after:
            message += f", and requests a pause of {after:.0f} s"
        raise DeliveryFailed(message, status=status, retry_after_seconds=after)

    def _client(self, scheme: str) -> AsyncClient:
        import httpx

        return httpx.AsyncClient(
            verify=ssl_context_of(self._ca_file) if scheme == "https" else False,
            trust_env=False,
            follow_redirects=False,
            timeout=self._timeout_seconds,
        )


def _port(target: SplitResult) -> int:
    return target.port or (443 if target.scheme == "https" else 80)
