"""Keys as identity providers publish them, without `alg` and with all else; scopes where they put them."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from hms_svc.http_api.provider_keys import read_keys
from hms_svc.operations.tokens import Scope
from tests.support.api import ApiService, ServiceMaker
from tests.support.local_http import LocalHttp, local_http
from tests.support.tls import Authority

from .test_identity_provider import AUDIENCE, ISSUER, RSA, claims, jwk, status

P384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
PRIVATE: dict[str, Any] = {
    "rsa": RSA,
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": P384,
    "ed": ED,
}
KINDS = {"rsa": "RS256", "p256": "ES256", "p384": "ES256", "ed": "EdDSA"}


def plain(name: str, **more: Any) -> dict[str, Any]:
    """A public key with nothing but itself and its name."""
    key = jwk(KINDS[name], PRIVATE[name])
    return {**{each: key[each] for each in key if each != "alg"}, "kid": name, **more}


def token(name: str, algorithm: str, **changed: Any) -> str:
    headers = {"kid": name}
    return jwt.encode(claims(**changed), PRIVATE[name], algorithm=algorithm, headers=headers)


def named_ed25519() -> str:
    """A token as RFC 9864 names its algorithm."""

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    head = json.dumps({"alg": "Ed25519", "kid": "ed"}).encode()
    told = f"{part(head)}.{part(json.dumps(claims()).encode())}"
    return f"{told}.{part(ED.sign(told.encode()))}"


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[tuple[LocalHttp, Path]]:
    """A provider behind TLS of the city's own authority; and that one's certificate."""
    authority = Authority(tmp_path)
    async with local_http(authority.issue("login")) as served:
        served.body = json.dumps({"keys": [plain(name) for name in PRIVATE]}).encode()
        yield served, authority.path


def of(served: LocalHttp, **more: Any) -> dict[str, Any]:
    return {"jwks_url": served.url + "/k", "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, **more}


@pytest.fixture
async def guarded(make_service: ServiceMaker, provider: tuple[LocalHttp, Path]) -> ApiService:
    served, ca_file = provider
    return await make_service(**of(served, ca_file=ca_file))


async def test_a_key_without_alg_verifies_what_its_kind_may(guarded: ApiService) -> None:
    good = {
        ("rsa", "RS256"),
        ("rsa", "PS256"),
        ("p256", "ES256"),
        ("p384", "ES384"),
        ("ed", "EdDSA"),
    }
    for name, algorithm in good:
        assert (name, algorithm, await status(guarded, token(name, algorithm))) == (
            name,
            algorithm,
            200,
        )
    assert await status(guarded, named_ed25519()) == 200
    for name, algorithm in (("rsa", "RS384"), ("rsa", "PS512")):
        assert await status(guarded, token(name, algorithm)) == 401


async def test_the_refusal_tells_what_is_wrong_with_a_token_or_its_scopes(
    guarded: ApiService,
) -> None:
    async def challenge(token: str | None, path: str = "/queues") -> str:
        head = {"authorization": token} if token is not None else {}
        return (await guarded.client.get(path, headers=head)).headers["www-authenticate"]

    assert await challenge(None) == 'Bearer realm="hms-svc"'
    assert await challenge("Basic abc") == 'Bearer realm="hms-svc", error="invalid_request"'
    invalid = 'Bearer realm="hms-svc", error="invalid_token"'
    assert await challenge("Bearer a.b.c") == invalid
    assert await challenge("Bearer hms_unknown") == invalid
    insufficient = 'Bearer realm="hms-svc", error="insufficient_scope", scope='
    ours = (await guarded.token(Scope.PRODUCE))["authorization"]
    assert await challenge(ours) == insufficient + '"view"'
    theirs = f"Bearer {token('rsa', 'RS256')}"
    assert await challenge(theirs, "/audit") == insufficient + '"hms-svc:operate"'


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["offline_access", "hms-svc:view"]}}),
        ("permissions", {"permissions": ["hms-svc:view", "read:x"]}),
        (
            "resource_access.my.app.roles",
            {"resource_access": {"my.app": {"roles": ["hms-svc:view"]}}},
        ),
        ("https://city.example/roles", {"https://city.example/roles": "x hms-svc:view"}),
    ],
)
async def test_scopes_stand_in_the_claims_that_are_named(
    make_service: ServiceMaker, provider: tuple[LocalHttp, Path], path: str, told: dict[str, Any]
) -> None:
    served, ca_file = provider
    asked = token("rsa", "RS256", scope=None, **told)
    named = await make_service(**of(served, ca_file=ca_file, jwt_scopes=(path,)))
    assert await status(named, asked) == 200
    assert await status(named, token("rsa", "RS256")) == 403, "scope is not among the claims"
    assert await status(await make_service(**of(served, ca_file=ca_file)), asked) == 403


async def test_without_its_authority_the_provider_is_not_believed(
    make_service: ServiceMaker, provider: tuple[LocalHttp, Path]
) -> None:
    assert await status(await make_service(**of(provider[0])), token("rsa", "RS256")) == 503
    assert provider[0].received == []


def test_keys_that_may_not_verify_are_passed_over() -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pair = plain("ed", kid="pair")
    found = read_keys(
        {
            "keys": [
                plain("rsa", kid="enc", use="enc"),
                plain("rsa", kid="wrap", key_ops=["wrapKey"]),
                plain("rsa", kid="short", n=jwk("RS256", short)["n"]),
                plain("rsa", kid="oaep", alg="RSA-OAEP"),
                plain("rsa", kid="384", alg="RS384"),
                plain("rsa", kid="list", alg=["RS256"]),
                {"kty": "oct", "kid": "secret", "k": "c2VjcmV0", "alg": "HS256"},
                plain("rsa", kid="same", use="enc"),
                plain("rsa", kid="same", use="sig", key_ops=["verify"]),
                plain("p256", kid="same"),
                plain("rsa", kid="ps", alg="PS256"),
                plain("ed", kid="named", alg="Ed25519"),
                {**pair, "d": "AAAA"},
                {"kty": "EC", "crv": "P-256", "kid": "broken", "x": "AA", "y": "AA"},
                "no key",
            ]
        }
    )
    assert {kid: [set(key.algorithms) for key in keys] for kid, keys in found.items()} == {
        "same": [{"RS256", "PS256"}, {"ES256"}],
        "ps": [{"PS256"}],
        "named": [{"EdDSA", "Ed25519"}],
        "pair": [{"EdDSA", "Ed25519"}],
    }


@pytest.mark.parametrize("document", [None, [], {"keys": {}}, {"keys": ["x"]}])
def test_what_has_no_key_for_us_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="JWK set"):
        read_keys(document)
