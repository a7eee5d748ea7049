"""Shows the element in JupyterHub's spawn page. Works with any spawner, and without a service.

In ``jupyterhub_config.py``::

    from binderprogress.deploy.spawn_page import show_spawns
    show_spawns(c)
"""

from __future__ import annotations

from typing import Any

from .._share import share_path
from ..web.static import StaticHandler

__all__ = ["show_spawns"]


def show_spawns(c: Any, *, static_url: str = "") -> None:
    """Configure JupyterHub to use our template, and to serve the element's files.

    Parameters
    ----------
    c : Config
        The configuration of JupyterHub.
    static_url : str
        The URL of the files, with a trailing slash, such as ``/services/binderprogress/static/``.
        By default, JupyterHub serves them.

    Raises
    ------
    ConfigError
        If the files are not installed.
    """
    # First, so that our template takes precedence over JupyterHub's.
    c.JupyterHub.template_paths.insert(0, str(share_path("hub-templates")))
    if static_url:
        c.JupyterHub.template_vars.update({"binderprogress_static": static_url})
        return
    files = (r"/binderprogress/(.*)", StaticHandler, {"path": str(share_path("static"))})
    c.JupyterHub.extra_handlers.append(files)
