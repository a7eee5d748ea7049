"""A real Kubernetes without nodes: etcd, the API server, the scheduler and the controllers.

All of it is in one temporary folder, listens on loopback only, and ends with the process that
started it. Nodes are in `cluster_kubelet`, which is a double, and in `cluster_node`, which is not.
"""

from __future__ import annotations

import json
import secrets
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from binderprogress.deploy.embedded_jupyterhub import free_ports

from .cluster_certificates import write_certificates

__all__ = ["Admin", "ApiError", "Cluster", "Namespace", "running_cluster"]

USERS = {
    # Whose rights the tests are about: none but those that a test grants.
    "builder": ("builder", ""),
    "admin": ("admin", "system:masters"),
    "controllers": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kubelet": ("system:node:node-1", "system:nodes"),
}
"""Names and groups of those who have a token."""

# Seconds. Nodes are lost after the first of them, and then pods have the second one. On a busy
# machine, a node that a test plays may be silent for some seconds.
NODE_GRACE, EVICTION_GRACE = 30, 2
# Seconds that a program may take to start; machines may be slow.
_START = 240.0

Object = dict[str, Any]


class ApiError(Exception):
    """The API server refused a request of a test."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text}")
        self.status = status


class Cluster:
    """The programs.

    Parameters
    ----------
    programs : Path
        See `cluster_programs`.
    folder : Path
        For all that they write.
    prefix : sequence of str
        What starts each program, such as in a network namespace.
    address : str
        Where a node outside of the programs' loopback reaches the API server.

    Attributes
    ----------
    url : str
        The API server's.
    ports : dict of str to int
    """

    def __init__(
        self, programs: Path, folder: Path, *, prefix: Sequence[str] = (), address: str = ""
    ) -> None:
        self.programs, self.folder = programs, folder
        self.tokens = {user: secrets.token_hex(16) for user in USERS}
        names = ("api", "etcd", "peer", "controllers", "scheduler", "kubelet")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.url = f"https://127.0.0.1:{self.ports['api']}"
        self._prefix, self._address = prefix, address
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    # -- start and end

    def start(self) -> None:
        """Start everything, and wait until pods can be created."""
        folder = self.folder
        folder.mkdir(exist_ok=True)
        write_certificates(
            folder,
            addresses=["127.0.0.1", "10.0.0.1", *([self._address] if self._address else [])],
            names=["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
        )
        lines = [
            f'{self.tokens[user]},{name},{name},"{group}"' for user, (name, group) in USERS.items()
        ]
        (folder / "tokens.csv").write_text("\n".join(lines))
        for user in USERS:
            self.kubeconfig(user)
        etcd = f"http://127.0.0.1:{self.ports['etcd']}"
        peer = f"http://127.0.0.1:{self.ports['peer']}"
        self.run(
            "etcd",
            *("--data-dir", str(folder / "etcd"), "--name=one", f"--initial-cluster=one={peer}"),
            *(f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
            # Nothing of it outlives the tests.
            "--unsafe-no-fsync",
        )
        self.start_api()
        self.await_api()
        self._start_controllers()
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self.until(lambda: self.ask(account).get("secrets"), "the service account")

    def start_api(self) -> None:
        """Start the API server. It ends with the thread that calls this."""
        folder = self.folder
        self.run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self.ports['etcd']}",
            f"--secure-port={self.ports['api']}",
            *("--insecure-port=0", f"--bind-address={'0.0.0.0' if self._address else '127.0.0.1'}"),
            f"--advertise-address={self._address or '127.0.0.1'}",
            *([] if self._address else ["--endpoint-reconciler-type=none"]),
            f"--tls-cert-file={folder / 'server.crt'}",
            f"--tls-private-key-file={folder / 'server.key'}",
            f"--client-ca-file={folder / 'ca.crt'}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--service-account-key-file={folder / 'accounts.pub'}",
            f"--service-account-signing-key-file={folder / 'accounts.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--kubelet-preferred-address-types=InternalIP",
            f"--default-not-ready-toleration-seconds={EVICTION_GRACE}",
            f"--default-unreachable-toleration-seconds={EVICTION_GRACE}",
        )

    def await_api(self) -> None:
        """Wait until the API server is ready."""
        self.until(lambda: self.ask("/readyz", parse=False), "the API server")

    def _start_controllers(self) -> None:
        folder = self.folder
        self.run(
            "kube-controller-manager",
            *self._component("controllers"),
            f"--root-ca-file={folder / 'ca.crt'}",
            f"--service-account-private-key-file={folder / 'accounts.key'}",
            f"--flex-volume-plugin-dir={folder / 'plugins'}",
            "--use-service-account-credentials=true",
            "--node-monitor-period=1s",
            f"--node-monitor-grace-period={NODE_GRACE}s",
        )
        self.run("kube-scheduler", *self._component("scheduler"))

    def _component(self, user: str) -> list[str]:
        config = self.folder / f"{user}.kubeconfig"
        return [
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.ports[user]}",
            "--port=0",
            f"--cert-dir={self.folder / f'{user}-certificates'}",
            "--leader-elect=false",
        ]

    def run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a program, which ends with this process whatever happens to it."""
        return self.run_command(program, [str(self.programs / "bin" / program), *arguments])

    def run_command(self, program: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a command, and call it by a name."""
        with (self.folder / f"{program}.log").open("ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        self._processes[program] = process
        return process

    def stop(self) -> None:
        """End everything."""
        for program in reversed(self._processes):
            self.kill(program)

    def kill(self, program: str) -> None:
        """Kill a program, unless it was never started."""
        process = self._processes.get(program)
        if process is None:
            return
        process.kill()
        process.wait(60)

    @contextmanager
    def stalled_api(self) -> Iterator[None]:
        """Have the API server accept connections, and not answer."""
        process = self._processes["kube-apiserver"]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    # -- who asks, and how

    def kubeconfig(self, user: str, *, url: str = "") -> Path:
        """Write a file with which a user reaches the API server, and return its path.

        Parameters
        ----------
        user : str
            One of `USERS`.
        url : str
            Another address of the API server, such as a proxy's.
        """
        name = f"{user}.kubeconfig" if not url else f"{user}-{url.rpartition(':')[2]}.kubeconfig"
        path = self.folder / name
        cluster = {
            "server": url or self.url,
            "certificate-authority": str(self.folder / "ca.crt"),
        }
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "tests",
                    "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": user}}],
                    "clusters": [{"name": "tests", "cluster": cluster}],
                    "users": [{"name": user, "user": {"token": self.tokens[user]}}],
                }
            )
        )
        path.chmod(0o600)
        return path

    @property
    def tls(self) -> ssl.SSLContext:
        """What trusts the API server."""
        return ssl.create_default_context(cafile=self.folder / "ca.crt")

    def ask(self, path: str, *, parse: bool = True) -> Any:
        """Return what the API server answers to the administrator, before any loop runs."""
        headers = {"Authorization": f"Bearer {self.tokens['admin']}"}
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request, context=self.tls, timeout=10) as answer:
            body = answer.read()
        return json.loads(body) if parse else body

    def until(self, condition: Any, what: str) -> None:
        """Wait until something is true while the programs start, for which there is no event."""
        deadline = time.monotonic() + _START
        while True:
            with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                if condition():
                    return
            for program, process in self._processes.items():
                if (code := process.poll()) is not None:
                    log = (self.folder / f"{program}.log").read_text(errors="replace")
                    raise RuntimeError(f"{program} ended with {code}: {log[-3000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} is not ready after {_START} s")
            time.sleep(0.1)

    def compact(self) -> None:
        """Have etcd forget all versions but the newest."""
        url = f"http://127.0.0.1:{self.ports['etcd']}/v3/kv"
        # The version is in the header of each answer.
        range_of_one = _etcd(f"{url}/range", {"key": "AA==", "limit": 1})
        revision = range_of_one["header"]["revision"]
        _etcd(f"{url}/compaction", {"revision": revision, "physical": True})

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Admin]:
        """Give tests all rights."""
        headers = {"Authorization": f"Bearer {self.tokens['admin']}"}
        connector = aiohttp.TCPConnector(ssl=self.tls, limit=0)
        async with aiohttp.ClientSession(
            self.url, headers=headers, connector=connector, read_bufsize=2**22
        ) as session:
            yield Admin(session)


class Admin:
    """Requests of somebody who may do everything."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(
        self, method: str, path: str, body: Object | None = None, *, content: str = ""
    ) -> Object:
        """Send a request, and return the object that it is answered with.

        Parameters
        ----------
        method, path : str
        body : dict, optional
        content : str
            The type of the body; the default is that of objects, or of patches that merge.

        Raises
        ------
        ApiError
        """
        patch = "application/strategic-merge-patch+json"
        kind = content or (patch if method == "PATCH" else "application/json")
        data = None if body is None else json.dumps(body)
        async with self._session.request(
            method, path, data=data, headers={"Content-Type": kind}
        ) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise ApiError(answer.status, text)
            found: Object = json.loads(text)
            return found

    async def text(self, path: str) -> str:
        """Return what is no object, such as a log."""
        async with self._session.get(path, raise_for_status=True) as answer:
            return await answer.text()

    async def watch(self, path: str) -> AsyncGenerator[tuple[str, Object]]:
        """Yield what there is below a path, ``LISTED``, and then each change for ever."""
        listed = await self.request("GET", path)
        for item in listed["items"]:
            yield "ADDED", item
        yield "LISTED", {}
        version = listed["metadata"]["resourceVersion"]
        query = {"watch": "true", "resourceVersion": version}
        no_limit = aiohttp.ClientTimeout(total=None)
        async with self._session.get(path, params=query, timeout=no_limit) as answer:
            async for line in answer.content:
                change = json.loads(line)
                assert change["type"] != "ERROR", change
                yield change["type"], change["object"]

    @asynccontextmanager
    async def namespace(self) -> AsyncIterator[Namespace]:
        """Make a namespace for one test."""
        name = f"test-{secrets.token_hex(4)}"
        await self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        namespace = Namespace(self, name)
        try:
            await namespace.has_account()
            yield namespace
        finally:
            await self.request("DELETE", f"/api/v1/namespaces/{name}")


