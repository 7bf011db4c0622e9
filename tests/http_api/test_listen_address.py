"""Where the HTTP server listens: on this machine, or with tokens, or with TLS."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from hms_svc.domain.errors import BadInput, BadSetting
from hms_svc.http_api.exposure import check_exposure
from hms_svc.http_api.listen_socket import is_loopback, listen, split_address
from hms_svc.http_api.settings_check import check_http_settings
from hms_svc.operations.tokens import Scope
from hms_svc.settings import Settings
from tests.support.api import ApiService, ServiceMaker
from tests.support.http_wire import status_of


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:0", True),
        ("127.3.2.1:0", True),
        ("localhost:0", True),
        ("[::1]:0", True),
        ("0.0.0.0:0", False),
        ("0:0", False),
        ("[::]:0", False),
        ("[::ffff:0.0.0.0]:0", False),
    ],
)
def test_only_an_address_of_this_machine_alone_is_loopback(address: str, local: bool) -> None:
    if address.startswith("[") and not has_ipv6():
        pytest.skip("no IPv6 here")
    with listen(address) as bound:
        assert is_loopback(bound) is local


def has_ipv6() -> bool:
    try:
        listen("[::1]:0").close()
    except BadInput:
        return False
    return True


@pytest.mark.parametrize("address", ["8710", ":8710", "localhost:", "localhost:http", "h:99999"])
def test_an_address_that_is_none_says_what_would_be_right(address: str) -> None:
    with pytest.raises(BadInput, match=r"127\.0\.0\.1:8710"):
        split_address(address)


async def test_an_address_that_others_reach_needs_tokens(service: ApiService) -> None:
    with listen("0.0.0.0:0") as everywhere, listen("127.0.0.1:0") as here:
        with pytest.raises(BadSetting, match="hms-svc tokens create"):
            await check_exposure(
                service.api.settings, everywhere, service.api.authentication.is_open
            )
        await check_exposure(service.api.settings, here, service.api.authentication.is_open)
        await service.token(Scope.VIEW)
        await check_exposure(service.api.settings, everywhere, service.api.authentication.is_open)


def self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hms-svc test")])
    now = dt.datetime.now(dt.UTC)
    here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([here]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "server.crt", folder / "server.key"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, private


def keyed(folder: Path) -> tuple[Path, Path]:
    folder.mkdir()
    return self_signed(folder)


def test_settings_with_which_no_server_starts_are_named(settings: Settings, tmp_path: Path) -> None:
    certificate, key = keyed(tmp_path / "ours")
    _, other = keyed(tmp_path / "other")
    junk, both, locked = tmp_path / "junk.pem", tmp_path / "both.pem", tmp_path / "locked.key"
    junk.write_text("-----BEGIN CERTIFICATE-----\njunk\n-----END CERTIFICATE-----\n")
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    private = load_pem_private_key(key.read_bytes(), None)
    told = (Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase"))
    locked.write_bytes(private.private_bytes(*told))
    ours = {"jwt_issuer": "https://login.example", "jwt_audience": "hms-svc"}
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("http_tls_certificate .* is not a certificate", {"http_tls_certificate": junk}),
        ("http_tls_certificate .* set http_tls_key", {"http_tls_certificate": certificate}),
        ("http_tls_key .* requires http_tls_certificate", {"http_tls_key": key}),
        *(
            (
                f"http_tls_key .*{each.name}",
                {"http_tls_certificate": certificate, "http_tls_key": each},
            )
            for each in (other, junk, locked)
        ),
        ("requires jwt_issuer and jwt_audience", {"jwks_url": "https://login.example/keys"}),
        ("jwt_issuer .* requires jwks_url", ours),
        (
            "jwks_url http://login.example .* https",
            {"jwks_url": "http://login.example/keys", **ours},
        ),
    ]
    for match, changed in wrong:
        with pytest.raises(BadSetting, match=match):
            check_http_settings(replace(settings, **changed))
    for right in (
        {},
        {"http_tls_certificate": both},
        {"http_tls_certificate": certificate, "http_tls_key": key},
        {"jwks_url": "http://127.0.0.1/keys", **ours},
        {"jwks_url": "https://login.example", **ours},
    ):
        check_http_settings(replace(settings, **right))


async def test_https_takes_jobs_with_modern_ciphers_only(
    make_service: ServiceMaker, tmp_path: Path
) -> None:
    certificate, private = self_signed(tmp_path)
    service = await make_service(http_tls_certificate=certificate, http_tls_key=private)
    trusting = ssl.create_default_context(cafile=str(certificate))
    url = f"https://127.0.0.1:{service.port}"
    async with httpx.AsyncClient(base_url=url, verify=trusting) as client:
        answer = await client.post(
            "/jobs", json={"type": "crew.notify", "data": {"case_id": "x"}}, headers={"origin": url}
        )
        assert answer.status_code == 202
        foreign = {"origin": url.replace("https", "http")}
        assert (await client.get("/queues", headers=foreign)).status_code == 403
    trusting.maximum_version = ssl.TLSVersion.TLSv1_2
    async with httpx.AsyncClient(base_url=url, verify=trusting) as client:
        assert (await client.get("/queues")).status_code == 200
    trusting.set_ciphers("ECDHE+AES+SHA256:ECDHE+AES+SHA1:!AESGCM:!AESCCM")
    async with httpx.AsyncClient(base_url=url, verify=trusting) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/queues")
    with pytest.raises(httpx.HTTPError):
        await service.client.get("/queues")
    modern = ssl.create_default_context(cafile=str(certificate))
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port, ssl=modern)
    writer.write(b"no HTTP at all\r\n\r\n")
    assert status_of(await reader.read()) == 400
    writer.close()
