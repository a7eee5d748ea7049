"""What a launch starts in place of JupyterLab where a test only needs some server of it.

It takes JupyterLab's arguments and token, and answers like Jupyter Server where tests ask: with its
token, everything; without it, only ``/api``. It has no kernels and no files. It starts in a tenth
of the time, and needs no other package, so its environment is made in a fraction of the time, too.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


def main() -> None:
    """Serve until a signal or a request ends it."""
    given = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    address = given["--ServerApp.ip"], int(given["--ServerApp.port"])
    base = given["--ServerApp.base_url"]
    token = os.environ["JUPYTER_TOKEN"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path.rstrip("/") == f"{base}api":
                self._answer(200, {"version": "2.0.0"})
            elif not self._knows_token(url.query):
                self._answer(403, {"message": "Forbidden"})
            elif url.path in {base, f"{base}api/status"}:
                self._answer(200, {"started": "now", "connections": 0, "kernels": 0})
            else:
                self._answer(404, {"message": "Not Found"})

        def do_POST(self) -> None:
            url = urlsplit(self.path)
            if not self._knows_token(url.query):
                self._answer(403, {"message": "Forbidden"})
            elif url.path == f"{base}api/shutdown":
                self._answer(200, {})
                os._exit(0)
            else:
                self._answer(404, {"message": "Not Found"})

        def _knows_token(self, query: str) -> bool:
            header = self.headers.get("Authorization", "").partition(" ")[2]
            return token in {header, *parse_qs(query).get("token", [])}

        def _answer(self, status: int, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    ThreadingHTTPServer(address, Handler).serve_forever()
