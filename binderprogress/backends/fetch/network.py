"""The hosts and addresses from which repositories and records may be fetched.

Attack (server-side request forgery): a visitor launches a repository at an address that only this
machine can reach, or at a server that redirects there: the metadata service of a cloud
(169.254.169.254), a database on loopback, a page of the intranet. Checking names is not enough: the
attacker's name may resolve to any address, and to another one a moment later.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

from traitlets import Bool, List, TraitError, Unicode, validate
from traitlets.config import LoggingConfigurable

from ...core.client_address import ipv4_of
from .proxy import AddressRefusedError, FetchProxy

__all__ = ["Network", "is_public"]

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


def is_public(address: _Address) -> bool:
    """Whether an address is public on the internet.

    If an IPv6 address contains an IPv4 address (mapped, NAT64, 6to4), the latter is checked.
    """
    if isinstance(address, IPv6Address):
        address = ipv4_of(address) or address
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False  # deprecated, but still in use
    return address.is_global and not address.is_reserved and not address.is_multicast


class Network(LoggingConfigurable):
    """The hosts and addresses that may be connected to while fetching.

    The rules apply to git with redirects and submodules, and to records with all their redirects
    and files. They do not apply to builds and servers.
    """

    allowed_hosts = List(
        Unicode(),
        help="""
        Hosts from which repositories and records may be fetched: ["github.com", "*.example.org"]

        The default is all. The hosts of submodules, and those that records need, such as doi.org
        and the storage of an archive, must be included.
        """,
    ).tag(config=True)

    private_addresses = Bool(
        True,
        help="""
        Whether addresses that are not public may be connected to: loopback, private networks,
        link-local addresses such as the metadata services of clouds, and others.

        The default is False for servers that listen on other addresses than loopback, and for
        services of JupyterHub.
        """,
    ).tag(config=True)

    allowed_networks = List(
        Unicode(),
        help="""
        Private networks that may be connected to, for example for your git server: ["10.1.2.0/28"]
        """,
    ).tag(config=True)

    follow_redirects = Bool(
        False,
        help="""
        Whether git follows redirects where one of these settings restricts it, as GitHub's from the
        former name of a repository.

        What they lead to is checked as any address. Without restrictions, git follows them anyway.
        """,
    ).tag(config=True)

    denied_networks = List(
        Unicode(), help="Networks that must not be connected to, for example your public ones."
    ).tag(config=True)

    @validate("allowed_networks", "denied_networks")
    def _validate_networks(self, proposal: Any) -> Any:
        for text in proposal["value"]:
            try:
                ip_network(text)
            except ValueError as error:
                name = proposal["trait"].name
                raise TraitError(f"c.Network.{name}: {error}.") from error
        return proposal["value"]

    @property
    def is_restricted(self) -> bool:
        """Whether any host or address may not be connected to."""
        return bool(self.allowed_hosts or self.denied_networks or not self.private_addresses)

    @asynccontextmanager
    async def proxy(self) -> AsyncIterator[FetchProxy | None]:
        """Open a proxy that connects only to allowed addresses; None if all are allowed."""
        if not self.is_restricted:
            yield None
            return
        async with FetchProxy(self.check_host, self.resolve) as proxy:
            yield proxy

    def check_host(self, host: str) -> None:
        """Check the name of a host, or its address if the name is an address.

        Raises
        ------
        AddressRefusedError
            If it may not be connected to.
        """
        name = host.rstrip(".").lower()
        if self.allowed_hosts and not any(
            _matches(name, pattern) for pattern in self.allowed_hosts
        ):
            raise AddressRefusedError(host, "which is not in c.Network.allowed_hosts")
        try:
            # As the system parses it: 127.1, 0x7f.1 and 2130706433 are addresses, too.
            literal: str | bytes = socket.inet_aton(name)
        except OSError:
            literal = name.partition("%")[0]
        try:
            address = ip_address(literal)
        except ValueError:
            return  # a name
        self._permitted(host, [str(address)])

    async def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host that may be connected to.

        Raises
        ------
        AddressRefusedError
            If there are none.
        OSError
            If the name cannot be resolved.
        """
        self.check_host(host)
        loop = asyncio.get_running_loop()
        entries = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return self._permitted(host, [str(entry[4][0]) for entry in entries])

    def _permitted(self, host: str, addresses: Iterable[str]) -> list[str]:
        unique = dict.fromkeys(addresses)
        permitted = [address for address in unique if self._may_connect(address)]
        if not permitted:
            raise AddressRefusedError(host, "which has no allowed address")
        return permitted

    def _may_connect(self, text: str) -> bool:
        address: _Address = ip_address(text.partition("%")[0])
        if isinstance(address, IPv6Address):
            address = ipv4_of(address) or address
        if _within(address, self.denied_networks):
            return False
        return (
            self.private_addresses or is_public(address) or _within(address, self.allowed_networks)
        )


def _within(address: _Address, networks: Iterable[str]) -> bool:
    return any(address in ip_network(network) for network in networks)


def _matches(host: str, pattern: str) -> bool:
    pattern = pattern.rstrip(".").lower()
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return host == pattern