class Namespace:
    """A namespace of one test.

    Attributes
    ----------
    name, path : str
    """

    def __init__(self, admin: Admin, name: str) -> None:
        self.admin, self.name = admin, name
        self.path = f"/api/v1/namespaces/{name}"

    async def has_account(self) -> None:
        """Wait until pods can be created."""
        await self.until(
            lambda _, found: found["metadata"]["name"] == "default" and found.get("secrets"),
            "serviceaccounts",
        )

    async def create(self, kind: str, body: Object, *, group: str = "api/v1") -> Object:
        """Create an object in it."""
        return await self.admin.request("POST", f"/{group}/namespaces/{self.name}/{kind}", body)

    async def grant(self, rules: Sequence[Object], *, user: str = "builder") -> None:
        """Give somebody rights in it."""
        group = "rbac.authorization.k8s.io"
        api = f"apis/{group}/v1"
        role = {"metadata": {"name": user}, "rules": list(rules)}
        await self.create("roles", role, group=api)
        binding = {
            "metadata": {"name": user},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": user},
            "subjects": [{"apiGroup": group, "kind": "User", "name": USERS[user][0]}],
        }
        await self.create("rolebindings", binding, group=api)

    async def revoke(self, *, user: str = "builder") -> None:
        """Take these rights from them."""
        for kind in ("rolebindings", "roles"):
            path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.name}/{kind}/{user}"
            await self.admin.request("DELETE", path)

    async def pods(self) -> list[Object]:
        """List the pods in it."""
        listed = await self.admin.request("GET", f"{self.path}/pods")
        pods: list[Object] = listed["items"]
        return pods

    async def until(self, condition: Any, kind: str = "pods") -> Object:
        """Wait until an object fulfils a condition, and return it.

        Parameters
        ----------
        condition : callable
            Gets the kind of the change and the object.
        kind : str
        """
        async with aclosing(self.admin.watch(f"{self.path}/{kind}")) as changes:
            async for change, found in changes:
                if found and condition(change, found):
                    return found
        raise AssertionError("the watch has ended")

    async def empty(self) -> None:
        """Wait until there are no pods."""
        names: set[str] = set()
        listed = False
        async with aclosing(self.admin.watch(f"{self.path}/pods")) as changes:
            async for change, found in changes:
                listed = listed or change == "LISTED"
                if change == "DELETED":
                    names.discard(found["metadata"]["name"])
                elif found:
                    names.add(found["metadata"]["name"])
                if listed and not names:
                    return


@contextmanager
def running_cluster(programs: Path, folder: Path) -> Iterator[Cluster]:
    """Run one without nodes."""
    cluster = Cluster(programs, folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _etcd(url: str, body: Object) -> Object:
    request = urllib.request.Request(url, data=json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: Object = json.loads(answer.read())
        return found
