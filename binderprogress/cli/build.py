"""``binderprogress build REPO``."""

from __future__ import annotations

from .launch import LaunchApp

__all__ = ["BuildApp"]


class BuildApp(LaunchApp):
    """Build the environment of a repository, and start no server.

    If it exists already, nothing is built. The last line of the output is the name of the image, or
    without a container engine, the folder of the environment. Exit codes are those of `launch`.
    """

    name = "build"
    aliases = {  # noqa: RUF012 - traitlets' way
        name: trait for name, trait in LaunchApp.aliases.items() if name != "urlpath"
    }
    flags = {name: flag for name, flag in LaunchApp.flags.items() if name != "no-open"}  # noqa: RUF012
    build_only = True
