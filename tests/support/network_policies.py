"""Says whether network policies let one pod connect to another, as Kubernetes documents them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple


class Peer(NamedTuple):
    """One end of a connection: a pod, or an address outside of the cluster."""

    labels: Mapping[str, str] = {}
    namespace: str = "jupyterhub"
    ports: Mapping[str, int] = {}
    address: str = "10.1.2.3"
    is_pod: bool = True


def allowed(
    policies: Sequence[Mapping[str, Any]],
    source: Peer,
    target: Peer,
    port: int,
    protocol: str = "TCP",
) -> bool:
    """Return whether all policies of both ends let a connection through."""
    return _side(policies, "Egress", source, target, target, port, protocol) and _side(
        policies, "Ingress", target, source, target, port, protocol
    )


def _side(
    policies: Sequence[Mapping[str, Any]],
    direction: str,
    pod: Peer,
    other: Peer,
    target: Peer,
    port: int,
    protocol: str,
) -> bool:
    if not pod.is_pod:
        return True
    rules, isolated = [], False
    for policy in policies:
        spec = policy["spec"]
        in_namespace = policy["metadata"]["namespace"] == pod.namespace
        if in_namespace and direction in spec["policyTypes"] and _selects(spec["podSelector"], pod):
            isolated = True
            rules += spec.get(direction.lower()) or []
    peers = "from" if direction == "Ingress" else "to"
    namespace = pod.namespace
    return not isolated or any(
        _has_port(rule.get("ports"), target, port, protocol)
        and (not rule.get(peers) or any(_is(peer, other, namespace) for peer in rule[peers]))
        for rule in rules
    )


def _has_port(
    ports: Sequence[Mapping[str, Any]] | None, target: Peer, port: int, protocol: str
) -> bool:
    if not ports:
        return True
    return any(
        each.get("protocol", "TCP") == protocol
        and ("port" not in each or target.ports.get(str(each["port"]), each["port"]) == port)
        for each in ports
    )


def _is(peer: Mapping[str, Any], other: Peer, namespace: str) -> bool:
    if "ipBlock" in peer:
        address = ip_address(other.address)
        block = peer["ipBlock"]
        return address in ip_network(block["cidr"]) and not any(
            address in ip_network(each) for each in block.get("except", [])
        )
    if not other.is_pod:
        return False
    if "namespaceSelector" in peer:
        name = {"kubernetes.io/metadata.name": other.namespace}
        if not _selects(peer["namespaceSelector"], Peer(labels=name)):
            return False
    elif other.namespace != namespace:
        return False
    return _selects(peer.get("podSelector", {}), other)


def _selects(selector: Mapping[str, Any], pod: Peer) -> bool:
    labels = selector.get("matchLabels") or {}
    if any(pod.labels.get(name) != value for name, value in labels.items()):
        return False
    for expression in selector.get("matchExpressions") or []:
        # The other operators are not used.
        assert expression["operator"] == "In"
        if pod.labels.get(expression["key"]) not in expression["values"]:
            return False
    return True
