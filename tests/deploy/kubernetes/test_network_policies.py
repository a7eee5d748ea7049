"""What the network policies let through, and what they do not."""

from __future__ import annotations

import pytest

from ...support.kustomize import Manifest
from ...support.network_policies import Peer, allowed
from .conftest import WAYS

SERVER = Peer(
    {
        "app.kubernetes.io/name": "binderprogress",
        "hub.jupyter.org/network-access-hub": "true",
    },
    ports={"http": 8585},
)
# As z2jh labels its pods.
HUB = Peer({"app": "jupyterhub", "component": "hub"}, ports={"http": 8081})
PROXY = Peer({"app": "jupyterhub", "component": "proxy"}, ports={"http": 8000})
USER = Peer({"app": "jupyterhub", "component": "singleuser-server"})
FRIEND = Peer({"hub.jupyter.org/network-access-binderprogress": "true"})
METADATA = Peer(address="169.254.169.254", is_pod=False)
GITHUB = Peer(address="140.82.121.3", is_pod=False)
DATABASE = Peer(address="10.9.8.7", is_pod=False)
DNS = Peer({"k8s-app": "kube-dns"}, namespace="kube-system")


@pytest.fixture
def policies(manifests: list[Manifest]) -> list[Manifest]:
    return [each for each in manifests if each["kind"] == "NetworkPolicy"]


def test_who_can_reach_the_server(policies: list[Manifest], way: str) -> None:
    assert allowed(policies, HUB, SERVER, 8585)
    assert allowed(policies, PROXY, SERVER, 8585)
    assert allowed(policies, FRIEND, SERVER, 8585)
    # Attack: a notebook of a repository asks the server without JupyterHub's proxy.
    assert not allowed(policies, USER, SERVER, 8585)
    assert not allowed(policies, PROXY._replace(namespace="other"), SERVER, 8585)
    assert not allowed(policies, PROXY, SERVER, 22)
    assert not allowed(policies, GITHUB, SERVER, 8585)
    for component, namespace in (
        ("ingress-nginx", "ingress-nginx"),
        ("gateway", "traefik"),
        ("prometheus", "monitoring"),
    ):
        other = Peer(namespace=namespace)
        assert allowed(policies, other, SERVER, 8585) is (component in WAYS[way])


def test_what_the_server_can_reach(policies: list[Manifest], way: str) -> None:
    assert allowed(policies, SERVER, HUB, 8081)
    assert allowed(policies, SERVER, DNS, 53, "UDP")
    assert allowed(policies, SERVER, GITHUB, 443)
    assert allowed(policies, SERVER, DATABASE, 6443)
    # Attack: a repository's address leads to servers of users, or to credentials of the node.
    assert not allowed(policies, SERVER, USER, 8888)
    assert not allowed(policies, SERVER, METADATA, 80)
    assert not allowed(policies, SERVER, METADATA, 443)
    assert not allowed(policies, SERVER, GITHUB, 22)
    assert not allowed(policies, SERVER, PROXY, 8001)
    assert allowed(policies, SERVER, DATABASE, 5432) is ("replicas" in WAYS[way])


def test_other_pods_of_the_namespace_are_as_before(policies: list[Manifest]) -> None:
    assert allowed(policies, HUB, USER, 8888)
    assert allowed(policies, USER, GITHUB, 22)
