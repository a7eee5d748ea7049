"""Parts of the server that an operator replaces."""

from __future__ import annotations

from typing import Any

from traitlets import Callable
from traitlets.config import Configurable

__all__ = ["Extensions"]


class Extensions(Configurable):
    """Functions that make parts of the server. Each is called once, when the server is made."""

    make_backend: Any = Callable(
        None,
        allow_none=True,
        help="""
        Function that returns a `Backend`.

        It resolves, builds and launches instead of the engine, JupyterHub and BinderHubs.
        """,
    ).tag(config=True)

    make_channel_store: Any = Callable(
        None, allow_none=True, help="Function that returns a `ChannelStore`."
    ).tag(config=True)

    make_access: Any = Callable(
        None,
        allow_none=True,
        help="""
        Function that returns an `Access`, which identifies the user of a request.

        It is ignored where JupyterHub or a Jupyter server has the login.
        """,
    ).tag(config=True)

    make_history: Any = Callable(
        None,
        allow_none=True,
        help="Function that returns a `HistoryStore`, to be used instead of `History.url`.",
    ).tag(config=True)
