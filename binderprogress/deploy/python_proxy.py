"""Runs the Python configurable-http-proxy: ``python -m binderprogress.deploy.python_proxy``.

It replaces the one from npm where Node.js is not installed. It forwards a response only once it has
received all of it.
"""

from __future__ import annotations

from configurable_http_proxy import configproxy
from configurable_http_proxy.cli import main
from configurable_http_proxy.handlers import ProxyHandler
from tornado.httpclient import AsyncHTTPClient

_REQUESTS = 1000
"""Requests at a time. Tornado's default is 10, which one page of JupyterLab uses up."""
_LARGEST_RESPONSE = 2**30
"""Bytes. A response is held in memory."""
_LONGEST_REQUEST = 3600.0
"""Seconds. Tornado's default is 20, and a Jupyter server may take longer."""


class _Handler(ProxyHandler):
    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Select what the Jupyter server has selected. Else the kernel and the browser disagree."""
        selected: str | None = self.ws_client.selected_subprotocol
        return selected


if __name__ == "__main__":
    configproxy.ProxyHandler = _Handler
    AsyncHTTPClient.configure(
        None,
        max_clients=_REQUESTS,
        max_buffer_size=_LARGEST_RESPONSE,
        max_body_size=_LARGEST_RESPONSE,
        defaults={"request_timeout": _LONGEST_REQUEST},
    )
    main()
