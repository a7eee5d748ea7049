"""Adds binderprogress to a BinderHub, from its configuration file.

::

    from binderprogress.ext.binderhub import install

    install(c)
"""

from __future__ import annotations

import sys

from traitlets.config import Application, Config

__all__ = ["install"]


def install(c: Config) -> None:
    """Add binderprogress to the BinderHub that loads this configuration file.

    It does what ``python -m binderprogress.deploy.binderhub`` does, in the process of
    ``python -m binderhub``. Settings such as ``c.BinderProgress.page`` may come before or after.
    A second call does nothing.

    Parameters
    ----------
    c : Config
        The ``c`` of the configuration file.

    Raises
    ------
    TypeError
        If it is something else.
    SystemExit
        If this is not the configuration file of a BinderHub that is starting, or if its version is
        not supported. BinderHub would log any other exception, and run without the configuration.
    """
    if not isinstance(c, Config):
        raise TypeError(
            f"install() needs the `c` of a configuration file, not {type(c).__name__!r}."
        )
    try:
        from binderhub.app import BinderHub

        from ..deploy.binderhub.app import extend
    except ImportError as error:
        sys.exit(_explained(error))
    hub = Application.instance() if Application.initialized() else None
    if not isinstance(hub, BinderHub):
        sys.exit(
            "install(c) of binderprogress.ext.binderhub belongs in the configuration file of a "
            "BinderHub that is started with `python -m binderhub`."
        )
    extend(hub)


def _explained(error: ImportError) -> str:
    """Return what to do about a module or a name that cannot be imported."""
    name = error.name or ""
    if name == "binderhub":
        return "install(c) of binderprogress.ext.binderhub needs BinderHub, which is not installed."
    if name.startswith("binderhub."):
        from binderhub import __version__

        return (
            f"binderprogress does not support BinderHub {__version__}: {error}. Use BinderHub's "
            "main branch, or a Helm chart of 2026."
        )
    return f"binderprogress is not completely installed: {error}."
