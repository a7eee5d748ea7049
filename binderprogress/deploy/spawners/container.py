"""A JupyterHub spawner that runs the image of a launch, open to whoever has the launch's token.

It is DockerSpawner, with docker or with podman's service behind it. What BinderHub's mixin does for
KubeSpawner is done here for containers on one machine: the image and the token come with the
request that starts the server, and the server asks for that token instead of a Hub login. So
images need JupyterLab, Jupyter Notebook or Jupyter Server, but nothing of JupyterHub.

A Hub for it, in ``jupyterhub_config.py``::

    c.JupyterHub.spawner_class = "binderprogress.deploy.spawners.container.ContainerSpawner"
    c.JupyterHub.allow_named_servers = True
    c.JupyterHub.cleanup_servers = True
    # Answer the POST at once; what goes on then is in the progress stream.
    c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
    c.JupyterHub.services = [{"name": "binderprogress", "api_token": "…"}]
    c.JupyterHub.load_roles = [
        {
            "name": "binderprogress-launcher",
            "services": ["binderprogress"],
            "scopes": ["admin:users", "admin:servers"],
        }
    ]
    # Nobody logs in; the users are those that the service makes.
    c.JupyterHub.authenticator_class = "null"
    c.ContainerSpawner.http_timeout = 120

The Hub's environment says where the engine is: ``DOCKER_HOST``, such as
``unix:///run/podman/podman.sock`` for ``podman system service --time=0`` on that address; without
it, docker's own socket is used. Images must be in the storage of that engine.

The service then sends ``POST /hub/api/users/{name}/servers/{server}`` with ``{"image": …,
"token": …, "repo_url": …, "binder_…": …}``. As with BinderHub, the Hub keeps these options in its
database.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from docker.errors import NotFound
from dockerspawner import DockerSpawner
from jupyterhub.utils import random_port
from tornado import web
from traitlets import Bool, Integer, TraitError, Unicode, default, validate

from .readiness import until_it_answers

__all__ = ["ContainerSpawner"]

# The best of what the image has; exec, so that the container's first process is the server and gets
# the signals. What follows in the command are its arguments.
_SERVE = """\
for kind in lab notebook server; do
  if command -v "jupyter-$kind" > /dev/null; then exec "jupyter-$kind" "$@"; fi
