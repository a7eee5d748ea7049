"""jupyterhub-fancy-profiles on JupyterHub's spawn page builds images with our extension.

JupyterHub, KubeSpawner's form and the page are the real ones, configured as documented.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from traitlets.config import Config

import binderprogress.deploy.hub_config as hub_module
from binderprogress.deploy.embedded_jupyterhub import EmbeddedJupyterHub

from ...support.hublogin import CLIENT, SECRET
from ...support.inside import Inside, Status, inside

pytest.importorskip("jupyterhub_fancy_profiles")

pytestmark = [pytest.mark.hub, pytest.mark.browser]

DOCS = Path(__file__).parents[3] / "docs" / "binderhub.md"
COLD = 60_000

# There is no cluster: KubeSpawner describes the pod, and it is not made.
SPAWNER = """
from kubespawner import KubeSpawner

class NoCluster(Exception):
    pass

class FormSpawner(KubeSpawner):
    async def start(self):
        await self.load_user_options()
        pod = await self.get_pod_manifest()
        problem = NoCluster()
        problem.jupyterhub_message = f"No cluster for {pod.spec.containers[0].image}"
        raise problem

    async def poll(self):
        return 0

    async def stop(self, now=False):
        pass
"""
# KubeSpawner wants to know a cluster before it shows its form.
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "nowhere",
    "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": "nobody"}}],
    "clusters": [{"name": "nowhere", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "nobody", "user": {}}],
}


# What cannot be in a file of values.
HANDLERS = """
from jupyterhub_fancy_profiles import setup_ui
setup_ui(c)
"""


def documented(binder: str) -> dict[str, Any]:
    """Return the documented configuration of JupyterHub, for a BinderHub that runs at `binder`."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (block,) = [block for block in blocks if "setup_ui(c)" in block]
    config = Config()
    exec(block, {"c": config})  # noqa: S102 - our own documentation
    del config.JupyterHub["extra_handlers"]
    values: dict[str, Any] = json.loads(json.dumps(config))
    (service,) = values["JupyterHub"]["services"]
    del service["command"]
    service |= {"url": binder, "api_token": SECRET, "oauth_client_id": CLIENT}
    return values


@contextmanager
def jupyterhub(folder: Path) -> Iterator[tuple[str, Inside]]:
    """Run JupyterHub, and BinderHub as its service; gives both."""
    (folder / "formspawner.py").write_text(SPAWNER)
    (folder / "kubeconfig").write_text(json.dumps(KUBECONFIG))
    values: dict[str, Any] = {}
    env = {"PYTHONPATH": str(folder), "KUBECONFIG": str(folder / "kubeconfig")}
    hub = EmbeddedJupyterHub(folder, config=values, env=env)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> None:
        await hub.start()
        await hub.available()

    settings = {"auth_enabled": True, "enable_api_only_mode": True, "base_url": "/services/binder/"}
    oauth = {"api_url": hub.api_url.rstrip("/"), "hub_host": hub.url.rstrip("/")}
    try:
        with (
            inside(BinderHub=settings, HubOAuth=oauth) as binder,
            pytest.MonkeyPatch.context() as patch,
        ):
            values.update(documented(f"http://{binder.host}"))
            values["JupyterHub"] |= {
                "spawner_class": "formspawner.FormSpawner",
                "authenticator_class": "dummy",
            }
            # Whoever starts the Hub asks with its token whether it is the one that answers.
            values["JupyterHub"]["services"].append({"name": "starter", "api_token": hub.api_token})
            values["JupyterHub"]["load_roles"].append(
                {"name": "starter", "services": ["starter"], "scopes": ["list:users"]}
            )
            values["DummyAuthenticator"] = {"password": "secret"}
            values["Authenticator"] = {"allow_all": True}
            patch.setattr(hub_module, "_CONFIG", hub_module._CONFIG + HANDLERS)
            asyncio.run_coroutine_threadsafe(start(), loop).result(90)
            yield hub.url, binder
    finally:
        asyncio.run_coroutine_threadsafe(hub.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def log_in(page: Page, hub: str) -> None:
    page.goto(f"{hub}hub/login?next=/hub/spawn")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/hub/spawn")


def test_an_image_is_built_on_the_spawn_page(browser: Browser, tmp_path: Path) -> None:
    with jupyterhub(tmp_path) as (hub, binder), browser.new_context() as context:
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        log_in(page, hub)
        page.get_by_role("combobox", name="Image").click(timeout=COLD)
        page.get_by_text("Build your own image", exact=True).click()
        page.get_by_role("combobox", name="Repository").fill("ada/penguins")
        terminal = page.locator(".xterm-rows")
        expect(terminal).to_contain_text("Logs will appear here")
        image = page.locator('input[name$="--unlisted-choice"]')
        start = page.get_by_role("button", name="Build Image and Start")

        start.click()
        build = binder.build()
        assert build.repo_url == "https://github.com/ada/penguins"
        build.say("Step 1/2 : FROM scratch\n")
        expect(terminal).to_contain_text("Step 1/2 : FROM scratch")
        build.end(Status.FAILED)
        expect(start).to_be_enabled()
        expect(image).to_have_value("")

        start.click()
        build = binder.build()
        build.say("Step 2/2 : COPY . .\n")
        expect(terminal).to_contain_text("Step 2/2 : COPY . .")
        build.end()
        # The page sends the form, and KubeSpawner takes the image.
        expect(page.locator("body")).to_contain_text(f"No cluster for {build.image_name}")
        assert binder.launcher.launched == []
        assert problems == []
