"""The whole server with its Hub, in a thread of the test's process."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import Request, urlopen

from traitlets.config import Config

from binderprogress.deploy.standalone import Standalone

from .packages import EXCLUDE, compile_jupyter, remove, small_jupyter

T = TypeVar("T")


class Running:
    """A server that runs in another thread."""

    def __init__(self, standalone: Standalone, loop: asyncio.AbstractEventLoop) -> None:
        self.standalone = standalone
        self._loop = loop

    def call(self, work: Coroutine[Any, Any, T], timeout: float = 60) -> T:
        """Do something in its event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    @property
    def url(self) -> str:
        return self.standalone.url

    def start(self, spec: str) -> dict[str, Any]:
        """Start a launch and return its links."""
        return post(f"{self.url}api/launches", {"spec": spec})

    def hub(self, path: str) -> Any:
        """Ask the Hub's API."""
        request = Request(
            f"{self.standalone.launcher.api_url}{path}",
            headers={"Authorization": f"token {self.standalone.launcher.api_token}"},
        )
        with urlopen(request, timeout=60) as response:
            return json.load(response)


def post(url: str, body: Any) -> dict[str, Any]:
    """Send JSON and return the answer."""
    request = Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


@contextmanager
def running(folder: Path, *, hub: bool = True, **more: Any) -> Iterator[Running]:
    """Run a server with the local engine that launches what is below `folder`.

    If `hub` is false, its JupyterHub never answers. That is enough for launches that fail before.

    Unless `more` says otherwise, the page of a launch starts it without asking, and environments
    share files and have a small server in place of JupyterLab, which saves time. They are removed
    at the end.
    """
    compile_jupyter()
    config = Config(more)
    if "link_mode" not in config.LocalBuilder:
        config.LocalBuilder.link_mode = "hardlink"
    if "base_packages" not in config.LocalBuilder:
        config.LocalBuilder.base_packages = [small_jupyter()]
    if "pass_environment" not in config.LocalBuilder:
        config.LocalBuilder.pass_environment = [EXCLUDE]
    if "confirm_foreign" not in config.Web:
        config.Web.confirm_foreign = False
    config.LocalBuilder.local_folders = [str(folder)]
    config.LocalBuilder.environments = str(folder / "environments")
    config.Standalone.port = 0
    if not hub:
        config.HubLauncher.url, config.HubLauncher.api_token = "http://127.0.0.1:1/", "none"
    config.Standalone.hub_folder = ""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> Standalone:
        standalone = Standalone(config=config)
        await standalone.start()
        return standalone

    standalone = asyncio.run_coroutine_threadsafe(start(), loop).result(60)
    try:
        yield Running(standalone, loop)
    finally:
        asyncio.run_coroutine_threadsafe(standalone.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        remove(folder / "environments")
