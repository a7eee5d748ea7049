"""A JupyterHub spawner that runs the image of a launch, protected by the launch's token.

It extends DockerSpawner, and works with docker or podman's service. It is for one machine what
BinderHub's mixin for KubeSpawner is for a cluster: the request that starts the server names the
image and the token, and the server requires that token instead of a login. Images need JupyterLab,
Jupyter Notebook or Jupyter Server, but not JupyterHub.

Example of a ``jupyterhub_config.py``::

    c.JupyterHub.spawner_class = "binderprogress.deploy.spawners.container.ContainerSpawner"
    c.JupyterHub.allow_named_servers = True
    c.JupyterHub.cleanup_servers = True
    # Answer the POST at once. The progress stream has the rest.
    c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
    c.JupyterHub.services = [{"name": "binderprogress", "api_token": "…"}]
    c.JupyterHub.load_roles = [
        {
            "name": "binderprogress-launcher",
            "services": ["binderprogress"],
            "scopes": ["admin:users", "admin:servers"],
        }
    ]
    # Nobody logs in. The service creates the users.
    c.JupyterHub.authenticator_class = "null"
    c.ContainerSpawner.http_timeout = 120

JupyterHub's environment variable ``DOCKER_HOST`` has the address of the engine. For podman, run
``podman system service --time=0 unix:///run/podman/podman.sock``, and use that address. By default,
docker's socket is used. Images must be in the storage of the engine.

The service then sends ``POST /hub/api/users/{name}/servers/{server}`` with ``{"image": …,
"token": …, "repo_url": …, "binder_…": …}``. As with BinderHub, JupyterHub stores these options in
its database.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from docker.errors import APIError, NotFound
from dockerspawner import DockerSpawner
from jupyterhub.utils import random_port
from tornado import web
from traitlets import Bool, Integer, TraitError, Unicode, default, validate

from .readiness import until_it_answers

__all__ = ["ContainerSpawner"]

# Starts the first of these that the image has, with the arguments that follow in the command. With
# exec, the server is the container's first process and gets the signals.
_SERVE = """\
for kind in lab notebook server; do
  if command -v "jupyter-$kind" > /dev/null; then exec "jupyter-$kind" "$@"; fi
