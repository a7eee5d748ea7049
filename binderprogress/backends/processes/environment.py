"""Which of the server's environment variables the programs that it starts may see.

Attack: a server's environment holds tokens (``JUPYTERHUB_API_TOKEN``, cloud credentials), and so
do files in its user's home (``.netrc``, ``.gitconfig``, ``.ssh``). A repository's ``setup.py``
reads the first, and what git finds in the second is sent to hosts that strangers name. So variables
are passed by name, and ``HOME`` is an empty folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

__all__ = [
    "ENGINE",
    "PACKAGES",
    "PUSH",
    "SYSTEM",
    "USER",
    "engine_folders",
    "exclude",
    "private_home",
    "select",
    "with_git_config",
]

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")

SYSTEM = (
    *("PATH", "LD_LIBRARY_PATH", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR"),
    *_PROXIES,
    *(name.upper() for name in _PROXIES),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "PIP_CERT", "NODE_EXTRA_CA_CERTS"),
    "R2D_DATAVERSE_INSTALLATIONS_URL",
)
"""What every program may see."""

PACKAGES = (
    *("UV_CACHE_DIR", "UV_CONFIG_FILE", "UV_CONCURRENT_*", "UV_DEFAULT_INDEX", "UV_EXCLUDE_NEWER"),
    *("UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_HTTP_TIMEOUT", "UV_INDEX", "UV_INDEX_STRATEGY"),
    *("UV_INDEX_URL", "UV_INSECURE_HOST", "UV_LINK_MODE", "UV_NATIVE_TLS", "UV_OFFLINE"),
    *("UV_PYTHON_DOWNLOADS", "UV_PYTHON_INSTALL_DIR", "UV_PYTHON_INSTALL_MIRROR"),
    *("UV_PYTHON_PREFERENCE", "UV_SYSTEM_CERTS"),
    *("PIP_CACHE_DIR", "PIP_CONFIG_FILE", "PIP_DEFAULT_TIMEOUT", "PIP_DISABLE_PIP_VERSION_CHECK"),
    *("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_NO_INDEX", "PIP_TRUSTED_HOST"),
)
"""What installing packages needs. The repository's code sees it, passwords in addresses too."""

ENGINE = (
    *("BUILDAH_ISOLATION", "CONTAINERS_CONF", "CONTAINERS_CONF_OVERRIDE"),
    *("CONTAINERS_REGISTRIES_CONF", "CONTAINERS_STORAGE_CONF", "CONTAINER_HOST"),
    *("DBUS_SESSION_BUS_ADDRESS", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "DOCKER_CONTEXT"),
    *("DOCKER_HOST", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "REGISTRY_AUTH_FILE"),
    *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "BINDERPROGRESS_ENGINE_HOME"),
)
"""Where the container engine is, and its storage. No code of a repository runs beside it."""

PUSH = ("CONTAINER_ENGINE_REGISTRY_CREDENTIALS",)
"""repo2docker's own: what it logs in to a registry with."""

USER = (
    *("HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"),
    *("SSH_AUTH_SOCK", "SSH_AGENT_PID", "GNUPGHOME", "DBUS_SESSION_BUS_ADDRESS"),
)
"""What git needs for the keys and credential helpers of the server's user."""


# Attack: with "always", a repository from anywhere could have a submodule at file:///home/… and so
# read what local_folders does not allow. "user" is: as the address that was named, not as one that
# a repository names.
_PROTOCOLS = {
    "protocol.allow": "never",
    "protocol.file.allow": "user",
    **{f"protocol.{name}.allow": "always" for name in ("git", "http", "https")},
}
# Attack: hooks, and programs that git runs of its own accord, with which a repository would run
# code while it is cloned (CVE-2025-48384 puts a hook where git looks for it). Nor does git leave
# anything running.
_NO_PROGRAMS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "safe.bareRepository": "explicit",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
# Without them, strangers read only what anyone may read, not what the server's user may.
_CREDENTIALS = {
    True: {"protocol.ssh.allow": "always"},
    False: {"protocol.ssh.allow": "never", "credential.helper": ""},
}
# Attack: a server that strangers choose leads git to another one. git:// and ssh do not go through
# the proxy that checks addresses. An ssh address that was named is checked before; one that a
# repository names, for a submodule, is not.
_NO_DETOURS = {"protocol.git.allow": "never", "http.followRedirects": "false"}
# Redirects do go through the proxy. They are off unless they are needed.
_REDIRECTS = {"http.followRedirects": "initial"}
_RESTRICTED = {True: {**_NO_DETOURS, "protocol.ssh.allow": "user"}, False: _NO_DETOURS}


def select(names: Iterable[str], environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment variables that have one of these names.

    Parameters
    ----------
    names : iterable of str
        Names, or patterns with ``*``.
    environment : mapping, optional
        Ours by default.
    """
    patterns = tuple(names)
    return {
        name: value
        for name, value in (os.environ if environment is None else environment).items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def exclude(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that have none of these names, or patterns with ``*``."""
    patterns = tuple(names)
    return {
        name: value
        for name, value in environment.items()
        if not any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def git_environment(
    *,
    credentials: bool,
    more: Iterable[str] = (),
    restricted: bool = False,
    follow_redirects: bool = False,
) -> dict[str, str]:
    """Return the environment in which git never asks a person and speaks only safe protocols.

    There is no home in it but with `credentials`: git sends what ``.netrc`` says to the hosts that
    strangers name, and runs what ``.gitconfig`` says.

    Parameters
    ----------
    credentials : bool
        Whether it may use this user's ssh keys and credential helpers.
    more : iterable of str
        Names of more variables to pass on from our environment, see `select`.
    restricted : bool
        Whether there are addresses that it must not connect to; see `network.Network`.
    follow_redirects : bool
        Whether it follows redirects nevertheless.
    """
    env = {"HOME": os.devnull, **select((*SYSTEM, *(USER if credentials else ()), *more))}
    config = {**_PROTOCOLS, **_NO_PROGRAMS, **_CREDENTIALS[credentials]}
    if restricted:
        config |= _RESTRICTED[credentials] | (_REDIRECTS if follow_redirects else {})
    return {
        **with_git_config(env, config),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=10",
        "LC_ALL": "C.UTF-8",
    }


@contextmanager
def private_home() -> Iterator[dict[str, str]]:
    """Make an empty home folder, which is removed at the end; gives the variable that names it."""
    with tempfile.TemporaryDirectory(
        prefix="binderprogress-home-", ignore_cleanup_errors=True
    ) as folder:
        yield {"HOME": folder}


def engine_folders() -> dict[str, str]:
    """Return where the container engines find what they keep in the user's real home."""
    home = Path.home()
    folders = {
        "DOCKER_CONFIG": home / ".docker",
        "XDG_CONFIG_HOME": home / ".config",
        "XDG_DATA_HOME": home / ".local" / "share",
        # For podman alone; see binderprogress.deploy.podman_engine.
        "BINDERPROGRESS_ENGINE_HOME": home,
    }
    return {name: os.environ.get(name) or str(folder) for name, folder in folders.items()}


def with_git_config(env: Mapping[str, str], config: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which git has more settings, which overrule those in files."""
    count = int(env.get("GIT_CONFIG_COUNT") or 0)
    made = {**env, "GIT_CONFIG_COUNT": str(count + len(config))}
    for number, (key, value) in enumerate(config.items(), count):
        made[f"GIT_CONFIG_KEY_{number}"], made[f"GIT_CONFIG_VALUE_{number}"] = key, value
    return made
