"""Repositories and records at addresses that only the server reaches.

The attacker is a visitor, or the author of a repository or a record. They name an address, or lead
to one by a redirect, a submodule or a record, that is not theirs to ask: a cloud's metadata
service, a database on loopback, a page of the intranet. What it answers ends up in a log, in a
Jupyter server, or in nothing but the time that it takes; and some services act on a mere request.

127.0.0.1 is where things may be fetched from here; 127.0.0.2 stands for what must not be reached.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from traitlets import TraitError
from traitlets.config import Config

from binderprogress.backends.base import BuildResult, WaitForTurn
from binderprogress.backends.fetch.archives import Archives
from binderprogress.backends.fetch.network import Network
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.backends.repo2docker.builder import Repo2dockerBuilder
from binderprogress.core.log.diagnosis import diagnose
from binderprogress.core.specs import Spec, from_address, parse
from binderprogress.deploy.jupyterhub_service import JupyterHubService
from binderprogress.deploy.standalone import Standalone
from binderprogress.errors import LaunchFailedError, RefusedError

from ..support.archives import ArchivesDouble, Certificates, archives, certificates
from ..support.asynchronous import asynchronous
from ..support.githttp import git_over_http
from ..support.long import usually
from ..support.repositories import git, repository


class Secret:
    """A service inside; it counts who asks it, and answers with what nobody is to read."""

    def __init__(self, server: ThreadingHTTPServer, asked: list[str]) -> None:
        self.port = server.server_port
        self.asked = asked
        self.url = f"http://127.0.0.2:{self.port}/secret"


@contextmanager
def serving(address: str, location: str = "") -> Iterator[Secret]:
    """Answer every request with a secret, or with a redirect."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302 if location else 200)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(b"top secret")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer((address, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield Secret(server, asked)
        server.shutdown()


@pytest.fixture
def secret() -> Iterator[Secret]:
    with serving("127.0.0.2") as secret:
        yield secret
        assert secret.asked == []


def network(**settings: Any) -> Network:
    return Network(**{"private_addresses": False, "allowed_networks": ["127.0.0.1/32"], **settings})


def builder(folder: Path, **settings: Any) -> LocalBuilder:
    made = LocalBuilder(
        environments=str(folder / "environments"), base_packages=[], link_mode="hardlink"
    )
    made.network = network(**settings)
    made.archives = Archives(ckan_sites=["https://ckan.example.org"], network=made.network)
    return made


class Result(NamedTuple):
    log: str
    reason: str
    folder: Path | None


async def launched(local: LocalBuilder | Repo2dockerBuilder, spec: Spec) -> Result:
    log = ""
    try:
        async for item in local.build(await local.resolve(spec)):
            if isinstance(item, BuildResult):
                return Result(log, "", Path(item.image))
            if not isinstance(item, WaitForTurn):
                raw = str(item.raw)
                log += f"{json.loads(raw)['message'] if raw.startswith('{') else raw}\n"
    except LaunchFailedError as error:
        found = diagnose(log.splitlines(), otherwise=error.reason)
        return Result(f"{log}{error}", found.reason, None)
    except RefusedError as error:
        return Result(f"{log}{error}", "refused", None)
    raise AssertionError(log)


