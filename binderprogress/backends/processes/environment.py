"""The environment variables of programs that the server starts.

Attack: the server's environment contains secrets (``JUPYTERHUB_API_TOKEN``, cloud credentials), and
so do files in its user's home folder (``.netrc``, ``.gitconfig``, ``.ssh``). A repository's
``setup.py`` could read the variables, and git would send credentials to hosts that visitors choose.
So variables are passed by name, and ``HOME`` is an empty folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from ..._temporary import OwnedFolder

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
"""Variables that every program may see."""

PACKAGES = (
    *("UV_CACHE_DIR", "UV_CONFIG_FILE", "UV_CONCURRENT_*", "UV_DEFAULT_INDEX", "UV_EXCLUDE_NEWER"),
    *("UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_HTTP_TIMEOUT", "UV_INDEX", "UV_INDEX_STRATEGY"),
    *("UV_INDEX_URL", "UV_INSECURE_HOST", "UV_LINK_MODE", "UV_NATIVE_TLS", "UV_OFFLINE"),
    *("UV_PYTHON_DOWNLOADS", "UV_PYTHON_INSTALL_DIR", "UV_PYTHON_INSTALL_MIRROR"),
    *("UV_PYTHON_PREFERENCE", "UV_SYSTEM_CERTS"),
    *("PIP_CACHE_DIR", "PIP_CONFIG_FILE", "PIP_DEFAULT_TIMEOUT", "PIP_DISABLE_PIP_VERSION_CHECK"),
    *("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_NO_INDEX", "PIP_TRUSTED_HOST"),
)
"""Variables for installing packages. Code of the repository can read them and their passwords."""

ENGINE = (
    *("BUILDAH_ISOLATION", "CONTAINERS_CONF", "CONTAINERS_CONF_OVERRIDE"),
    *("CONTAINERS_REGISTRIES_CONF", "CONTAINERS_STORAGE_CONF", "CONTAINER_HOST"),
    *("DBUS_SESSION_BUS_ADDRESS", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "DOCKER_CONTEXT"),
    *("DOCKER_HOST", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "REGISTRY_AUTH_FILE"),
    *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "BINDERPROGRESS_ENGINE_HOME"),
)
"""Variables of the container engine. Code of a repository does not run with them."""

PUSH = ("CONTAINER_ENGINE_REGISTRY_CREDENTIALS",)
"""The variable with which repo2docker logs in to a registry."""

USER = (
    *("HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"),
    *("SSH_AUTH_SOCK", "SSH_AGENT_PID", "GNUPGHOME", "DBUS_SESSION_BUS_ADDRESS"),
)
"""Variables that git needs for the keys and credential helpers of the server's user."""


# Attack: with "always", any repository could have a submodule at file:///home/… and read folders
# that local_folders does not allow. "user" allows the address of the repository, but not those of
# submodules.
_PROTOCOLS = {
    "protocol.allow": "never",
    "protocol.file.allow": "user",
    **{f"protocol.{name}.allow": "always" for name in ("git", "http", "https")},
}
# Attack: with hooks and other programs that git runs, a repository would run code while it is
# cloned (CVE-2025-48384 installs a hook). git must not leave processes running, either.
_NO_PROGRAMS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "safe.bareRepository": "explicit",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
# Without credentials, visitors can read only public repositories.
_CREDENTIALS = {
    True: {"protocol.ssh.allow": "always"},
    False: {"protocol.ssh.allow": "never", "credential.helper": ""},
}
# Attack: a server that a visitor chooses redirects git to another one. git:// and ssh do not use
# the proxy that checks addresses. The ssh address of a repository is checked before, but those of
# submodules are not.
_NO_DETOURS = {"protocol.git.allow": "never", "http.followRedirects": "false"}
# Redirects do go through the proxy. They are off unless they are needed.
_REDIRECTS = {"http.followRedirects": "initial"}
_RESTRICTED = {True: {**_NO_DETOURS, "protocol.ssh.allow": "user"}, False: _NO_DETOURS}


def select(names: Iterable[str], environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment variables with these names.

    Parameters
    ----------
    names : iterable of str
        Names, or patterns with ``*``.
    environment : mapping, optional
        The default is our environment.
    """
    patterns = tuple(names)
    return {
        name: value
        for name, value in (os.environ if environment is None else environment).items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def exclude(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables without those with these names, or patterns with ``*``."""
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
    """Return an environment in which git never prompts, and uses only safe protocols.

    It has a home folder only with `credentials`, because git sends passwords in ``.netrc`` to hosts
    that visitors choose, and runs programs in ``.gitconfig``.

    Parameters
    ----------
    credentials : bool
        Whether git may use this user's ssh keys and credential helpers.
    more : iterable of str
        Names of more variables to pass from our environment, see `select`.
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
    """Create an empty home folder for a context. It yields the environment variable for it."""
    with OwnedFolder("home") as folder:
        yield {"HOME": folder}


def engine_folders() -> dict[str, str]:
    """Return variables with the folders of the container engines in the user's real home."""
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
    """Return an environment with settings for git, which override those in files."""
    count = int(env.get("GIT_CONFIG_COUNT") or 0)
    made = {**env, "GIT_CONFIG_COUNT": str(count + len(config))}
    for number, (key, value) in enumerate(config.items(), count):
        made[f"GIT_CONFIG_KEY_{number}"], made[f"GIT_CONFIG_VALUE_{number}"] = key, value
    return made
