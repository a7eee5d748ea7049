"""A real node for a real control plane: containerd and the kubelet in namespaces of their own.

The network of the node and of its pods has no way out. The API server, and whatever else a test
starts there, is reached from outside through a relay on loopback.

What a machine may lack is worked around: nothing of its ``/run``, ``/var/lib``, ``/proc/sys`` or
iptables is changed, and all pods together have a limit of memory, because root may lack the right
to have the kernel prefer them when memory runs out.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .cluster import Cluster

__all__ = [
    "ADDRESS",
    "ALL_END",
    "HAS_NODE",
    "Network",
    "Node",
    "network",
    "running_node",
    "why_no_node",
]

ADDRESS = "10.99.0.1"
"""The node's in its network."""

ALL_END = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Starts a program with which all processes end that it has started, also if it is killed."""

HAS_NODE = bool(os.environ.get("BINDERPROGRESS_TEST_NODE"))
"""Whether tests on a node are wanted. They take minutes."""

_GATEWAY, _PODS = "10.99.0.254", "10.88.0.0/16"
_MEMORY = 4 * 2**30
"""Bytes for all pods."""

_REMOVAL = 60.0
"""Seconds for which processes that were killed may still be there."""

_CONTROLLERS = (
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "systemd",
)
_CGROUPS = Path("/sys/fs/cgroup")
_CGROUP = "binderprogress-test-"
_ROOT = Path(__file__).parents[2]
# What the kubelet insists on, and what many containers need.
_SYSCTL = {
    "vm/overcommit_memory": 1,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}


def why_no_node() -> str | None:
    """Say why no containers can be run here; None if they can."""
    if os.geteuid() != 0:
        return "a node needs root"
    missing = [each for each in _CONTROLLERS if not os.access(_CGROUPS / each, os.W_OK)]
    if missing:
        return f"a node needs cgroups of version 1, with {', '.join(missing)}"
    for command in ("ip", "nsenter", "unshare", "mount"):
        if shutil.which(command) is None:
            return f"{command} is not installed"
    done = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], check=False)
    return "namespaces cannot be made" if done.returncode else None


class Network:
    """A network namespace.

    Attributes
    ----------
    path : str
        Of the namespace.
    prefix : list of str
        What starts a program in it.
    """

    def __init__(self, pid: int) -> None:
        self.path = f"/proc/{pid}/ns/net"
        # Unlike `ip netns exec`, it leaves /sys as it is.
        self.prefix = ["nsenter", f"--net={self.path}"]

    @contextmanager
    def relay(self, *ports: int) -> Iterator[None]:
        """Have these ports of its loopback on that of the machine."""
        command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.support.relay"]
        with subprocess.Popen(
            [*command, self.path, *map(str, ports)],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == b"listening\n"
                yield
            finally:
                process.kill()


@contextmanager
def network() -> Iterator[Network]:
    """Make one with a loopback and the node's address, and without a way out."""
    holder = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        # It answers when it is in the namespace.
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        holder.stdout.read(1)
        made = Network(holder.pid)
        for command in (
            "link set lo up",
            "link add node type veth peer name outside",
            f"addr add {ADDRESS}/24 dev node",
            "link set node up",
            "link set outside up",
            # The kubelet looks for one.
            f"route add default via {_GATEWAY}",
        ):
            subprocess.run([*made.prefix, "ip", *command.split()], check=True)
        yield made
    finally:
        holder.kill()
        holder.communicate()


