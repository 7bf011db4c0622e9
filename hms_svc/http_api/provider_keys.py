"""The public keys that an identity provider publishes (a JWK set), and the algorithms that each may verify."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import OKPAlgorithm

log: Final = logging.getLogger("hms_svc.http")
LEAST_RSA_BITS: Final = 2048
_ALGORITHMS: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("RSA", ""): frozenset({"RS256", "PS256"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA", "Ed25519"}),
}
"""The algorithms of a key of a kind and curve: no shared secrets, nor `none`."""
_SAME: Final = frozenset({"EdDSA", "Ed25519"})
"""Two names of the same algorithm for keys of that curve (RFC 8037, RFC 9864)."""


class PublicKey(msgspec.Struct, frozen=True):
    """A key that verifies signatures of these algorithms."""

    public: Any
    algorithms: frozenset[str]


def verifier() -> jwt.PyJWT:
    """Return a verifier of JWTs; it also knows Ed25519 by the name of RFC 9864."""
    made = jwt.PyJWT()
    made._jws.register_algorithm("Ed25519", OKPAlgorithm())
    return made


def read_keys(document: object) -> dict[str, list[PublicKey]]:
    """Return the keys of a JWK set, by `kid` ("" for none). Unusable keys are skipped.

    The log names them with the reason. Raises ValueError if it is not a JWK set.
    """
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError("this is not a JWK set: it has no list `keys`")
    found: dict[str, list[PublicKey]] = {}
    for key in keys:
        kid = str(key.get("kid") or "") if isinstance(key, dict) else ""
        try:
            read = _read(key)
        except ValueError as error:
            log.info("key %.80r of the identity provider is skipped: %s", kid, error)
            continue
        found.setdefault(kid, []).append(read)
    if not found:
        raise ValueError("no key of this JWK set can be used")
    return found


def _read(key: object) -> PublicKey:
    if not isinstance(key, dict):
        raise ValueError("it is not an object")
    kind, curve = str(key.get("kty")), str(key.get("crv", ""))
    allowed = _ALGORITHMS.get((kind, curve))
    if allowed is None:
        raise ValueError(f"kind {kind} {curve}".rstrip() + " is not supported")
    if (given := key.get("alg")) is not None:
        named = str(given)
        allowed &= _SAME if named in _SAME else {named}
    if not allowed:
        raise ValueError(f"alg {named!r:.40} is not accepted for this key")
    if key.get("use", "sig") != "sig":
        raise ValueError(f"use must be sig, not {key['use']!r:.20}")
    operations = key.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("key_ops lacks verify")
    return PublicKey(_public(key, min(allowed)), allowed)


def _public(key: dict[str, Any], algorithm: str) -> Any:
    name = "EdDSA" if algorithm in _SAME else algorithm
    try:
        public = jwt.PyJWK({each: key[each] for each in key if each != "d"}, name).key
    except jwt.PyJWTError as error:
        raise ValueError(str(error).partition(":")[0]) from error
    if isinstance(public, RSAPublicKey) and public.key_size < LEAST_RSA_BITS:
        raise ValueError(
            f"{public.key_size} bits are too few for RSA: the minimum is {LEAST_RSA_BITS}"
        )
    return public
