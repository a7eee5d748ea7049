"""Makes images of containers from files, without a container engine."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["busybox_image", "write_image"]


def write_image(
    archive: Path,
    name: str,
    layers: Sequence[Path],
    *,
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Write an archive that container engines import, as ``docker save`` does.

    Parameters
    ----------
    archive : Path
    name : str
        Of the image, with its tag.
    layers : sequence of Path
        Uncompressed tar files, the lowest one first.
    command : sequence of str
    environment : mapping of str to str, optional
        Variables, besides ``PATH``.
    """
    variables = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        **(environment or {}),
    }
    digests = []
    for layer in layers:
        with layer.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": [f"{key}={value}" for key, value in variables.items()],
            "Cmd": list(command),
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [{"created_by": "tests"} for _ in layers],
    }
    body = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(body).hexdigest()}.json"
    names = [f"{digest}.tar" for digest in digests]
    with tarfile.open(archive, "w") as tar:
        _add(tar, config_name, body)
        for layer_name, layer in zip(names, layers, strict=True):
            tar.add(layer, layer_name)
        manifest = [{"Config": config_name, "RepoTags": [name], "Layers": names}]
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def busybox_image(
    archive: Path,
    name: str,
    busybox: Path,
    *,
    command: Sequence[str],
    files: Mapping[str, str] | None = None,
) -> None:
    """Write an image with the programs of busybox and some files, which can be executed."""
    layer = archive.with_suffix(".layer")
    with tarfile.open(layer, "w") as tar:
        for folder in ("bin", "etc", "proc", "sys", "dev", "root", "tmp", "run"):
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(member)
        _add(tar, "bin/busybox", busybox.read_bytes(), mode=0o755)
        for applet in ("sh", "sleep", "cat", "echo", "head", "mkfifo", "wget", "nc", "env"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        _add(tar, "etc/passwd", b"root:x:0:0::/root:/bin/sh\n")
        for path, text in (files or {}).items():
            _add(tar, path, text.encode(), mode=0o755)
    write_image(archive, name, [layer], command=command)
    layer.unlink()


def _add(tar: tarfile.TarFile, name: str, data: bytes, *, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), mode
    tar.addfile(member, io.BytesIO(data))
