"""The Ingress for ingress-nginx, with the nginx configuration that its annotations become.

There is no ingress-nginx here: this is nginx itself, with the directives and buffers that the
template of ingress-nginx has for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import requests
from websockets.sync.client import connect

from binderprogress.web.config import Web

from ...support.nginx import nginx
from ...support.replay import stage

INGRESS = (
    Path(__file__).parents[3]
    / "share/binderprogress/kubernetes/components/ingress-nginx/ingress.yaml"
)
PREFIX = "nginx.ingress.kubernetes.io/"
# What each annotation becomes.
DIRECTIVES = {
    "proxy-buffering": "proxy_buffering {};",
    "proxy-connect-timeout": "proxy_connect_timeout {}s;",
    "proxy-next-upstream": "proxy_next_upstream {};",
    "proxy-read-timeout": "proxy_read_timeout {}s;",
}
SITE = """
map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://127.0.0.1:{upstream};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_buffer_size 4k;
        proxy_buffers 4 4k;
        # It does what the annotations say, and not what our header asks for.
        proxy_ignore_headers X-Accel-Buffering;
        {directives}
    }}
}}
"""


def annotations() -> dict[str, str]:
    found: dict[str, str] = msgspec.yaml.decode(INGRESS.read_bytes())["metadata"]["annotations"]
    return {name.removeprefix(PREFIX): value for name, value in found.items()}


def lines(answer: requests.Response) -> Iterator[str]:
    return (line for line in answer.iter_lines(chunk_size=1, decode_unicode=True) if line)


def site(port: int, ports: Sequence[int]) -> str:
    directives = " ".join(DIRECTIVES[name].format(value) for name, value in annotations().items())
    return SITE.format(port=port, upstream=ports[0], directives=directives)


def test_events_get_through_one_by_one(tmp_path: Path) -> None:
    with (
        stage(Web={"trust_proxy": True}) as server,
        nginx(tmp_path / "nginx", [urlsplit(server.url).port or 0], site) as url,
    ):
        started = requests.post(f"{url}api/launches", json={"spec": "gh/a/b/HEAD"}, timeout=30)
        launch = started.json()
        # The addresses are those of the proxy.
        assert launch["events_url"].startswith(url)
        with (
            closing(requests.get(launch["events_url"], stream=True, timeout=30)) as answer,
            connect(launch["socket_url"]) as socket,
        ):
            rest = lines(answer)
            for number in range(20):
                # Only when the one before has arrived.
                server.log(f"line {number}\n")
                assert any(f"line {number}" in line for line in rest)
                assert any(f"line {number}" in str(message) for message in socket)


def test_the_proxy_waits_longer_than_a_stream_is_silent() -> None:
    assert int(annotations()["proxy-read-timeout"]) >= 2 * Web.keepalive.default_value
    assert set(annotations()) == set(DIRECTIVES)
