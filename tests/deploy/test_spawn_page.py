"""JupyterHub's spawn page with the element."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

import binderprogress.deploy.hub_config as hub_module
from binderprogress.deploy.embedded_jupyterhub import EmbeddedJupyterHub

from ..support.hubservice import SERVER
from ..support.widget import log_region

pytestmark = [pytest.mark.hub, pytest.mark.browser]

COLD = 120_000

# A spawner whose progress a test controls. It waits until a file exists.
SPAWNER = """
import asyncio
from pathlib import Path
from jupyterhub.spawner import SimpleLocalProcessSpawner

class ToldSpawner(SimpleLocalProcessSpawner):
    async def progress(self):
        yield {"progress": 20, "raw_event": {"reason": "Pulling"},
               "message": "2026-01-01T00:00:00Z [Normal] Pulling image \\"x\\""}
        yield {"progress": 40, "message": "<img src=x onerror=alert(1)>",
               "html_message": "<b id='markup'>from the Hub</b>"}
        await asyncio.Event().wait()

    async def start(self):
        gate = Path(__file__).with_name(f"gate-{self.name}")
        while not gate.exists():
            await asyncio.sleep(0.1)
        if gate.read_text():
            raise RuntimeError(gate.read_text())
        return await super().start()
"""

CONFIG = """
from binderprogress.deploy.spawn_page import show_spawns
show_spawns(get_config())
"""


class Hub:
    """JupyterHub, with a spawner that a test controls."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._folder = folder

    def let(self, server: str, problem: str = "") -> None:
        """Let a server start, or fail with a message."""
        made = self._folder / "written"
        made.write_text(problem)
        made.rename(self._folder / f"gate-{server}")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "server.py").write_text(SERVER)
    (folder / "told.py").write_text(SPAWNER)
    values: dict[str, dict[str, Any]] = {
        "JupyterHub": {
            "authenticator_class": "dummy",
            "spawner_class": "told.ToldSpawner",
            "allow_named_servers": True,
        },
        "DummyAuthenticator": {"password": "secret"},
        "Authenticator": {"allow_all": True},
        "ToldSpawner": {
            "home_dir_template": str(folder / "homes" / "{username}"),
            "cmd": [sys.executable, str(folder / "server.py")],
        },
    }
    embedded = EmbeddedJupyterHub(folder, config=values, env={"PYTHONPATH": str(folder)})
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> None:
        await embedded.start()
        await embedded.available()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_module, "_CONFIG", hub_module._CONFIG + CONFIG)
        asyncio.run_coroutine_threadsafe(start(), loop).result(60)
    yield Hub(embedded.url, folder)
    asyncio.run_coroutine_threadsafe(embedded.stop(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def page(browser: Browser, hub: Hub) -> Iterator[Page]:
    """A page in which ada is logged in."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{hub.url}hub/login?next=/hub/home")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/hub/home")
    yield page
    context.close()


def test_it_shows_the_start_and_leads_to_the_server(page: Page, hub: Hub) -> None:
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{hub.url}hub/spawn/ada/good")
    page.wait_for_url("**/hub/spawn-pending/ada/good")
    expect(page.get_by_text("Pulling the image")).to_be_visible(timeout=COLD)
    expect(page.get_by_role("progressbar")).to_be_visible()
    page.locator("binder-progress summary").click()
    log = log_region(page)
    # Attack: a spawner's message contains HTML. It is shown as text.
    expect(log).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("binder-progress #markup, binder-progress img").count() == 0
    hub.let("good")
    page.wait_for_url(f"{hub.url}user/ada/good/**", timeout=COLD)
    assert problems == []


def test_a_failure_is_what_the_hub_says_and_can_be_tried_again(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}hub/spawn/ada/bad")
    page.wait_for_url("**/hub/spawn-pending/ada/bad")
    expect(page.get_by_text("Pulling the image")).to_be_visible(timeout=COLD)
    hub.let("bad", "The disk has had enough")
    again = page.get_by_role("button", name="Try again")
    expect(again).to_be_visible(timeout=COLD)
    evidence = page.get_by_role("group", name="Log lines that show why")
    expect(evidence).to_contain_text("Spawn failed")
    with page.expect_request(f"{hub.url}hub/spawn/ada/bad*"):
        again.click()


def test_the_start_is_cancelled_at_the_hub(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}hub/spawn/ada/called-off")
    expect(page.get_by_text("Pulling the image")).to_be_visible(timeout=COLD)
    with page.expect_response(lambda response: response.request.method == "DELETE") as answered:
        page.get_by_role("button", name="Cancel").click()
    assert answered.value.url.startswith(f"{hub.url}hub/api/users/ada/servers/called-off")
    assert answered.value.ok
    page.wait_for_url(f"{hub.url}hub/home", timeout=COLD)