class Node:
    """containerd and the kubelet.

    Parameters
    ----------
    cluster : Cluster
        Whose programs are in the network.
    images : sequence of Path
        Archives of images that the node has.

    Attributes
    ----------
    socket : Path
        Of containerd.
    """

    def __init__(self, cluster: Cluster, images: Sequence[Path]) -> None:
        self._cluster = cluster
        self._folder = cluster.folder / "node"
        self._images = images
        self._cgroup = f"{_CGROUP}{os.getpid()}"
        self.socket = self._folder / "c.sock"

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        for name in ("var-log", "var-lib", "kubelet", "root", "state", "net", "plugins"):
            (self._folder / name).mkdir(parents=True)
        for setting, value in _SYSCTL.items():
            path = self._folder / "sys" / setting
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
        self._make_cgroups()
        self._write("containerd.toml", self._containerd())
        self._write("net/10-pods.conflist", json.dumps(self._pod_network()))
        self._write("kubelet.yaml", json.dumps(self._kubelet()))
        self._write("resolv.conf", "nameserver 127.0.0.1\n")
        self._write("run", self._script())
        self._cluster.run_command("node", [*ALL_END, "bash", str(self._folder / "run")])
        path = "/api/v1/nodes/node-1"
        self._cluster.until(lambda: _is_ready(self._cluster.ask(path)), "the node")

    def stop(self) -> None:
        """End it with all its containers."""
        self._cluster.kill("node")
        for controller in (*_CONTROLLERS, "unified"):
            _remove(_CGROUPS / controller / self._cgroup)

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text)

    def _make_cgroups(self) -> None:
        for abandoned in _CGROUPS.glob(f"*/{_CGROUP}*"):
            # Of tests that were killed.
            if not Path("/proc", abandoned.name.removeprefix(_CGROUP)).exists():
                _remove(abandoned)
        for controller in _CONTROLLERS:
            (_CGROUPS / controller / self._cgroup).mkdir()
        for name in ("cpus", "mems"):
            # A new one is empty.
            value = (_CGROUPS / "cpuset" / f"cpuset.{name}").read_text()
            (_CGROUPS / "cpuset" / self._cgroup / f"cpuset.{name}").write_text(value)

    def _containerd(self) -> str:
        folder, programs = self._folder, self._cluster.programs
        unused = ", ".join(
            f'"io.containerd.snapshotter.v1.{name}"'
            for name in ("btrfs", "zfs", "aufs", "devmapper")
        )
        return f"""\
version = 2
root = "{folder}/root"
state = "{folder}/state"
oom_score = 0
disabled_plugins = [{unused}]
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{programs}/bin/runc"
      SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{programs}/cni"
    conf_dir = "{folder}/net"
"""

    def _pod_network(self) -> dict[str, object]:
        addresses = {
            "type": "host-local",
            "dataDir": str(self._folder / "net" / "addresses"),
            "ranges": [[{"subnet": _PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipam": addresses}
        return {"cniVersion": "0.3.1", "name": "pods", "plugins": [bridge]}

    def _kubelet(self) -> dict[str, object]:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "address": ADDRESS,
            "port": self._cluster.ports["kubelet"],
            "readOnlyPort": 0,
            "healthzPort": 0,
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._cgroup}",
            "enforceNodeAllocatable": ["pods"],
            "systemReserved": {"memory": f"{max(memory - _MEMORY, 0) >> 20}Mi"},
            "evictionHard": {
                "memory.available": "50Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
            },
            "failSwapOn": False,
            "makeIPTablesUtilChains": False,
            "oomScoreAdj": 0,
            "protectKernelDefaults": True,
            "resolvConf": str(self._folder / "resolv.conf"),
            # Without one, each pod has a warning.
            "clusterDNS": ["10.0.0.10"],
            "clusterDomain": "cluster.local",
            "serializeImagePulls": False,
            "imageGCHighThresholdPercent": 100,
            "volumePluginDir": str(self._folder / "plugins"),
            "nodeStatusUpdateFrequency": "1s",
            "maxPods": 50,
        }

    def _script(self) -> str:
        """Return what runs as the first process of the node's own namespaces."""
        folder, programs = self._folder, self._cluster.programs / "bin"
        binds = [f"mount --bind {folder}/sys/{name} /proc/sys/{name}" for name in _SYSCTL]
        imports = [
            f"ctr --address {self.socket} --namespace k8s.io images import {image}"
            for image in self._images
        ]
        kubelet = (
            f"kubelet --config={folder}/kubelet.yaml --root-dir={folder}/kubelet"
            f" --kubeconfig={self._cluster.folder}/kubelet.kubeconfig"
            f" --cert-dir={folder}/certificates --hostname-override=node-1 --node-ip={ADDRESS}"
            " --container-runtime=remote"
            f" --container-runtime-endpoint=unix://{self.socket}"
            f" --image-service-endpoint=unix://{self.socket}"
            " --pod-infra-container-image=localhost/pause:1 &"
        )
        lines = [
            "set -eu",
            "mount --make-rprivate /",
            "mount -t tmpfs -o mode=755 tmpfs /run",
            # Of the kubelet's plugins, and of logs of containers.
            f"mount --bind {folder}/var-log /var/log",
            f"mount --bind {folder}/var-lib /var/lib",
            *binds,
            f"export PATH={programs}:$PATH TMPDIR={folder}",
            # The kubelet would ask a cloud for credentials of registries.
            "export AWS_EC2_METADATA_DISABLED=true",
            f"containerd --config {folder}/containerd.toml &",
            # The kubelet waits for it at this place.
            f"mkdir -p /run/containerd; ln -s {self.socket} /run/containerd/containerd.sock",
            f"until ctr --address {self.socket} version; do sleep 0.1; done >/dev/null 2>&1",
            *imports,
            kubelet,
            "wait -n",
        ]
        return "\n".join(lines) + "\n"


def _remove(cgroup: Path) -> None:
    """Remove a control group with those in it, as soon as their last processes have ended."""
    deadline = time.monotonic() + _REMOVAL
    for folder in sorted([cgroup, *cgroup.rglob("*/")], key=lambda each: -len(each.parts)):
        while folder.exists():
            try:
                folder.rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)  # there is no event for it


@contextmanager
def running_node(
    programs: Path, folder: Path, images: Sequence[Path]
) -> Iterator[tuple[Cluster, Network]]:
    """Run a control plane and a node, with these images."""
    with network() as net:
        cluster = Cluster(programs, folder, prefix=net.prefix, address=ADDRESS)
        node = Node(cluster, images)
        with net.relay(cluster.ports["api"], cluster.ports["etcd"]):
            try:
                cluster.start()
                node.start()
                yield cluster, net
            finally:
                node.stop()
                cluster.stop()


def _is_ready(node: dict[str, dict[str, list[dict[str, str]]]]) -> bool:
    conditions = node["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
