"""JWTs of an identity provider: what it signed for us, and nothing else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from hms_svc.http_api import identity_provider
from hms_svc.operations.tokens import Scope
from tests.support.api import ApiService, ServiceMaker

ISSUER, AUDIENCE = "https://login.city.example", "hms-svc"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = ed25519.Ed25519PrivateKey.generate()
KEYS: dict[str, Any] = {
    "RS256": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def jwk(name: str, key: Any) -> dict[str, Any]:
    kinds: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
    return {**kinds[name].to_jwk(key.public_key(), as_dict=True), "kid": name, "alg": name}


class Provider:
    """Publishes keys, as long as it is there; counts how often it is asked."""

    def __init__(self) -> None:
        self.document: object = {"keys": [jwk(name, key) for name, key in KEYS.items()]}
        self.asked = 0
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/keys"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps(self.document).encode()
        told = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(told.encode() + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def guarded(make_service: ServiceMaker, provider: Provider) -> ApiService:
    return await make_service(jwks_url=provider.url, jwt_issuer=ISSUER, jwt_audience=AUDIENCE)


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    told = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "exp": now + 3600,
        "scope": "openid hms-svc:view other:operate produce",
    }
    return {name: value for name, value in {**told, **changed}.items() if value is not None}


def signed(name: str = "RS256", kid: str | None = None, key: Any = None, **changed: Any) -> str:
    header = {"kid": name if kid is None else kid}
    return jwt.encode(claims(**changed), key or KEYS[name], algorithm=name, headers=header)


def by_hand(header: Mapping[str, Any], secret: bytes | None) -> str:
    """Sign with a shared secret what the library would refuse to sign; None is not at all."""

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    told = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims()).encode())}"
    digest = b"" if secret is None else hmac.new(secret, told.encode(), hashlib.sha256).digest()
    return f"{told}.{part(digest)}"


async def status(service: ApiService, token: str, path: str = "/queues") -> int:
    answer = await service.client.get(path, headers={"authorization": f"Bearer {token}"})
    return answer.status_code


async def test_a_token_that_it_signed_for_us_has_the_scopes_that_are_ours(
    guarded: ApiService,
) -> None:
    for name in KEYS:
        assert await status(guarded, signed(name)) == 200
        assert await status(guarded, signed(name), "/audit") == 403
        for told in ("scp", "roles"):
            more: dict[str, Any] = {told: ["hms-svc:operate", "x", 3]}
            operator = signed(name, scope=None, **more)
            assert await status(guarded, operator, "/audit") == 200
        assert await status(guarded, signed(name, scope=None)) == 403
        assert await status(guarded, signed(name, scope=7)) == 403


async def test_its_bearer_is_named_in_the_audit_log(guarded: ApiService) -> None:
    token = signed(sub="ada@city.example\n" + "x" * 200, scope="hms-svc:operate")
    header = {"authorization": f"Bearer {token}"}
    assert (await guarded.client.post("/queues/crew.notify/pause", headers=header)).is_success
    [row, *_] = (await guarded.client.get("/audit", headers=header)).json()["audit"]
    assert row["actor"].startswith("jwt:ada@city.example")
    assert len(row["actor"]) == 128


async def test_any_other_token_is_refused(guarded: ApiService) -> None:
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    good, past = signed(), int(time.time()) - 3600
    head, body, signature = good.split(".")
    other_body = signed(sub="eve").split(".")[1]
    wrong = {
        "not signed": by_hand({"alg": "none", "kid": "RS256"}, None),
        "not signed, in capitals": by_hand({"alg": "NONE", "kid": "RS256"}, None),
        "without its signature": f"{head}.{body}.",
        "the public key as a secret": by_hand({"alg": "HS256", "kid": "RS256"}, pem),
        "the public key in DER as a secret": by_hand({"alg": "HS256", "kid": "RS256"}, der),
        "one that says RS256 of a secret": by_hand({"alg": "RS256", "kid": "RS256"}, pem),
        "a key in the token": by_hand({"alg": "HS256", "jwk": {"kty": "oct", "k": ""}}, b""),
        "the key of another kind": signed("EdDSA", kid="ES256"),
        "a foreign key": signed("EdDSA", key=STRANGER),
        "an unknown key": signed(kid="other"),
        "another claim": f"{head}.{other_body}.{signature}",
        "another issuer": signed(iss="https://login.evil.example"),
        "no issuer": signed(iss=None),
        "another audience": signed(aud="hms-ops"),
        "no audience": signed(aud=None),
        "expired": signed(exp=past),
        "without an end": signed(exp=None),
        "an end that is no time": signed(exp="tomorrow"),
        "not yet": signed(nbf=int(time.time()) + 3600),
        "nobody": signed(sub=None),
        "an empty name": signed(sub=""),
        "another signature": f"{head}.{body}.{signature[:-4]}AAAA",
        "a header that is deep": base64.urlsafe_b64encode(b"[" * 9_000).decode() + ".e30.e30",
        "no JSON": "AAAA.AAAA.AAAA",
        "empty parts": "..",
    }
    seen = {name: await status(guarded, token) for name, token in wrong.items()}
    assert seen == dict.fromkeys(wrong, 401)
    assert (await guarded.client.get("/queues")).status_code == 401
    assert await status(guarded, good) == 200
    own = await guarded.token(Scope.VIEW)
    assert (await guarded.client.get("/queues", headers=own)).status_code == 200


async def test_new_keys_are_found_and_old_ones_forgotten(
    guarded: ApiService, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = ed25519.Ed25519PrivateKey.generate()
    old, new = signed("EdDSA"), signed("EdDSA", kid="next", key=fresh)
    assert await status(guarded, old) == 200
    provider.document = {"keys": [{**jwk("EdDSA", fresh), "kid": "next"}, "no key", {"kty": "x"}]}
    assert await status(guarded, new) == 401
    assert provider.asked == 1
    monkeypatch.setattr(identity_provider, "KEYS_AGAIN_SECONDS", -1.0)
    assert await status(guarded, new) == 200
    assert await status(guarded, signed("EdDSA", sub="bob")) == 401


async def test_without_its_keys_nobody_is_known_and_nobody_waits(
    guarded: ApiService, provider: Provider
) -> None:
    documents: tuple[object, ...] = (None, [], {"keys": {}}, {"keys": [7]}, {"keys": []})
    for provider.document in documents:
        guarded.api.authentication._provider._tried = float("-inf")  # type: ignore[union-attr]  # a provider is configured
        answer = await guarded.client.get(
            "/queues", headers={"authorization": f"Bearer {signed()}"}
        )
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    asked = provider.asked
    statuses = await asyncio.gather(*(status(guarded, signed(sub=str(n))) for n in range(10)))
    assert set(statuses) == {503}
    assert provider.asked == asked


async def test_a_token_is_not_believed_for_longer_than_the_keys(
    guarded: ApiService, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_provider, "KEYS_FRESH_SECONDS", -1.0)
    monkeypatch.setattr(identity_provider, "KEYS_AGAIN_SECONDS", -1.0)
    assert await status(guarded, signed("EdDSA")) == 200
    provider.document = {"keys": [jwk("RS256", RSA)]}
    assert await status(guarded, signed("EdDSA")) == 401


async def test_keys_are_not_believed_for_ever_while_it_is_away(
    guarded: ApiService, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await status(guarded, signed()) == 200
    provider.document = None
    monkeypatch.setattr(identity_provider, "KEYS_AGAIN_SECONDS", -1.0)
    monkeypatch.setattr(identity_provider, "KEYS_FRESH_SECONDS", 0.0)
    assert await status(guarded, signed(sub="bob")) == 200
    monkeypatch.setattr(identity_provider, "KEYS_STALE_SECONDS", 0.0)
    assert await status(guarded, signed(sub="eve")) == 503
    assert await status(guarded, signed(sub="bob")) == 503
