"""The element in JupyterHub's own page while a server starts; for any spawner, without a service.

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
    """Let a JupyterHub use our template, and find the element's files.

    Parameters
    ----------
    c : Config
        The Hub's.
    static_url : str
        Where browsers find the files, with a slash at the end, as
        ``/services/binderprogress/static/``. By default the Hub serves them itself.

    Raises
    ------
    ConfigError
        If the files are not installed.
    """
    # Before the Hub's own, which it finds there too.
    c.JupyterHub.template_paths.insert(0, str(share_path("hub-templates")))
    if static_url:
        c.JupyterHub.template_vars.update({"binderprogress_static": static_url})
        return
    files = (r"/binderprogress/(.*)", StaticHandler, {"path": str(share_path("static"))})
    c.JupyterHub.extra_handlers.append(files)
