"""The real thebe launches through the element, and runs code in a real Jupyter server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from binderprogress.deploy.embedded_jupyterhub import free_ports

from ..support.binderhub import BinderHub, binderhub_in_thread, recorded
from ..support.npm import unpacked
from ..support.packages import remove
from ..support.replay import stage

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

THEBE = "0.9.3"
CORE = "0.5.0"
"""The version of thebe-core that MyST's themes 1.4 have."""
UV = Path(sys.executable).with_name("uv")
TOKEN = str(recorded("ok")[-1]["token"])

PAGE = """<!doctype html>
<html lang="en">
<head>
  <title>Course</title>
  <link rel="icon" href="data:,">
  {ours}
  <script type="text/x-thebe-config">
    {{
      requestKernel: true,
      mountActivateWidget: false,
      savedSessionOptions: {{ enabled: false }},
      binderOptions: {{ repo: "binder-examples/requirements", ref: "HEAD", binderUrl: "{hub}" }}
    }}
  </script>
  <script src="thebe/index.js"></script>
</head>
<body>
  <main><h1>Course</h1>{place}
  <div class="thebe-status"></div>
  <pre data-executable="true" data-language="python">print(6 * 7)</pre></main>
</body>
</html>
"""


MYST = """<!doctype html>
<html lang="en">
<head>
  <title>Course</title>
  <link rel="icon" href="data:,">
  <script src="core/thebe-core.min.js"></script>
</head>
<body>
  <main><h1>Course</h1><div id="anywidget"></div><div id="output"></div></main>
</body>
</html>
"""
# What MyST does: the site has a copy of the script, the directive anywidget is given an element in
# a shadow tree, a button connects, and then a notebook is made of the cells of the page.
CONNECT = """async (hub) => {
  const el = document.createElement("div");
  document.querySelector("#anywidget").attachShadow({ mode: "open" }).append(el);
  (await import("/0b1c2d.mjs")).default.render({ el });
  const { ThebeNotebook, ThebeServer, makeConfiguration, makeRenderMimeRegistry } =
    window.thebeCore.module;
  const config = makeConfiguration({
    useBinder: true,
    binderOptions: { repo: "binder-examples/requirements", ref: "HEAD", binderUrl: hub },
    savedSessionOptions: { enabled: true },
  });
  const server = new ThebeServer(config);
  void server.connectToServerViaBinder();
  server.ready.then(async () => {
    const rendermime = makeRenderMimeRegistry();
    const session = await server.startNewSession(rendermime);
    const cells = [{ id: "first", source: "print(6 * 7)" }];
    const notebook = ThebeNotebook.fromCodeBlocks(cells, config, rendermime);
    notebook.attachSession(session);
    notebook.cells[0].attachToDOM(document.querySelector("#output"));
    await notebook.executeAll();
  });
}"""


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Jupyter server with a Python kernel, as the BinderHub would start it."""
    folder = tmp_path_factory.mktemp("jupyter")
    environment = folder / "environment"
    python = environment / "bin/python"
    subprocess.run([UV, "venv", "--quiet", environment], check=True, timeout=60)
    packages = ["jupyter-server>=2.20", "ipykernel>=6"]
    install = [UV, "pip", "install", "--quiet", "--python", python, *packages]
    subprocess.run(install, check=True, timeout=120)
    (port,) = free_ports(1)
    log = (folder / "log").open("wb")
    names = {f"{kind}_DIR": str(folder) for kind in ("JUPYTER_CONFIG", "JUPYTER_RUNTIME")}
    process = subprocess.Popen(
        [
            *(python, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--port={port}"),
            *(f"--IdentityProvider.token={TOKEN}", "--ServerApp.allow_origin=*"),
            f"--ServerApp.root_dir={folder}",
        ],
        env={**os.environ, **names, "PATH": f"{python.parent}:{os.environ['PATH']}"},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        until = time.monotonic() + 60
        while not _answers(f"{url}api"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)
        log.close()
        remove(environment)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def scripts() -> Iterator[str]:
    """A server that has our scripts, and launches nothing."""
    with stage() as made:
        yield made.url


class Course(SimpleHTTPRequestHandler):
    """Serves a folder, without a log."""

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The folder and the address of a site of somebody else, which has thebe."""
    (tmp_path / "thebe").symlink_to(unpacked("thebe", THEBE) / "lib")
    (tmp_path / "core").symlink_to(unpacked("thebe-core", CORE) / "dist/lib")
    handler = partial(Course, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield tmp_path, f"http://localhost:{server.server_port}/"
        server.shutdown()
        thread.join(10)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    yield page
    context.close()


@contextmanager
def course(
    page: Page,
    site: tuple[Path, str],
    scripts: str,
    *,
    place: str = "",
    stream: str = "ok",
    **more: Any,
) -> Iterator[BinderHub]:
    """Open a page that has thebe and our script, in front of a BinderHub."""
    folder, address = site
    with binderhub_in_thread(stream, allow_origin="*", **more) as hub:
        ours = f'<script type="module" src="{scripts}static/thebe.js"></script>'
        (folder / "index.html").write_text(PAGE.format(ours=ours, hub=hub.url, place=place))
        page.goto(address)
        yield hub


def test_code_runs_in_the_server_that_the_element_launched(
    page: Page, site: tuple[Path, str], scripts: str, jupyter: str
) -> None:
    with course(page, site, scripts, place="<div data-binder-progress></div>", pace=0.02) as hub:
        hub.server_url = jupyter
        hub.gate["launching"] = asyncio.Event()
        page.evaluate("void thebe.bootstrap({ requestKernel: true })")
        element = page.locator("[data-binder-progress] binder-progress")
        expect(element.locator("[part=step]")).to_contain_text("Step", timeout=20_000)
        hub.release("launching")
        expect(element).to_have_count(0, timeout=30_000)
        expect(page.locator(".thebe-status")).to_contain_text("ready[idle]", timeout=60_000)
        page.locator(".thebe-run-button").click()
        expect(page.locator(".thebe-output, .jp-OutputArea-output").first).to_contain_text(
            "42", timeout=30_000
        )
        assert (len(hub.requests), hub.builds, hub.launches) == (1, 1, 1)


def test_code_runs_in_a_page_that_connects_as_mysts_themes_do(
    page: Page, site: tuple[Path, str], jupyter: str
) -> None:
    folder, address = site
    with stage(Web={"allowed_origins": [address.rstrip("/")]}) as ours:
        script = requests.get(f"{ours.url}static/thebe.js", timeout=10).text
        (folder / "0b1c2d.mjs").write_text(script)
        (folder / "index.html").write_text(MYST)
        page.goto(address)
        page.evaluate(CONNECT, ours.url)
        element = page.locator("#anywidget > div > binder-progress")
        ours.log("Step 1/3 : FROM base")
        expect(element.locator("[part=step]")).to_contain_text("Step", timeout=20_000)
        # The reader goes to another page of the site, which has no directive.
        page.evaluate("document.querySelector('#anywidget').remove()")
        element = page.locator("body > binder-progress")
        ours.log("Step 2/3 : RUN true")
        expect(element.locator("[part=step]")).to_contain_text("Step 2", timeout=20_000)
        ours.built()
        ours.serve(jupyter, TOKEN)
        expect(element).to_have_count(0, timeout=30_000)
        expect(page.locator("#output")).to_contain_text("42", timeout=60_000)
        assert len(ours.launcher.requests) == 1


@pytest.mark.long
def test_a_failure_is_shown_by_the_element(
    page: Page, site: tuple[Path, str], scripts: str
) -> None:
    with course(page, site, scripts, stream="badbuild"):
        page.evaluate("void thebe.bootstrap()")
        element = page.locator("body > binder-progress")
        expect(element.locator("[part=outcome]")).to_contain_text(
            "The requirement six==99.99 cannot be satisfied.", timeout=30_000
        )
        expect(element.get_by_role("button", name="Try again")).to_be_visible()
