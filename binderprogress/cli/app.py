"""The entry point: finds the command and starts it."""

from __future__ import annotations

import sys

from .base import USAGE, CommandGroup, launch_command

__all__ = ["BinderProgressApp", "main"]

_EXTRAS = {"junitparser": "check", "rich": "cli", "websockets": "check"}
"""Modules that only some commands need, and the extra that installs each."""


class BinderProgressApp(CommandGroup):
    """See a launch happen: from a repository to a running Jupyter server."""

    name = "binderprogress"
    description = __doc__ or ""
    examples = """
    binderprogress demo                        # a Hub, the server, and examples in a browser
    binderprogress launch ./my-repository      # launch a repository, with a bar in the terminal
    binderprogress check ./my-repository       # does it still run? for people and for CI
    binderprogress serve --generate-config     # a config file to start from
    """
    # By name, so that a command imports only what it uses.
    subcommands = {  # noqa: RUF012 - traitlets' way
        "serve": ("binderprogress.cli.serve.ServeApp", "Run the server."),
        "hub-service": (
            "binderprogress.deploy.jupyterhub_service.JupyterHubServiceApp",
            "Run the server as a service of a JupyterHub.",
        ),
        "launch": ("binderprogress.cli.launch.LaunchApp", "Launch a repository."),
        "check": ("binderprogress.cli.check.CheckApp", "Check whether a repository runs."),
        "history": ("binderprogress.cli.history.HistoryApp", "Look after the history."),
        "demo": ("binderprogress.cli.demo.DemoApp", "Run everything, with examples."),
    }


def main(argv: list[str] | None = None) -> None:
    """Run the ``binderprogress`` command."""
    try:
        launch_command(BinderProgressApp, argv)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _EXTRAS:
            raise
        print(
            f"{module} is not installed, which this command needs. "
            f"Install it with: pip install 'binderprogress[{_EXTRAS[module]}]'",
            file=sys.stderr,
        )
        sys.exit(USAGE)
