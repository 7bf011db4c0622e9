"""Tokens of another library (joserfc), keys over TLS of a private authority, and a service that takes them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.site import Site
from tests.interop.conftest import is_ready
from tests.interop.parts import python_part
from tests.interop.receivers import answering
from tests.support.proxy import LOOPBACK, free_port
from tests.support.tls import Authority

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated"),  # identity providers still use it
]

ISSUER, AUDIENCE = "https://login.city.example", "hms-svc"
SCOPES = {"realm_access": {"roles": ["hms-svc:view"]}}


@pytest.fixture(scope="module")
def keys() -> dict[str, Any]:
    """Private keys of joserfc by algorithm, each with its own `kid` and no `alg`."""
    jwk = python_part("joserfc.jwk")
    made: dict[str, Any] = {
        "PS256": jwk.RSAKey.generate_key(2048, {"kid": "ps"}),
        "RS256": jwk.RSAKey.generate_key(2048, {"kid": "rs"}),
        "ES256": jwk.ECKey.generate_key("P-256", {"kid": "es"}),
        "ES384": jwk.ECKey.generate_key("P-384", {"kid": "es384"}),
        "EdDSA": jwk.OKPKey.generate_key("Ed25519", {"kid": "ed"}),
        "Ed25519": jwk.OKPKey.generate_key("Ed25519", {"kid": "ed9864"}),
    }
    return made


@pytest.fixture
def served(tmp_path: Path, keys: dict[str, Any], site: Site) -> Iterator[str]:
    """A service that believes these keys, which a server of the city's own authority publishes."""
    authority = Authority(tmp_path)
    published = json.dumps({"keys": [key.as_dict(private=False) for key in keys.values()]}).encode()
    address = f"{LOOPBACK}:{free_port()}"
    with answering(lambda *_: (200, {}, published), authority.issue("login")) as url:
        started = site.serve(
            http=address,
            jwks_url=f"{url}/certs",
            jwt_issuer=ISSUER,
            jwt_audience=AUDIENCE,
            jwt_scopes="realm_access.roles",
            ca_file=authority.path,
        )
        started.wait_until("it is ready", lambda: is_ready(address))
        yield f"http://{address}"


def token(key: Any, algorithm: str, kid: str | None = None, **changed: Any) -> str:
    jwt = python_part("joserfc.jwt")
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": int(time.time()) + 600}
    header = {"alg": algorithm, "kid": kid or key.kid}
    told: str = jwt.encode(header, {**claims, **SCOPES, **changed}, key, algorithms=[algorithm])
    return told


def ask(url: str, bearer: str, path: str = "/queues") -> httpx.Response:
    return httpx.get(url + path, headers={"authorization": f"Bearer {bearer}"}, timeout=30)


def test_tokens_of_every_algorithm_are_taken_and_others_refused(
    served: str, keys: dict[str, Any]
) -> None:
    jwk = python_part("joserfc.jwk")
    good = {name: ask(served, token(key, name)).status_code for name, key in keys.items()}
    assert good == dict.fromkeys(keys, 200)
    refused = ask(served, token(keys["ES256"], "ES256"), "/audit")
    assert refused.status_code == 403
    assert refused.headers["www-authenticate"].endswith('scope="hms-svc:operate"')
    bad = {
        "a shared secret": token(jwk.OctKey.generate_key(256), "HS256", kid="rs"),
        "another's key": token(keys["RS256"], "RS256", kid="ps"),
        "a longer digest": token(keys["PS256"], "PS512"),
        "another audience": token(keys["EdDSA"], "EdDSA", aud="x"),
    }
    for name, bearer in bad.items():
        answer = ask(served, bearer)
        assert (name, answer.status_code) == (name, 401)
        assert answer.headers["www-authenticate"].endswith('error="invalid_token"'), name
