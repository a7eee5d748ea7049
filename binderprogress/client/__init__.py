"""Clients for a binderprogress server or a plain BinderHub, asynchronous and synchronous.

::

    from binderprogress.client import Client

    with Client("https://hub.example.org") as client:
        server = client.launch("gh/binder-examples/requirements/HEAD")
        print(server.address("lab/tree/index.ipynb"))

`AsyncClient` has the same methods as coroutines. Both reconnect when the connection is lost and
continue after the last event. They never start a launch twice.
"""

from .asynchronous import PAUSES, AsyncClient
from .models import JupyterServer, LaunchHandle, LaunchSnapshot
from .synchronous import Client

__all__ = ["PAUSES", "AsyncClient", "Client", "JupyterServer", "LaunchHandle", "LaunchSnapshot"]