# -- addresses


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.2",
        "127.2",
        "2130706434",
        "0x7f.2",
        "0x7f000002",
        "0177.0.0.2",
        "127.0.0.2.",
        "%31%32%37.0.0.2",
        "[::ffff:127.0.0.2]",
        "[::ffff:7f00:2]",
        "\uff11\uff12\uff17.0.0.2",
    ],
)
@asynchronous(30)
async def test_an_address_in_any_spelling(host: str, secret: Secret, tmp_path: Path) -> None:
    """What git takes for an address of this machine is one, however it is written."""
    try:
        spec = from_address(f"http://{host}:{secret.port}/a/b")
    except ValueError as error:
        raise AssertionError from error
    result = await launched(builder(tmp_path), spec)
    assert result.reason in {"refused", "address-refused", "host-unreachable"}, result.log
    assert "secret" not in result.log


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254"),
        *("100.64.0.1", "100.100.100.200", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1"),
        *("255.255.255.255", "::", "::1", "fe80::1", "fd00:ec2::254", "fec0::1", "ff02::1"),
        *("::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:a00:1::1"),
        *("2001:db8::1", "fe80::1%eth0"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    """Of this machine, its link, its site, and IPv6 addresses that stand for such ones of IPv4."""
    restricted = Network(private_addresses=False)
    with pytest.raises(Exception, match="may not connect to"):
        restricted.check_host(address)
    Network().check_host(address)


def test_public_addresses_are_let_through() -> None:
    restricted = Network(private_addresses=False)
    for host in ("140.82.121.3", "2606:50c0:8000::154", "::ffff:8.8.8.8", "64:ff9b::808:808"):
        restricted.check_host(host)


@pytest.mark.parametrize("address", ["ssh://ada@127.0.0.2:{}/x", "git://127.0.0.2:{}/x"])
@asynchronous(30)
async def test_protocols_that_take_no_proxy(address: str, secret: Secret, tmp_path: Path) -> None:
    """ssh is looked at by its address, and git:// is not spoken."""
    local = builder(tmp_path)
    local.credentials = True
    result = await launched(local, from_address(address.format(secret.port)))
    assert result.reason == "refused", result.log


# -- where git is led


@asynchronous(30)
async def test_a_redirect_of_git(secret: Secret, tmp_path: Path) -> None:
    """The address is the attacker's and public; the server there leads inside."""
    with serving("127.0.0.1", f"{secret.url}/info/refs") as public:
        spec = from_address(f"http://127.0.0.1:{public.port}/a/b")
        result = await launched(builder(tmp_path), spec)
        assert public.asked
    assert "has moved" in result.log
    assert result.reason == "private-or-missing"


@asynchronous(30)
async def test_a_redirect_of_git_where_redirects_are_allowed(
    secret: Secret, tmp_path: Path
) -> None:
    """A repository that was renamed is followed to its new name, but not inside."""
    local = builder(tmp_path, follow_redirects=True)
    renamed = repository(tmp_path / "served" / "renamed")
    with (
        serving("127.0.0.1", f"{secret.url}/info/refs") as evil,
        git_over_http(renamed.parent) as host,
        serving("127.0.0.1", f"{host}renamed/info/refs?service=git-upload-pack") as honest,
    ):
        result = await launched(local, from_address(f"http://127.0.0.1:{evil.port}/a/b"))
        assert evil.asked
        assert result.reason == "address-refused", result.log
        target = await local.resolve(from_address(f"http://127.0.0.1:{honest.port}/former"))
        assert target.commit == git(renamed, "rev-parse", "HEAD")
        built = await launched(local, target.spec)
        assert built.folder is not None, built.log


@asynchronous(60)
async def test_a_submodule(secret: Secret, tmp_path: Path) -> None:
    """The repository is what was named; git clones its submodules from where it says."""
    folder = repository(tmp_path / "served" / "evil")
    for number, url in enumerate(
        [
            f"http://127.0.0.2:{secret.port}/x",
            f"git://127.0.0.2:{secret.port}/x",
            f"http://2130706434:{secret.port}/x",
        ]
    ):
        with_submodule(folder, url)
        with git_over_http(tmp_path / "served") as address:
            git(folder, "update-server-info")
            result = await launched(builder(tmp_path), from_address(f"{address}evil"))
        assert result.folder is None, result.log
        if number != 1:
            assert result.reason == "address-refused", result.log
            assert "127.0.0.2" in result.log


@asynchronous(30)
async def test_a_submodule_over_ssh(secret: Secret, tmp_path: Path) -> None:
    """Where git may use keys, ssh would go around the proxy."""
    folder = with_submodule(
        repository(tmp_path / "served" / "evil"), f"ssh://ada@127.0.0.2:{secret.port}/x"
    )
    local = builder(tmp_path)
    local.credentials = True
    with git_over_http(tmp_path / "served") as address:
        git(folder, "update-server-info")
        result = await launched(local, from_address(f"{address}evil"))
    assert result.folder is None
    assert "transport 'ssh' not allowed" in result.log


def with_submodule(folder: Path, url: str) -> Path:
    modules = f'[submodule "x"]\n\tpath = x\n\turl = {url}\n'
    head = git(folder, "rev-parse", "HEAD")
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{head},x")
    (folder / ".gitmodules").write_text(modules)
    git(folder, "add", ".gitmodules")
    git(folder, "commit", "--quiet", "--message", "a submodule")
    return folder


@asynchronous(30)
async def test_a_name_that_changes_its_address(
    secret: Secret, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: it resolves to what is allowed when it is checked, and not a moment later."""
    ask, asked = socket.getaddrinfo, []

    def rebinding(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "rebinding.example.org":
            asked.append(host)
            host = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return ask(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    spec = from_address(f"http://rebinding.example.org:{secret.port}/a/b")
    result = await launched(builder(tmp_path), spec)
    assert result.reason == "address-refused", result.log
    assert len(asked) >= 2


@pytest.mark.long
@asynchronous(60)
async def test_a_repository_that_is_allowed_is_built(tmp_path: Path) -> None:
    """Through the proxy; and what is built afterwards neither goes through it nor knows it."""
    post_build = "#!/bin/sh\nenv > environment.txt\n"
    repository(tmp_path / "served" / "good", {"postBuild": post_build})
    with git_over_http(tmp_path / "served") as address:
        result = await launched(builder(tmp_path), from_address(f"{address}good"))
    assert result.folder is not None, result.log
    environment = (result.folder / "repository" / "environment.txt").read_text()
    assert "fetch:" not in environment
    assert "BINDERPROGRESS_FETCH" not in environment


@asynchronous(60)
async def test_hosts_that_are_not_allowed(secret: Secret, tmp_path: Path) -> None:
    """By name, whatever their addresses; and not one that only looks like it."""
    local = builder(tmp_path, allowed_hosts=["127.0.0.1", "*.example.org"])
    for host in ("localhost", "example.org", "example.org.evil.net", "evilexample.org"):
        result = await launched(local, from_address(f"http://{host}:{secret.port}/a/b"))
        assert result.reason == "refused"
        assert "allowed_hosts" in result.log
    folder = repository(tmp_path / "served" / "evil")
    with git_over_http(tmp_path / "served") as address:
        port = address.rpartition(":")[2].strip("/")
        with_submodule(folder, f"http://localhost:{port}/evil")
        git(folder, "update-server-info")
        result = await launched(local, from_address(f"{address}evil"))
    assert result.reason == "address-refused", result.log


# -- where records lead


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def double(made: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchivesDouble]:
    with archives(made, monkeypatch) as double:
        yield double


CKAN = "ckan/https%3A%2F%2Fckan.example.org%2Fdataset%2Fturtles"
API = "ckan.example.org/api/3/action/"


def dataset(double: ArchivesDouble, url: str) -> None:
    double.put(f"{API}status_show", {"success": True})
    package = {
        "metadata_modified": "2024-04-02T02:10:31.000000",
        "resources": [{"id": "1", "url": url}],
    }
    double.put(f"{API}package_show?id=turtles", {"success": True, "result": package})


@pytest.mark.parametrize("engine", usually(["local", "podman"], "local"))
@asynchronous(60)
async def test_a_file_of_a_dataset(
    engine: str, secret: Secret, double: ArchivesDouble, tmp_path: Path
) -> None:
    """A dataset is a list of addresses; its files are fetched by another process."""
    dataset(double, secret.url)
    local: LocalBuilder | Repo2dockerBuilder = builder(tmp_path)
    if engine == "podman":
        images = Repo2dockerBuilder(extra_args=["--no-build"])
        images.network, images.archives = local.network, local.archives
        local = images
    result = await launched(local, parse(CKAN))
    assert result.reason == "address-refused", result.log
    assert "top secret" not in result.log


@asynchronous(60)
async def test_a_redirect_of_a_file(secret: Secret, double: ArchivesDouble, tmp_path: Path) -> None:
    """The file is where it should be, and leads inside."""
    dataset(double, "https://ckan.example.org/files/a.csv")
    double.redirect("ckan.example.org/files/a.csv", secret.url)
    result = await launched(builder(tmp_path), parse(CKAN))
    assert result.reason == "address-refused", result.log


@asynchronous(30)
async def test_a_redirect_while_a_record_is_looked_up(
    secret: Secret, double: ArchivesDouble, tmp_path: Path
) -> None:
    """The server itself asks the archive before anything is fetched."""
    double.redirect(f"{API}package_show?id=turtles", secret.url)
    result = await launched(builder(tmp_path), parse(CKAN))
    assert result.reason == "address-refused", result.log


# -- the proxy itself


@asynchronous(30)
async def test_the_proxy_is_nobody_elses(secret: Secret) -> None:
    """Another user of this machine finds its port; it does nothing without its password."""
    async with network(allowed_networks=["127.0.0.0/8"]).proxy() as proxy:
        assert proxy is not None
        port = int(proxy.url.rpartition(":")[2])
        for head in (f"CONNECT 127.0.0.2:{secret.port} HTTP/1.1", f"GET {secret.url} HTTP/1.1"):
            for login in ("", "Proxy-Authorization: Basic ZmV0Y2g6\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"{head}\r\nHost: x\r\n{login}\r\n".encode())
                assert (await reader.readline()).startswith(b"HTTP/1.1 407")
                writer.close()
    with pytest.raises(OSError, match=r"refused|failed"):
        await asyncio.open_connection("127.0.0.1", port)


# -- the defaults


@pytest.mark.parametrize(
    ("settings", "private"),
    [
        ({"Standalone": {"ip": "127.0.0.1"}}, True),
        ({"Standalone": {"ip": "0.0.0.0"}}, False),
        ({"Standalone": {"ip": "127.0.0.1"}, "Web": {"local_only": False}}, False),
        ({"Standalone": {"ip": "0.0.0.0"}, "Network": {"private_addresses": True}}, True),
    ],
)
@asynchronous(30)
async def test_private_addresses_are_refused_where_strangers_may_launch(
    settings: dict[str, Any], private: bool
) -> None:
    """Without a setting, a server that others reach is no way into the network that it is in."""
    hub = {"url": "http://127.0.0.1:1/", "api_url": "http://127.0.0.1:1/", "api_token": "x"}
    own = {"port": 0, "trust_visitors": True, **settings["Standalone"]}
    config = Config({**settings, "Standalone": own, "HubLauncher": hub, "History": {"url": ""}})
    standalone = Standalone(config=config)
    await standalone.start()
    try:
        assert isinstance(standalone.builder, LocalBuilder)
        assert standalone.builder.network.private_addresses is private
        assert standalone.builder.archives.network is standalone.builder.network
    finally:
        await standalone.stop()


@pytest.mark.parametrize(
    ("settings", "private"), [({}, False), ({"private_addresses": True}, True)]
)
@asynchronous(30)
async def test_private_addresses_are_refused_in_a_service_of_a_jupyterhub(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], private: bool
) -> None:
    """It listens on loopback, behind JupyterHub's proxy: any user of the Hub may launch."""
    for name, value in {
        "JUPYTERHUB_API_TOKEN": "x",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api",
        "JUPYTERHUB_SERVICE_NAME": "binderprogress",
        "JUPYTERHUB_SERVICE_PREFIX": "/services/binderprogress/",
        "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:0",
    }.items():
        monkeypatch.setenv(name, value)
    own = {"port": 0, "trust_visitors": True}
    config = Config({"JupyterHubService": own, "Network": settings, "History": {"url": ""}})
    service = JupyterHubService(config=config)
    await service.start()
    try:
        assert isinstance(service.builder, LocalBuilder)
        assert service.builder.network.private_addresses is private
        assert service.builder.archives.network is service.builder.network
    finally:
        await service.stop()


@pytest.mark.parametrize("name", ["allowed_networks", "denied_networks"])
def test_a_network_that_is_none_is_refused(name: str) -> None:
    """A typing error would open or close nothing, without a word."""
    with pytest.raises(TraitError, match=rf"c\.Network\.{name}"):
        Network(**{name: ["10.0.0.1/8"]})


def test_denied_networks_hold_for_public_addresses() -> None:
    """An institute's own addresses may be public, and trusted by its services."""
    denied = Network(denied_networks=["140.82.0.0/16"])
    with pytest.raises(Exception, match="may not connect to"):
        denied.check_host("140.82.121.3")
    denied.check_host("127.0.0.1")
