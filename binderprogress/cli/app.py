"""The ``binderprogress`` command, which runs its subcommands."""

from __future__ import annotations

import sys
from inspect import cleandoc

from .base import USAGE, CommandGroup, launch_command

__all__ = ["BinderProgressApp", "main"]

_EXTRAS = {"junitparser": "check", "rich": "cli", "websockets": "check"}
"""Optional modules, and the extra that installs each."""


class BinderProgressApp(CommandGroup):
    """Launch repositories as Jupyter servers, and show the progress."""

    name = "binderprogress"
    description = __doc__ or ""
    examples = cleandoc("""
    binderprogress demo                        # start everything, with examples in a browser
    binderprogress launch ./my-repository      # launch a repository from the terminal
    binderprogress check ./my-repository       # check that its notebooks still run
    binderprogress serve --generate-config     # write a config file
    """)
    # As strings, so that each command only imports what it needs.
    subcommands = {  # noqa: RUF012 - traitlets' way
        "serve": ("binderprogress.cli.serve.ServeApp", "Run the server."),
        "hub-service": (
            "binderprogress.deploy.jupyterhub_service.JupyterHubServiceApp",
            "Run the server as a service of a JupyterHub.",
        ),
        "launch": ("binderprogress.cli.launch.LaunchApp", "Launch a repository."),
        "check": ("binderprogress.cli.check.CheckApp", "Check whether a repository runs."),
        "why": ("binderprogress.cli.why.WhyApp", "Say why a build or a launch failed."),
        "prune": (
            "binderprogress.cli.prune.PruneApp",
            "Show and remove environments and images.",
        ),
        "history": ("binderprogress.cli.history.HistoryApp", "Maintain the history database."),
        "demo": ("binderprogress.cli.demo.DemoApp", "Run everything on this machine."),
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
            f"This command needs {module}, which is not installed. "
            f"Install it with: pip install 'binderprogress[{_EXTRAS[module]}]'",
            file=sys.stderr,
        )
        sys.exit(USAGE)
