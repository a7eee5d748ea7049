"""The network that counts as one client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.client_address import client_network


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        # IPv4-mapped, in both spellings: what a socket for both protocols reports.
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("::FFFF:192.0.2.7", "192.0.2.7"),
        # NAT64.
        ("64:ff9b::192.0.2.7", "192.0.2.7"),
        ("64:ff9b::c000:207", "192.0.2.7"),
        ("64:ff9b:1::c000:207", "192.0.2.7"),
        # Not NAT64.
        ("64:ff9b:2::c000:207", "64:ff9b:2::/64"),
        # 6to4, from two networks of one site.
        ("2002:c000:207::1", "192.0.2.7"),
        ("2002:c000:207:ffff::9", "192.0.2.7"),
        # Teredo, of two servers.
        ("2001:0:cb00:7101::3fff:fdf8", "192.0.2.7"),
        ("2001:0:cb00:7102::3fff:fdf8", "192.0.2.7"),
        # Ports.
        ("192.0.2.7:80", "192.0.2.7"),
        ("[2001:db8:1:2::3]:80", "2001:db8:1:2::/64"),
        ("[::1]", "::/64"),
        # Zones.
        ("fe80::1%eth0", "fe80::/64"),
        ("fe80::2%1", "fe80::/64"),
        ("::ffff:192.0.2.7%eth0", "192.0.2.7"),
    ],
)
def test_the_network_of_one_client(address: str, network: str) -> None:
    assert client_network(address) == network


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "192.0.2", "192.0.2.7:x", "[::1", "%", "unix:", "1.2.3.4/8", "\0"],
)
def test_what_is_no_address_is_returned_unchanged(text: str) -> None:
    assert client_network(text) == text


@given(st.ip_addresses(v=4))
def test_an_ipv4_client_is_the_same_client_however_it_is_written(address: object) -> None:
    forms = {str(address), f"::ffff:{address}", f"64:ff9b::{address}"}
    assert {client_network(form) for form in forms} == {str(address)}


@given(st.text())
def test_nothing_escapes(text: str) -> None:
    assert isinstance(client_network(text), str)
