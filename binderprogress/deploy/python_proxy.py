"""Runs the Python configurable-http-proxy: ``python -m binderprogress.deploy.python_proxy``.

It is used if Node.js is not installed. Unlike the proxy from npm, it forwards a response only when
it is complete.
"""

from __future__ import annotations

from configurable_http_proxy import configproxy
from configurable_http_proxy.cli import main
from configurable_http_proxy.handlers import ProxyHandler
from tornado.httpclient import AsyncHTTPClient

_MAX_REQUESTS = 1000
"""Maximum concurrent requests. Tornado's default is 10, too few for one page of JupyterLab."""
_MAX_RESPONSE = 2**30
"""Maximum bytes of a response, which is held in memory."""
_REQUEST_TIMEOUT = 3600.0
"""Seconds. Tornado's default is 20, and a Jupyter server may take longer."""


class _Handler(ProxyHandler):
    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Select the subprotocol that the Jupyter server has selected."""
        selected: str | None = self.ws_client.selected_subprotocol
        return selected


if __name__ == "__main__":
    configproxy.ProxyHandler = _Handler
    AsyncHTTPClient.configure(
        None,
        max_clients=_MAX_REQUESTS,
        max_buffer_size=_MAX_RESPONSE,
        max_body_size=_MAX_RESPONSE,
        defaults={"request_timeout": _REQUEST_TIMEOUT},
    )
    main()
