"""A private authority: believed where `ca_file` or SSL_CERT_FILE names it, by all that call out over TLS."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hms_svc.domain.errors import BadSetting, DeliveryFailed, PolicyUnavailable
from hms_svc.domain.verdict import Effect
from hms_svc.governance.remote import RemotePolicy
from hms_svc.ports.tls import ssl_context_of
from hms_svc.services.webhook import Webhook
from tests.support.local_http import LocalHttp, local_http
from tests.support.tls import Authority
from tests.unit.test_governance_remote import QUESTION

SECRET = "a-secret-of-the-city"
DELIVER = """
import asyncio, sys
from hms_svc.services.webhook import Webhook
webhook = Webhook(sys.argv[1], secret="a-secret-of-the-city", allowed_hosts=("127.0.0.1",))
print(asyncio.run(webhook.deliver("m-1", b"{}")))
"""


@pytest.fixture
async def theirs(tmp_path: Path) -> AsyncIterator[tuple[LocalHttp, Path]]:
    """A server of a private authority, and the file of its certificate."""
    authority = Authority(tmp_path)
    async with local_http(authority.issue("crew")) as served:
        yield served, authority.path


def webhook(url: str, ca_file: Path | None) -> Webhook:
    return Webhook(url, secret=SECRET, allowed_hosts=("127.0.0.1",), ca_file=ca_file)


async def test_a_webhook_is_delivered_to_who_the_authority_vouches_for(
    theirs: tuple[LocalHttp, Path],
) -> None:
    served, ca_file = theirs
    assert await webhook(served.url, ca_file).deliver("m-1", b"{}") == 200
    with pytest.raises(DeliveryFailed, match="CERTIFICATE_VERIFY_FAILED"):
        await webhook(served.url, None).deliver("m-1", b"{}")


async def test_a_policy_service_is_asked_that_the_authority_vouches_for(
    theirs: tuple[LocalHttp, Path],
) -> None:
    served, ca_file = theirs
    served.body = b'{"effect": "allow", "rule": "r1"}'
    policy = RemotePolicy(served.url, ca_file=ca_file)
    assert (await policy.decide(QUESTION)).effect is Effect.ALLOW
    await policy.close()
    stranger = RemotePolicy(served.url)
    with pytest.raises(PolicyUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        await stranger.decide(QUESTION)
    await stranger.close()


async def test_ssl_cert_file_is_heeded(theirs: tuple[LocalHttp, Path]) -> None:
    served, ca_file = theirs
    run = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        DELIVER,
        served.url,
        env={**os.environ, "SSL_CERT_FILE": str(ca_file)},
        stdout=subprocess.PIPE,
    )
    out, _ = await run.communicate()
    assert out == b"200\n"


def test_a_file_without_certificates_is_refused_by_name(tmp_path: Path) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate")
    with pytest.raises(BadSetting, match=r"ca_file .*/ca.pem contains no PEM certificates"):
        ssl_context_of(bad)
    with pytest.raises(BadSetting, match="ca_file"):
        webhook("https://crew.example", bad).check()
