"""The entry point: finds the command and starts it."""

from __future__ import annotations

from .base import CommandGroup, launch_command

__all__ = ["BinderProgressApp", "main"]


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
            "binderprogress.ext.hubservice.HubServiceApp",
            "Run the server as a service of a JupyterHub.",
        ),
        "launch": ("binderprogress.cli.launch.LaunchApp", "Launch a repository."),
        "check": ("binderprogress.cli.check.CheckApp", "Find out whether a repository runs."),
        "history": ("binderprogress.cli.history.HistoryApp", "Look after the history."),
        "demo": ("binderprogress.cli.demo.DemoApp", "Run everything, with examples."),
    }


def main(argv: list[str] | None = None) -> None:
    """Run the ``binderprogress`` command."""
    launch_command(BinderProgressApp, argv)
