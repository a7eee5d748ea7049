"""Another site with a page that has the element in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Site:
    """Another site: one page, whatever its address is."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://localhost:{port}"
        self.html = ""
        self.policy = ""

    def embed(self, hub: str, spec: str, attributes: str = "", *, scripts: str = "") -> None:
        """Put the two lines of HTML into the page, below a policy that allows no more.

        Parameters
        ----------
        hub : str
            The server that launches.
        spec, attributes : str
        scripts : str
            Another server that has the scripts; a plain BinderHub has none.
        """
        hub = hub.rstrip("/")
        scripts = scripts.rstrip("/") or hub
        allowed = "/".join(hub.split("/")[:3])
        ours = f"script-src {scripts}; style-src 'self'; connect-src {allowed}"
        self.policy = f"default-src 'none'; img-src data:; {ours}"
        self.html = (
            '<!doctype html><html lang="en"><link rel="icon" href="data:,">'
            f'<script type="module" src="{scripts}/static/binder-progress.js"></script>\n'
            f'<binder-progress server="{hub}" spec="{spec}" {attributes}>'
            f'<a href="{hub}/v2/{spec}">Launch {spec}</a></binder-progress>'
        )


@contextmanager
def other_site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Security-Policy", site.policy)
            self.end_headers()
            self.wfile.write(site.html.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Site(server.server_port)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield site
        server.shutdown()
        thread.join(10)
