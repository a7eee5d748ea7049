"""Another site with a page that has the element in it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parents[2] / "share/binderprogress/static"


class Site:
    """Another site: one page, whatever its address is."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
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
def other_site(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Serve another site, which has the scripts of the element, too.

    Parameters
    ----------
    tls : ssl.SSLContext, optional
        With a certificate. The site has https then, and a name that browsers do not take for local.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_script = self.path.startswith("/static/") and self.path.endswith(".js")
            content = site.html.encode()
            if is_script:
                content = (STATIC / self.path.removeprefix("/static/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript" if is_script else "text/html")
            self.send_header("Content-Security-Policy", site.policy)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        origin = f"http://localhost:{server.server_port}"
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            origin = f"https://course.example:{server.server_port}"
        site = Site(origin)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield site
        server.shutdown()
        thread.join(10)