done
echo "This image has no JupyterLab, Jupyter Notebook or Jupyter Server." >&2
exit 127
"""

# Only these of the user's options become environment variables; "LD_PRELOAD" must not.
_BINDER_OPTION = re.compile(r"binder_[a-z_]+")

# What cannot be in an environment variable or in a URL's query is no token.
_TOKEN = re.compile(r"[A-Za-z0-9._~=-]+")


class ContainerSpawner(DockerSpawner):
    """Runs the image that the request names, with the token that the request brings."""

    # DockerSpawner has a list here; launches make image names as they go.
    allowed_images = Unicode(
        r"(localhost/)?binderprogress-[a-z0-9._-]+(:[A-Za-z0-9._-]+)?",
        config=True,
        help="""
        A regular expression that the whole name of an image must match to be run.

        The default allows what binderprogress has built on this machine, and nothing of a registry
        (no further slash). Anybody who may start servers on the Hub may run what matches.
        """,
    )

    host_network = Bool(
        False,
        config=True,
        help="""
        Run containers in the network of the machine, each on 127.0.0.1 and a free port of its own.

        For machines where containers cannot have networks of their own. The code in the container
        then reaches all that listens on the machine: not for strangers' repositories.
        """,
    )

    idle_timeout = Integer(
        3600,
        config=True,
        help="Seconds after which a server that nobody uses ends itself; 0: never.",
    )

    cors_allow_origin = Unicode(
        "",
        config=True,
        help="""
        The origin whose pages may use the servers: their Access-Control-Allow-Origin. "*" is all.
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
        # start() reads them; without a hook, JupyterHub 6 warns that nobody does.
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
        # The images of the default pattern are in no registry.
        return "never"

    @default("ip")
    def _ip_default(self) -> str:
        return "127.0.0.1" if self.host_network else "0.0.0.0"  # noqa: S104 (inside the container)

    @default("network_name")
    def _default_network_name(self) -> str:
        return "host" if self.host_network else "bridge"

    @default("use_internal_ip")
    def _default_use_ip(self) -> bool:
        # Nothing is published in the network of the machine.
        return self.host_network or self.network_name not in {"bridge", "host"}

    async def start(self) -> tuple[str, int]:
        """Start the container of `user_options`.

        Returns
        -------
        tuple of str and int
            Where its server will listen.

        Raises
        ------
        tornado.web.HTTPError
            400: no image, no token, or an image that is not allowed. 404: the image is gone.
        """
        if not self.user_options.get("image"):
            raise _refusal(400, "No image was named.")
        token = self.user_options.get("token")
        # An empty token would switch authentication off.
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise _refusal(400, "A token is needed: letters, digits and any of . _ ~ = -")
        if self.host_network:
            self.port = random_port()
        ip, port = await super().start()
        await until_it_answers(self, ip, port)
        return ip, port

    async def check_allowed(self, image: Any) -> str:
        """Say whether an image may be run.

        Parameters
        ----------
        image : str
            Its name, as the request has it: anything at all.

        Returns
        -------
        str
            The name.

        Raises
        ------
        tornado.web.HTTPError
            400: it may not.
        """
        if not isinstance(image, str) or not re.fullmatch(self.allowed_images, image):
            raise _refusal(
                400,
                f"The image {str(image)[:200]!r} is not allowed here: its name does not match "
                "ContainerSpawner.allowed_images.",
            )
        return image

    async def pull_image(self, image: str) -> None:
        """Get the image if `pull_policy` says so.

        Parameters
        ----------
        image : str
            Its name.

        Raises
        ------
        tornado.web.HTTPError
            404: there is no such image.
        """
        try:
            await super().pull_image(image)
        except NotFound as error:
            raise _refusal(404, f"The image {image} is not there (any more).") from error

    async def get_ip_and_port(self) -> tuple[str, int]:
        """Say where the container's server listens, as the Hub sees it.

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
        """Make the arguments of the server; the token is none of them, since anyone can list those.

        Returns
        -------
        list of str
            The arguments.
        """
        settings = {
            "base_url": self.server.base_url,
            "trust_xheaders": "True",
            # The proxy hands the Host header on, and names of the Hub are not local ones.
            "allow_remote_access": "True",
            # Another port than the one we know is no use.
            "port_retries": "0",
            "shutdown_no_activity_timeout": str(self.idle_timeout),
        }
        if self.default_url:
            settings["default_url"] = self.format_string(self.default_url)
        if self.cors_allow_origin:
            settings["allow_origin"] = self.cors_allow_origin
        if self.cors_allow_origin == "*":
            # For single files, the servers look at the pattern alone.
            settings["allow_origin_pat"] = ".*"
        args = [f"--ip={self.ip}", f"--port={self.port}", "--no-browser"]
        if self.notebook_dir:
            args.append(f"--notebook-dir={self.format_string(self.notebook_dir)}")
        # NotebookApp is for images from before Jupyter Server.
        for app in ("ServerApp", "NotebookApp"):
            args += [f"--{app}.{name}={value}" for name, value in settings.items()]
        return [*args, *self.args]

    def get_env(self) -> dict[str, str]:
        """Make the environment of the server.

        Returns
        -------
        dict of str to str
            JupyterHub's, without its API token; the launch's token; and BinderHub's variables.
        """
        env: dict[str, str] = super().get_env()
        # The server does not speak to the Hub, and its code is a stranger's.
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
        """Call the engine; a container that is made gets our labels.

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
        # The one place where the arguments are complete: extra_create_kwargs stays the operator's.
        if method == "create_container":
            kwargs["labels"] = {
                **(kwargs.get("labels") or {}),
                "binderprogress.user": self.user.name,
                "binderprogress.server": self.name,
            }
        return super().docker(method, *args, **kwargs)


def _refusal(status: int, message: str) -> web.HTTPError:
    error = web.HTTPError(status, message)
    # What the Hub shows; the exception's own text has the status in front.
    error.jupyterhub_message = message  # type: ignore[attr-defined]  # JupyterHub's convention
    return error
