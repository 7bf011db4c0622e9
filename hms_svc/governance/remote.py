"""A policy service at a URL. Without a valid answer nothing is allowed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from hms_svc.domain.errors import BadSetting, PolicyUnavailable
from hms_svc.domain.verdict import Effect, Verdict
from hms_svc.ports.policy import Question
from hms_svc.ports.tls import ssl_context_of

if TYPE_CHECKING:
    from httpx import AsyncClient

MAX_ANSWER_BYTES: Final = 64 * 1024


class _RemoteVerdict(msgspec.Struct, frozen=True):
    effect: Effect
    rule: str
    reason: str = ""


class RemotePolicy:
    """Posts `{"action", "payload", "job"}` and reads `{"effect", "rule", "reason"}`.

    Belongs to the event loop of its first call. Redirects and proxies are not used: the
    answer comes from the configured address or not at all.
    """

    def __init__(
        self, url: str, *, timeout_seconds: float = 5.0, ca_file: Path | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadSetting(f"policy_url {url!r} is not an http:// or https:// address")
        self._url = url
        self._shown = f"{parts.scheme}://{parts.hostname}"
        self._timeout_seconds = timeout_seconds
        self._verify = ssl_context_of(ca_file) if parts.scheme == "https" else False
        self._client: AsyncClient | None = None

    async def decide(self, question: Question) -> Verdict:
        """Return the service's verdict; raise PolicyUnavailable if there is no valid one."""
        import httpx

        try:
            async with asyncio.timeout(self._timeout_seconds):
                status, body = await self._ask(question)
        except TimeoutError as error:
            seconds = f"{self._timeout_seconds:g} s"
            raise PolicyUnavailable(f"{self._shown}: no verdict within {seconds}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PolicyUnavailable(f"{self._shown}: {type(error).__name__}: {error}") from error
        if status != httpx.codes.OK:
            raise PolicyUnavailable(f"{self._shown}: status {status} instead of 200")
        try:
            answer = msgspec.json.decode(body, type=_RemoteVerdict)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise PolicyUnavailable(f"{self._shown}: not a verdict: {error}") from error
        return Verdict(answer.effect, answer.rule, answer.reason)

    def rule_text(self, rule: str) -> str:
        """Return an empty text: the service does not publish its rules."""
        return ""

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _ask(self, question: Question) -> tuple[int, bytes]:
        client = self._client = self._client or self._connect()
        job = {"id": question.job_id, "type": question.job_type, "attempt": question.attempt}
        request = msgspec.json.encode(
            {"action": question.action, "payload": question.payload, "job": job}
        )
        headers = {"content-type": "application/json", "accept": "application/json"}
        async with client.stream("POST", self._url, content=request, headers=headers) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise PolicyUnavailable(
                        f"{self._shown}: the answer has more than {MAX_ANSWER_BYTES} bytes"
                    )
            return response.status_code, bytes(body)

    def _connect(self) -> AsyncClient:
        import httpx

        return httpx.AsyncClient(
            verify=self._verify,
            timeout=self._timeout_seconds,
            follow_redirects=False,
            trust_env=False,
        )
