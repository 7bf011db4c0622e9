"""What a proxy reports about the requests that it forwards: trusted for those in `http_proxies`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final, NamedTuple, TypeAlias

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from hms_svc.http_api.problems import Problem

MOST_CHARACTERS: Final = 2_000
"""The limit of one forwarding header, all its lines together."""
_SIGNS: Final = frozenset({b"forwarded", b"via", b"x-real-ip"})
_SIGN: Final = "x-forwarded-"
_PREFIX: Final = "hms_svc.prefix"
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_PATH: Final = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_PAIR: Final = re.compile(r'([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))')
_PORT: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")
_Address: TypeAlias = IPv4Address | IPv6Address


def sign_of_proxy(scope: Scope) -> str:
    """Return what shows that a proxy is on the way, such as the name of a header; "" if nothing does."""
    for name, _ in scope["headers"]:
        if name in _SIGNS or name.startswith(_SIGN.encode()):
            return str(name, "latin-1")
    if scope.get("http_version") != "1.0":
        return ""
    headers = Headers(scope=scope)
    # nginx sends this to its upstream, and nothing else unless it is configured.
    options = {option.strip().lower() for option in headers.get("connection", "").split(",")}
    return "HTTP/1.0 with Connection: close" if "close" in options else ""


def prefix_of(connection: HTTPConnection) -> str:
    """Return the path, such as /hms, under which a proxy exposes this HTTP server; "" if it is the root."""
    return str(connection.scope.get(_PREFIX, ""))


class Proxies:
    """The trusted proxies, by their addresses and networks."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(network) for network in networks)

    def wake(self, scope: Scope) -> Scope:
        """Return the scope as the caller meant it: scheme, host, client, and `prefix_of`.

        Unchanged if the peer is not a trusted proxy. Problem 400
        for an invalid scheme or prefix.
        """
        peer = scope.get("client")
        if not self._networks or not peer or not self._trusts(_address(peer[0])):
            return scope
        headers = Headers(scope=scope)
        reported = _described(headers)
        hop = self._outermost(reported.clients)
        changed: dict[str, Any] = {_PREFIX: _prefix(_at(_listed(headers, _SIGN + "prefix"), hop))}
        if reported.clients:
            client = _address(_at(reported.clients, hop))
            changed["client"] = None if client is None else (str(client), 0)
        if scheme := _at(reported.schemes, hop):
            changed["scheme"] = _scheme(scheme, scope["type"])
        if host := _at(reported.hosts, hop):
            others = [each for each in scope["headers"] if each[0] != b"host"]
            changed["headers"] = [(b"host", host.encode("latin-1")), *others]
        return {**scope, **changed}

    def _trusts(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)

    def _outermost(self, clients: list[str]) -> int:
        """Return how many hops, from the nearest, precede the one that reported a client that is not a proxy."""
        reported = enumerate(reversed(clients))
        most = max(0, len(clients) - 1)
        return next((hop for hop, client in reported if not self._trusts(_address(client))), most)


class _ForwardedHeaders(NamedTuple):
    """What each hop reported, the nearest one last."""

    clients: list[str]
    schemes: list[str]
    hosts: list[str]


def _described(headers: Headers) -> _ForwardedHeaders:
    # A proxy that sets X-Forwarded-* passes on its client's Forwarded unchanged.
    names = (_SIGN + "for", _SIGN + "proto", _SIGN + "host")
    if any(name in headers for name in names) or "forwarded" not in headers:
        clients, schemes, hosts = (_listed(headers, name) for name in names)
        return _ForwardedHeaders(clients or _listed(headers, "x-real-ip"), schemes, hosts)
    hops = list(_elements(_joined(headers, "forwarded")))
    clients, schemes, hosts = (
        [hop.get(name, "") for hop in hops] for name in ("for", "proto", "host")
    )
    return _ForwardedHeaders(clients, schemes, hosts)


def _joined(headers: Headers, name: str) -> str:
    text = ",".join(headers.getlist(name))
    if len(text) > MOST_CHARACTERS:
        raise Problem(400, "bad-forwarding", f"{name} has more than {MOST_CHARACTERS} characters")
    return text


def _listed(headers: Headers, name: str) -> list[str]:
    items = (item.strip() for item in _joined(headers, name).split(","))
    return [item for item in items if item]


def _elements(text: str) -> Iterator[dict[str, str]]:
    for element in _ELEMENT.findall(text):
        pairs = _PAIR.findall(element)
        yield {name.lower(): quoted or plain for name, quoted, plain in pairs}


def _at(reported: list[str], hop: int) -> str:
    """Return what this hop reported, or else the outermost that reported anything: most replace, some append."""
    return reported[-min(hop + 1, len(reported))] if reported else ""


def _scheme(reported: str, kind: str) -> str:
    scheme = _SCHEMES.get(reported.lower())
    if scheme is None:
        raise Problem(
            400,
            "bad-forwarding",
            f"a proxy reported the scheme {reported!r:.40}: expected http or https",
        )
    return scheme if kind == "http" else scheme.replace("http", "ws")


def _prefix(reported: str) -> str:
    prefix = reported.removesuffix("/")
    if not _PATH.fullmatch(prefix):
        raise Problem(
            400,
            "bad-forwarding",
            f"x-forwarded-prefix {reported!r:.80}: expected a path such as /hms",
        )
    return prefix


def _address(text: str) -> _Address | None:
    with_port = _PORT.fullmatch(text)
    try:
        found = ip_address((with_port[1] or with_port[2]) if with_port else text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
