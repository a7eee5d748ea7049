"""The network that counts as one client, for limits per client."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

__all__ = ["client_network", "ipv4_of"]

_NAT64 = (
    IPv6Network("64:ff9b::/96"),  # RFC 6052
    IPv6Network("64:ff9b:1::/48"),  # RFC 8215, for local use
)
# Some proxies write a port or brackets in X-Forwarded-For.
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d{1,5})?|(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}")
_LONGEST = 255
"""Maximum length of text that is not an address, such as the name of a user."""


def client_network(address: str) -> str:
    """Return the network that belongs to one client.

    Attack: a client with many addresses would get a separate limit for each of them. An IPv6
    client has a /64 network, and an IPv4 client may connect from IPv6 addresses that contain its
    IPv4 address.

    Parameters
    ----------
    address : str
        An IP address, as a server or a proxy writes it. Brackets, port and zone are ignored.

    Returns
    -------
    str
        The IPv4 address, also if an IPv6 address contains it (IPv4-mapped, NAT64, 6to4, Teredo);
        else the /64 network. Other text is returned as it is, cut to 255 characters.
    """
    text = address.strip()
    if match := _WITH_PORT.fullmatch(text):
        text = match[2] or match[1]
    try:
        # Without the zone (`%eth0`): a client on the link would be counted once for each spelling.
        ip = ip_address(text.partition("%")[0])
    except ValueError:
        return address[:_LONGEST]
    if isinstance(ip, IPv4Address):
        return str(ip)
    contained = ipv4_of(ip)
    if contained is not None:
        return str(contained)
    return str(IPv6Network((ip, 64), strict=False))


def ipv4_of(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address contains; None if it contains none."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if any(address in network for network in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    # 6to4 gives 65,536 networks of /64 to each IPv4 address.
    return address.sixtofour
