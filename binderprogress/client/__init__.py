"""A client for a binderprogress server or a plain BinderHub: asynchronous and synchronous.

::

    from binderprogress.client import Client

    with Client("https://hub.example.org") as client:
        server = client.launch("gh/binder-examples/requirements/HEAD")
        print(server.address("lab/tree/index.ipynb"))

`AsyncClient` has the same methods, to be awaited. Neither starts anything twice: a connection that
is cut is opened again and goes on after the last event it brought.
"""

from .asynchronous import PAUSES, AsyncClient
from .models import Launch, LaunchState, Server
from .synchronous import Client

__all__ = ["PAUSES", "AsyncClient", "Client", "Launch", "LaunchState", "Server"]
