"""Which addresses belong to one client."""

from __future__ import annotations

import ipaddress
import re

__all__ = ["client_network"]

_WITH_PORT = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<v4>\d{1,3}(?:\.\d{1,3}){3}))(?::\d{1,5})?")
_NAT64 = [
    ipaddress.IPv6Network("64:ff9b::/96"),  # RFC 6052, well known
    ipaddress.IPv6Network("64:ff9b:1::/48"),  # RFC 8215, for local use
]
_LONGEST = 64
"""Characters of a name that is no address: it becomes a key of a table."""


def client_network(address: str) -> str:
    """Return what one client has for itself, for limits per client.

    Parameters
    ----------
    address : str
        As a socket or a proxy says it: with or without brackets, port and zone.

    Returns
    -------
    str
        An IPv4 address, or with IPv6 the /64 network. IPv6 addresses that stand for an IPv4
        address (mapped, 6to4, Teredo, NAT64) count as that one. What is no address is returned as
        it is, cut to 64 characters.
    """
    text = address.strip()
    if match := _WITH_PORT.fullmatch(text):
        text = match["v6"] or match["v4"] or ""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return address[:_LONGEST]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if (embedded := _embedded(found)) is not None:
        return str(embedded)
    return str(ipaddress.IPv6Network((int(found), 64), strict=False))


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for."""
    # Attack: with 6to4, the owner of one IPv4 address has 65,536 networks. All mapped and all
    # NAT64 addresses, on the other hand, lie in one /64: one client would use up everybody's limit.
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
