"""jupyterhub-fancy-profiles on JupyterHub's spawn page builds images with our extension.

JupyterHub, KubeSpawner's form and the page are the real ones, configured as documented.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page, expect
from traitlets.config import Config

import binderprogress.deploy.hub_config as hub_module
from binderprogress.deploy.embedded_jupyterhub import EmbeddedJupyterHub, free_ports

from ...support.told_builds import ToldBuilds

pytest.importorskip("jupyterhub_fancy_profiles")

pytestmark = [pytest.mark.hub, pytest.mark.browser]

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs" / "binderhub.md"
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


# What is outside of BinderHub, and the builds, are the test's. Nothing may be launched.
BINDER = """
from functools import partialmethod

import binderhub.app
from tests.support.inside import PlayedLauncher, played
from tests.support.told_builds import ToldBuild
from tornado.httpserver import HTTPServer

class NoLauncher(PlayedLauncher):
    async def launch(self, *args, **options):
        raise AssertionError("the page only builds")

# BinderHub listens on all addresses.
HTTPServer.listen = partialmethod(HTTPServer.listen, address="127.0.0.1")
binderhub.app.Launcher = NoLauncher
c.merge(played())
c.BinderHub.port = {port}
c.BinderHub.build_class = ToldBuild
c.ToldBuild.port = {builds}
"""

# What cannot be in a file of values.
HANDLERS = """
from jupyterhub_fancy_profiles import setup_ui
setup_ui(c)
"""


class Documented(NamedTuple):
    """What the documentation configures: JupyterHub, and the BinderHub that it starts."""

    jupyterhub: dict[str, Any]
    binderhub: str


def documented() -> Documented:
    """Read the documentation."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (hub,) = [block for block in blocks if "setup_ui(c)" in block]
    (binder,) = [block for block in blocks if "enable_api_only_mode" in block]
    config = Config()
    exec(hub, {"c": config})  # noqa: S102 - our own documentation
    del config.JupyterHub["extra_handlers"]
    return Documented(json.loads(json.dumps(config)), binder)


@contextmanager
def jupyterhub(folder: Path, builds: ToldBuilds) -> Iterator[str]:
    """Run JupyterHub, which starts BinderHub; gives its address."""
    (folder / "formspawner.py").write_text(SPAWNER)
    values, binder = documented()
    (port,) = free_ports(1)
    config = folder / "binderhub_config.py"
    config.write_text(BINDER.format(port=port, builds=builds.port) + binder)
    (service,) = values["JupyterHub"]["services"]
    # The documentation has BinderHub's default port, and a file in the folder of JupyterHub.
    service["url"] = service["url"].replace("8585", str(port))
    service["command"][-1] = str(config)
    found = importlib.util.find_spec("binderhub")
    assert found is not None and found.origin is not None
    packages = [folder, ROOT, Path(found.origin).parents[1]]
    env = {"PYTHONPATH": os.pathsep.join(map(str, packages))}
    hub = EmbeddedJupyterHub(folder, config=values, env=env)
    # Whoever starts the Hub asks with its token whether it is the one that answers.
    values["JupyterHub"]["services"].append({"name": "starter", "api_token": hub.api_token})
    values["JupyterHub"]["load_roles"].append(
        {"name": "starter", "services": ["starter"], "scopes": ["list:users"]}
    )
    values["JupyterHub"] |= {
        "spawner_class": "formspawner.FormSpawner",
        "authenticator_class": "dummy",
    }
    values["DummyAuthenticator"] = {"password": "secret"}
    values["Authenticator"] = {"allow_all": True}
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> None:
        await hub.start()
        await hub.available()

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hub_module, "_CONFIG", hub_module._CONFIG + HANDLERS)
            asyncio.run_coroutine_threadsafe(start(), loop).result(90)
            yield hub.url
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


@pytest.mark.long
def test_an_image_is_built_on_the_spawn_page(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(KUBECONFIG))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    with (
        ToldBuilds() as builds,
        jupyterhub(tmp_path, builds) as hub,
        browser.new_context() as context,
    ):
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
        build = builds.next()
        assert build.repo_url == "https://github.com/ada/penguins"
        assert build.variables["KUBECONFIG"] == str(kubeconfig)
        assert "CONFIGPROXY_AUTH_TOKEN" not in build.variables
        build.say("Step 1/2 : FROM scratch\n")
        expect(terminal).to_contain_text("Step 1/2 : FROM scratch")
        build.end("FAILED")
        expect(start).to_be_enabled()
        expect(image).to_have_value("")

        start.click()
        build = builds.next()
        build.say("Step 2/2 : COPY . .\n")
        expect(terminal).to_contain_text("Step 2/2 : COPY . .")
        build.end()
        # The page sends the form, and KubeSpawner takes the image.
        expect(page.locator("body")).to_contain_text(f"No cluster for {build.image_name}")
        assert problems == []
