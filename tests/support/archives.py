"""The archives of records at their own addresses, by a proxy that leads there: a strict double.

It answers as they do, with what a test puts there, over TLS and by their own names; so repo2docker
runs as it is, which has those names built in. What was not put there is answered with 500, and
fails the test. All other hosts are left as they are.
"""

from __future__ import annotations

import io
import json
import os
import select
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import aiohttp
import certifi
import pytest
from certipy import Certipy

from binderprogress.backends.fetch.archives import Archives

HOSTS = [
    "api.figshare.com",
    "ckan.example.org",
    "dataverse.harvard.edu",
    "doi.org",
    "figshare.com",
    "iqss.github.io",
    "s3.hydroshare.org",
    "www.hydroshare.org",
    "zenodo.org",
]


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes
    endless: bool = False


class ArchivesDouble:
    """What is at the archives, and what was asked of them."""

    def __init__(self) -> None:
        self.answers: dict[str, _Answer] = {}
        self.asked: list[str] = []
        self.unexpected: list[str] = []

    def put(
        self,
        address: str,
        content: Any,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Put JSON, or bytes as they are, at an address without its scheme."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.answers[address] = _Answer(status, headers or {}, body)

    def endless(self, address: str) -> None:
        """Let a file go on until the client has had enough; it names no length."""
        self.answers[address] = _Answer(200, {}, b"\1" * 2**16, endless=True)

    def redirect(self, address: str, to: str) -> None:
        """Let an address lead to another."""
        self.answers[address] = _Answer(302, {"Location": to}, b"")

    def doi(self, doi: str, url: str) -> None:
        """Register a DOI, as doi.org tells of it."""
        values = [
            {"index": 1, "type": "URL", "data": {"format": "string", "value": url}},
            {"index": 100, "type": "HS_ADMIN", "data": {"format": "admin", "value": {"index": 1}}},
        ]
        self.put(f"doi.org/api/handles/{doi}", {"responseCode": 1, "handle": doi, "values": values})

    def zenodo(self, files: Mapping[str, str | bytes], *, key: str = "ada/penguins-v1.zip") -> None:
        """Put a record of Zenodo there: a ZIP file, as GitHub's releases are kept there.

        It is 10.5281/zenodo.3242074, and the latest of 10.5281/zenodo.3242073.
        """
        self.doi("10.5281/zenodo.3242074", "https://zenodo.org/record/3242074")
        self.doi("10.5281/zenodo.3242073", "https://zenodo.org/doi/10.5281/zenodo.3242073")
        self.redirect("zenodo.org/record/3242074", "/records/3242074")
        self.redirect("zenodo.org/doi/10.5281/zenodo.3242073", "/records/3242073")
        self.redirect("zenodo.org/records/3242073", "/records/3242074")
        self.put("zenodo.org/records/3242074", b"<!DOCTYPE html><title>Penguins</title>")
        api = "zenodo.org/api/records/3242074"
        self.put(api, {"id": 3242074, "links": {"files": f"https://{api}/files"}})
        content = f"{api}/files/penguins/content"
        entry = {"key": key, "links": {"content": f"https://{content}"}}
        self.put(f"{api}/files", {"entries": [entry]})
        self.put(content, zipped(files))

    def answer(self, address: str) -> _Answer:
        """Return what is at an address."""
        self.asked.append(address)
        found = self.answers.get(address)
        if found is None:
            self.unexpected.append(address)
            return _Answer(500, {}, b"nothing was put there")
        return found


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """Return the bytes of an archive of files."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


class _Site(BaseHTTPRequestHandler):
    double: ArchivesDouble
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        answer = self.double.answer(f"{self.headers['Host'].partition(':')[0]}{self.path}")
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.endless:
            self._send_for_ever(answer.body)
            return
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _send_for_ever(self, body: bytes) -> None:
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                self.wfile.write(body)
        except OSError:
            return  # the client has closed its end

    def log_message(self, *_: Any) -> None:
        pass


class _Proxy(BaseHTTPRequestHandler):
    site: tuple[str, int]

    def do_CONNECT(self) -> None:
        host, _, port = self.path.partition(":")
        there = self.site if host in HOSTS else (host, int(port))
        with socket.create_connection(there) as other:
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            _pass_on(self.connection, other)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    ends = {one: other, other: one}
    while True:
        for end in select.select(list(ends), [], [])[0]:
            try:
                data = end.recv(65536)
            except ConnectionError:
                return
            if not data:
                return
            ends[end].sendall(data)


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        # How often it looks whether it is to end.
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_port
        server.shutdown()


class Certificates(NamedTuple):
    """The files of a certificate for the archives' names, and of all authorities, ours too."""

    certificate: str
    key: str
    authorities: str


def certificates(folder: Path) -> Certificates:
    """Make a certificate; it takes seconds."""
    store = Certipy(store_dir=str(folder / "certificates"))
    store.create_ca("authority")
    names = [f"DNS:{host}" for host in HOSTS]
    files = store.create_signed_pair("archives", "authority", alt_names=names)["files"]
    usual = Path(os.environ.get("SSL_CERT_FILE") or certifi.where()).read_text()
    bundle = folder / "authorities.pem"
    authority = store.store.get_record("authority")["files"]["cert"]
    bundle.write_text(usual + "\n" + Path(authority).read_text())
    return Certificates(files["cert"], files["key"], str(bundle))


@contextmanager
def archives(files: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchivesDouble]:
    """Let this process and those that it starts find the double where the archives are."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.certificate, files.key)
    double = ArchivesDouble()
    with ExitStack() as stack:
        site_handler = type("Site", (_Site,), {"double": double})
        site = ("127.0.0.1", stack.enter_context(_serving(site_handler, tls)))
        proxy = stack.enter_context(_serving(type("Proxy", (_Proxy,), {"site": site}), None))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.setenv(name, files.authorities)
        monkeypatch.setattr(Archives, "session", _session)
        yield double
    assert not double.unexpected


def _session(_: Archives) -> aiohttp.ClientSession:
    # The TLS of aiohttp's own sessions is made when it is imported, with what there was then.
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context())
    return aiohttp.ClientSession(trust_env=True, connector=connector)
