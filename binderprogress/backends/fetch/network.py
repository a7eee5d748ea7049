"""Which hosts and addresses repositories and records may be fetched from.

Attack (server-side request forgery): a visitor names a repository at an address that only this
machine reaches, or one whose server redirects to such an address: the metadata service of a cloud
(169.254.169.254), a database on loopback, a page of the intranet. Names are no protection: a name
of the attacker's may resolve to any address, and to another one a moment later.
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
    """Whether an address is one of the internet, and not of a machine, link or site.

    Of an IPv6 address that contains an IPv4 address (mapped, NAT64, 6to4), that one counts.
    """
    if isinstance(address, IPv6Address):
        address = ipv4_of(address) or address
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False  # deprecated, and used all the same
    return address.is_global and not address.is_reserved and not address.is_multicast


class Network(LoggingConfigurable):
    """What may be connected to when a repository or record is fetched.

    It holds for git, with redirects and submodules, and for records, with all that they lead to.
    It does not hold for what is built and run from them.
    """

    allowed_hosts = List(
        Unicode(),
        help="""
        Hosts that repositories and records may be fetched from: ["github.com", "*.example.org"]

        All by default. Submodules and what records lead to (doi.org, an archive's storage) count,
        too.
        """,
    ).tag(config=True)

    private_addresses = Bool(
        True,
        help="""
        Whether addresses that are not public may be connected to: loopback, private networks,
        link-local addresses (among them the metadata services of clouds), and others.

        Off by default where strangers may launch: for a server that others can reach, and for a
        service of a JupyterHub.
        """,
    ).tag(config=True)

    allowed_networks = List(
        Unicode(),
        help="""
        Networks that may be connected to although they are not public: ["10.1.2.0/28"]

        For a git server of one's own.
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
        Unicode(), help="More networks that may not be connected to: public ones of one's own."
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
        """Whether there is anything that may not be connected to."""
        return bool(self.allowed_hosts or self.denied_networks or not self.private_addresses)

    @asynccontextmanager
    async def proxy(self) -> AsyncIterator[FetchProxy | None]:
        """Open a proxy that connects only to what is allowed; none where everything is."""
        if not self.is_restricted:
            yield None
            return
        async with FetchProxy(self.check_host, self.resolve) as proxy:
            yield proxy

    def check_host(self, host: str) -> None:
        """Refuse a host by its name, or by its address if it is named by that.

        Raises
        ------
        AddressRefusedError
        """
        name = host.rstrip(".").lower()
        if self.allowed_hosts and not any(_matches(name, one) for one in self.allowed_hosts):
            raise AddressRefusedError(host, "which c.Network.allowed_hosts does not name")
        try:
            # As the system reads it: 127.1, 0x7f.1 and 2130706433 are addresses, too.
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
            If none of them may.
        OSError
            If the name cannot be resolved.
        """
        self.check_host(host)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return self._permitted(host, [str(entry[4][0]) for entry in found])

    def _permitted(self, host: str, addresses: Iterable[str]) -> list[str]:
        permitted = [one for one in dict.fromkeys(addresses) if self._may_connect(one)]
        if not permitted:
            raise AddressRefusedError(host, "which has no address that is allowed here")
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
    return any(address in ip_network(one) for one in networks)


def _matches(host: str, pattern: str) -> bool:
    pattern = pattern.rstrip(".").lower()
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return host == pattern
