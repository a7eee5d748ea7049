"""What counts as one client where clients are limited."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

__all__ = ["client_network", "ipv4_of"]

_NAT64 = (
    IPv6Network("64:ff9b::/96"),  # RFC 6052
    IPv6Network("64:ff9b:1::/48"),  # RFC 8215, for local use
)
# As some proxies write them in X-Forwarded-For.
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d{1,5})?|(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}")
_LONGEST = 255
"""Characters of what is no address; users are counted by their names."""


def client_network(address: str) -> str:
    """Return the part of the network that one client has to itself.

    Attack: a client with many addresses would have a limit of its own for each of them. With IPv6
    one client has a /64 network, and an IPv4 client can come by IPv6 addresses that contain its
    IPv4 address.

    Parameters
    ----------
    address : str
        An IP address, as a server or a proxy writes it: brackets, port and zone are left out.

    Returns
    -------
    str
        The address itself for IPv4, also where an IPv6 address contains it (IPv4-mapped, NAT64,
        6to4, Teredo); else the /64 network. What is no IP address is returned as it is, cut to 255
        characters.
    """
    text = address.strip()
    if match := _WITH_PORT.fullmatch(text):
        text = match[2] or match[1]
    try:
        # The zone (`%eth0`) says how this machine reaches the address. Dropped, or a client on the
        # link would be counted once for each spelling.
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return address[:_LONGEST]
    if isinstance(found, IPv4Address):
        return str(found)
    contained = ipv4_of(found)
    if contained is not None:
        return str(contained)
    return str(IPv6Network((found, 64), strict=False))


def ipv4_of(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address contains."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if any(address in network for network in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    # 6to4 gives 65,536 networks of /64 to each IPv4 address.
    return address.sixtofour
