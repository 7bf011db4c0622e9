"""Which IP addresses are on the open internet, the same on every Python.

What the standard library calls global changed between Python 3.11 and 3.13, so
the special ranges are listed here, from IANA's two registries of special-purpose addresses.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

_INNER_IPV4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
_SPECIAL_IPV6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # Teredo, benchmarks, AMT, ORCHID, drones
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: leads to the IPv4 address that it contains
            "3fff::/20",  # documentation
        ),
    )
)
_HOLDS_IPV4: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
"""Mapped addresses and those of the well-known NAT64 prefix are judged by their IPv4 address."""


def is_public(address: str) -> bool:
    """Return whether an IP address is on the open internet, including an IPv4 address wrapped in IPv6.

    An address with a zone (`fe80::1%eth0`) is judged without it. Raises ValueError if the text is no address.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        if not any(parsed in network for network in _HOLDS_IPV4):
            return parsed in _GLOBAL_IPV6 and not any(parsed in each for each in _SPECIAL_IPV6)
        parsed = IPv4Address(int(parsed) & 0xFFFF_FFFF)
    return not any(parsed in network for network in _INNER_IPV4)
