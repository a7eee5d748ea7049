"""The part of a JupyterHub that logs people in: OAuth, and whose a token is.

What checks logins, cookies and XSRF tokens is JupyterHub's own code, in the service that asks here.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

CLIENT = "service-binder"
SECRET = "the-binders-own-token"
SCOPE = "access:services!service=binder"

# What browsers say of a page that one goes to, and of what its scripts ask for.
NAVIGATE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
FETCH = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}


def by_token(name: str) -> dict[str, str]:
    """Return the header by which a program says whose it is."""
    return {"Authorization": f"token token-of-{name}"}


class HubLogin:
    """Knows ann and bob, eve who may not use the service, and a service named ann, too."""

    def __init__(self) -> None:
        self.asked = 0
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens = {"token-of-robot": _model("ann", kind="service")}
        for name in ("ann", "bob"):
            self.tokens[f"token-of-{name}"] = _model(name)
        self.tokens["token-of-eve"] = _model("eve", scopes=["self"])
        self.url = ""

    def config(self, redirect_uri: str) -> dict[str, Any]:
        """Return the configuration of JupyterHub's `HubOAuth`."""
        return {
            "api_url": f"{self.url}hub/api",
            "api_token": SECRET,
            "hub_host": self.url.rstrip("/"),
            "oauth_client_id": CLIENT,
            "oauth_redirect_uri": redirect_uri,
            "access_scopes": {SCOPE},
        }


def _model(name: str, *, kind: str = "user", scopes: Any = (SCOPE,)) -> dict[str, Any]:
    return {"kind": kind, "name": name, "groups": [], "admin": False, "scopes": [*scopes]}


@contextmanager
def hub_login() -> Iterator[HubLogin]:
    """Run it."""
    hub = HubLogin()

    class Handler(_Handler):
        login = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    login: HubLogin

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path == "/hub/api/user":
            self.login.asked += 1
            given = self.headers.get("Authorization", "").removeprefix("token ")
            model = self.login.tokens.get(given)
            self._send(200 if model else 403, model or {"message": "Forbidden"})
        elif address.path == "/hub/api/oauth2/authorize":
            self._authorize(asked)
        else:
            self._send(404, {})

    def _authorize(self, asked: dict[str, str]) -> None:
        name = re.search(r"hub-login=(\w+)", self.headers.get("Cookie", ""))
        if asked["client_id"] != CLIENT or asked["response_type"] != "code":
            self._send(400, {})
        elif name is None:
            self._send(200, {"page": "Sign in"})
        else:
            code = secrets.token_hex()
            self.login.codes[code] = {"user": name[1], "uri": asked["redirect_uri"]}
            there = urlencode({"code": code, "state": asked["state"]})
            self._send(302, {}, Location=f"{asked['redirect_uri']}?{there}")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        form = {name: values[0] for name, values in parse_qs(self.rfile.read(length)).items()}
        given = {name.decode(): value.decode() for name, value in form.items()}
        code = self.login.codes.pop(given.get("code", ""), None)
        if code is None or given["client_secret"] != SECRET or given["redirect_uri"] != code["uri"]:
            self._send(400, {})
        else:
            self._send(200, {"access_token": f"token-of-{code['user']}"})

    def _send(self, status: int, body: Any, **headers: str) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class Visitor:
    """Somebody with a browser, as far as cookies and headers go; `name` is logged in at the Hub."""

    def __init__(self, url: str, name: str = "") -> None:
        self.url = url
        self.session = requests.Session()
        if name:
            self.session.cookies.set("hub-login", name, path="/hub/")

    def go(self, path: str, **options: Any) -> requests.Response:
        """Go to a page."""
        return self.session.get(self.url + path, headers=NAVIGATE, timeout=20, **options)

    @property
    def xsrf(self) -> str:
        """What the pages' scripts read from their cookie."""
        (value,) = [str(one.value) for one in self.session.cookies if one.name == "_xsrf"]
        return value

    def fetch(
        self, method: str, path: str, *, xsrf: bool = True, **options: Any
    ) -> requests.Response:
        """Ask as a script in a page does; without `xsrf`, as one that cannot read the cookie."""
        more = {"X-XSRFToken": self.xsrf} if xsrf else {}
        headers = {**FETCH, **more, **options.pop("headers", {})}
        return self.session.request(method, self.url + path, headers=headers, timeout=20, **options)