done
echo "This image has no JupyterLab, Jupyter Notebook or Jupyter Server." >&2
exit 127
"""

# Only these options become environment variables. Attack: an option named "LD_PRELOAD".
_BINDER_OPTION = re.compile(r"binder_[a-z_]+")

# Characters that are allowed in environment variables and in the query of a URL.
_TOKEN = re.compile(r"[A-Za-z0-9._~=-]+")

_EXIT_CODE = re.compile(r"ExitCode=(\d+)")

# How much of the output of a server that ended is reported.
_LAST_LINES = 20
_LONGEST_OUTPUT = 3000


class ContainerSpawner(DockerSpawner):
    """Runs the image that the request names, with the token of the request."""

    # A list in DockerSpawner, but launches create new image names.
    allowed_images = Unicode(
        r"(localhost/)?binderprogress-[a-z0-9._-]+(:[A-Za-z0-9._-]+)?",
        config=True,
        help="""
        Regular expression that matches the full names of images that may be run.

        The default allows images that binderprogress has built on this machine, and no images of
        registries. Everyone who may start servers in JupyterHub can run the allowed images.
        """,
    )

    _is_starting = False

    host_network = Bool(
        False,
        config=True,
        help="""
        Run containers in the network of the machine, each on 127.0.0.1 and a free port.

        This is for machines on which containers cannot have their own networks. The code in the
        container can then reach everything that listens on this machine. Do not use it for
        untrusted repositories.
        """,
    )

    idle_timeout = Integer(
        3600,
        config=True,
        help="Seconds after which an idle server stops. 0 means never.",
    )

    cors_allow_origin = Unicode(
        "",
        config=True,
        help="""
        Origin whose pages may use the servers (Access-Control-Allow-Origin). "*" allows all.
        """,
    )

    @validate("allowed_images")
    def _validate_allowed_images(self, proposal: Any) -> str:
        pattern: str = proposal["value"]
        try:
            re.compile(pattern)
        except re.error as error:
            raise TraitError(
                f"ContainerSpawner.allowed_images is not a regular expression: {error}"
            ) from error
        return pattern

    @default("options_form")
    def _default_options_form(self) -> str:
        return ""

    @default("apply_user_options")
    def _default_apply_user_options(self) -> Callable[[Any, Any], None]:
        # start() reads the options. Without a hook, JupyterHub 6 warns that they are ignored.
        return lambda _spawner, _options: None

    @default("cmd")
    def _default_cmd(self) -> list[str]:
        return ["sh", "-c", _SERVE, "jupyter"]

    @default("prefix")
    def _default_prefix(self) -> str:
        return "binderprogress"

    @default("remove")
    def _default_remove(self) -> bool:
        return True

    @default("pull_policy")
    def _default_pull_policy(self) -> str:
        # Images that match the default pattern are not in a registry.
        return "never"

    @default("ip")
    def _ip_default(self) -> str:
        return "127.0.0.1" if self.host_network else "0.0.0.0"  # noqa: S104 (inside the container)

    @default("network_name")
    def _default_network_name(self) -> str:
        return "host" if self.host_network else "bridge"

    @default("use_internal_ip")
    def _default_use_ip(self) -> bool:
        # In these networks, ports are not published on the machine.
        return self.host_network or self.network_name not in {"bridge", "host"}

    async def start(self) -> tuple[str, int]:
        """Start the container of `user_options`.

        Returns
        -------
        tuple of str and int
            Address and port of its server.

        Raises
        ------
        tornado.web.HTTPError
            400 without an image or a token, or if the image is not allowed. 404 if the image does
            not exist.
        """
        if not self.user_options.get("image"):
            raise _refusal(400, "The option image is missing.")
        token = self.user_options.get("token")
        # An empty token would turn off authentication.
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise _refusal(
                400, "The option token is missing or not valid. Use letters, digits and . _ ~ = -"
            )
        if self.host_network:
            self.port = random_port()
        self._is_starting = True
        try:
            ip, port = await super().start()
            await until_it_answers(self, ip, port, output=self._last_lines)
        finally:
            self._is_starting = False
        return ip, port

    async def poll(self) -> int | str | None:
        """Return None while the container runs, else its exit code. Remove it once it has ended.

        The engine does not remove it, because its output says why it ended.
        """
        status: int | str | None = await super().poll()
        if status is None or self._is_starting:
            return _exit_code(status)
        if self.remove and self.container_id:
            await self.remove_object()
        return _exit_code(status)

    async def _last_lines(self) -> str:
        """Return the last lines that the server printed."""
        try:
            printed: bytes = await self.docker("logs", self.container_id, tail=_LAST_LINES)
        except APIError as error:
            self.log.warning("The output of a server cannot be read: %s", error)
            return ""
        return printed[-_LONGEST_OUTPUT:].decode("utf-8", "replace")

    async def check_allowed(self, image: Any) -> str:
        """Check that an image may be run.

        Parameters
        ----------
        image : str
            Its name in the request, which may be any JSON value.

        Returns
        -------
        str
            The name.

        Raises
        ------
        tornado.web.HTTPError
            400 if it may not.
        """
        if not isinstance(image, str) or not re.fullmatch(self.allowed_images, image):
            raise _refusal(
                400,
                f"The image {str(image)[:200]!r} is not allowed here: its name does not match "
                "ContainerSpawner.allowed_images.",
            )
        return image

    async def pull_image(self, image: str) -> None:
        """Pull the image, depending on `pull_policy`.

        Parameters
        ----------
        image : str
            Its name.

        Raises
        ------
        tornado.web.HTTPError
            404 if the image does not exist.
        """
        try:
            await super().pull_image(image)
        except NotFound as error:
            raise _refusal(404, f"The image {image} does not exist on this machine.") from error

    async def get_ip_and_port(self) -> tuple[str, int]:
        """Return where the container's server listens, as JupyterHub reaches it.

        Returns
        -------
        tuple of str and int
            Address and port.
        """
        if self.host_network:
            return self.ip, self.port
        address: tuple[str, int] = await super().get_ip_and_port()
        return address

    def get_args(self) -> list[str]:
        """Return the arguments of the server, without the token: all users can list arguments.

        Returns
        -------
        list of str
            The arguments.
        """
        settings = {
            "base_url": self.server.base_url,
            "trust_xheaders": "True",
            # The proxy forwards the Host header, which has JupyterHub's name and not a local one.
            "allow_remote_access": "True",
            # Fail if the port is in use: no other port would be found.
            "port_retries": "0",
            "shutdown_no_activity_timeout": str(self.idle_timeout),
        }
        if self.default_url:
            settings["default_url"] = self.format_string(self.default_url)
        if self.cors_allow_origin:
            settings["allow_origin"] = self.cors_allow_origin
        if self.cors_allow_origin == "*":
            # For single files, servers check only the pattern.
            settings["allow_origin_pat"] = ".*"
        args = [f"--ip={self.ip}", f"--port={self.port}", "--no-browser"]
        if self.notebook_dir:
            args.append(f"--notebook-dir={self.format_string(self.notebook_dir)}")
        # NotebookApp is for images from before Jupyter Server.
        for app in ("ServerApp", "NotebookApp"):
            args += [f"--{app}.{name}={value}" for name, value in settings.items()]
        return [*args, *self.args]

    def get_env(self) -> dict[str, str]:
        """Return the environment variables of the server.

        Returns
        -------
        dict of str to str
            JupyterHub's variables without its API token, the launch's token, and BinderHub's
            variables.
        """
        env: dict[str, str] = super().get_env()
        # The server does not use JupyterHub's API, and its code is untrusted.
        for name in ("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"):
            env.pop(name, None)
        env["JUPYTER_TOKEN"] = self.user_options["token"]
        options = {
            name: value for name, value in self.user_options.items() if isinstance(value, str)
        }
        if "repo_url" in options:
            env["BINDER_REPO_URL"] = options["repo_url"]
        for name, value in options.items():
            if _BINDER_OPTION.fullmatch(name):
                env[name.upper()] = value
        return env

    def docker(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call the engine. New containers get our labels, and are kept until we remove them.

        Parameters
        ----------
        method : str
            The name of a method of docker's ``APIClient``.
        *args, **kwargs
            Its arguments.

        Returns
        -------
        asyncio.Future
            Its result.
        """
        # Not in extra_create_kwargs, which is for operators.
        if method == "create_container":
            kwargs["host_config"]["AutoRemove"] = False
            kwargs["labels"] = {
                **(kwargs.get("labels") or {}),
                "binderprogress.user": self.user.name,
                "binderprogress.server": self.name,
            }
        return super().docker(method, *args, **kwargs)


def _exit_code(status: int | str | None) -> int | str | None:
    """Return the exit code in a status of DockerSpawner, which is a text."""
    match = _EXIT_CODE.match(str(status))
    return int(match[1]) if match else status


def _refusal(status: int, message: str) -> web.HTTPError:
    error = web.HTTPError(status, message)
    # JupyterHub shows this text. The exception's own text starts with the status.
    error.jupyterhub_message = message  # type: ignore[attr-defined]  # JupyterHub's convention
    return error
