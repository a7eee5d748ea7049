"""``binderprogress demo``."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from traitlets import Bool, Unicode

from .._share import share_path
from ..backends.processes.child import run
from ..core.printable import printable
from ..deploy.application import print_line, serve
from ..deploy.standalone import CONFIGURABLES, Standalone
from ..errors import ConfigError
from ..web.gallery import load_entries, make_gallery
from .base import Command, allow_folder, open_in_browser, run_until_stopped, stop_event

__all__ = ["DemoApp", "examples"]


class DemoApp(Command):
    """Run JupyterHub, the server and a page with examples on this machine.

    The default engine "local" does not need Docker. It installs packages from PyPI, and runs the
    examples with your rights and without isolation.
    """

    name = "demo"
    classes = [Standalone, *CONFIGURABLES]  # noqa: RUF012 - traitlets' way
    aliases = {  # noqa: RUF012 - traitlets' way
        **Command.aliases,
        "port": "Standalone.port",
        "engine": "Standalone.engine",
    }
    flags = {  # noqa: RUF012
        **Command.flags,
        "no-browser": ({"DemoApp": {"open_browser": False}}, "Do not open a browser."),
        "json": ({"DemoApp": {"json": True}}, "Print one line of JSON when the demo is ready."),
    }

    open_browser = Bool(True, help="Whether to open a browser.").tag(config=True)

    json = Bool(
        False, help="Print one line of JSON when the demo is ready, and do not open a browser."
    ).tag(config=True)

    folder = Unicode(
        str(user_cache_path("binderprogress") / "examples"),
        help="Folder for the git repositories of the examples.",
    ).tag(config=True)

    async def main(self) -> int:
        """Start everything, and serve until Ctrl-C or SIGTERM."""
        stop = stop_event()
        folder = await asyncio.to_thread(_make_folder, self.folder)
        entries = await examples(folder)
        allow_folder(self.config, folder)
        # Upstream BinderHubs from the config file cannot read the examples on this machine.
        self.config.pop("Upstreams", None)
        # Everything ends with the demo.
        standalone = Standalone(parent=self, show_engine=True, hub_folder="")
        # A configured gallery takes precedence over the examples.
        if not standalone.web.gallery:
            standalone.web.gallery_items = make_gallery(entries, _gallery())
        try:
            await standalone.start()
            if standalone.hub is not None:
                await run_until_stopped(stop, standalone.hub.available())
            if not stop.is_set():
                self._announce(standalone)
            await serve(standalone, stop)
            self._say("Stopping everything …")
        finally:
            await standalone.stop()
        self._say("Stopped.")
        return 0

    def _say(self, sentence: str) -> None:
        if not self.json:
            print_line(sentence)

    def _announce(self, standalone: Standalone) -> None:
        if self.json:
            items = standalone.web.gallery_items.items.values()
            line = {
                "url": standalone.url,
                "hub": standalone.hub_url,
                "examples": [
                    {"slug": item.slug, "title": item.title, "spec": str(item.spec)}
                    for item in items
                ],
            }
            print(json.dumps(line), flush=True)
            return
        print(f"The demo is at {standalone.url}", flush=True)
        print(f"Its JupyterHub is at {standalone.hub_url}", flush=True)
        print("Press Ctrl-C to stop everything.", flush=True)
        if self.open_browser:
            open_in_browser(standalone.url)


def _make_folder(name: str) -> Path:
    folder = Path(name).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _gallery() -> Path:
    return share_path("examples", "gallery.yaml")


async def examples(folder: Path) -> list[dict[str, Any]]:
    """Create git repositories of the examples in a folder, and return the gallery's entries."""
    return [await _example(entry, folder) for entry in load_entries(_gallery())]


async def _example(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Create the git repository of an entry, unless it exists already.

    Path, author and date are always the same. So the commit is the same, too, and its environment
    can be reused.
    """
    source = share_path("examples", entry["repo"])
    digest = hashlib.sha256()
    for path in sorted(source.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    repository = folder / digest.hexdigest()[:12] / entry["repo"]
    if not repository.is_dir():
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            copy = Path(temporary) / "repository"
            shutil.copytree(source, copy)
            await _commit(copy)
            repository.parent.mkdir(exist_ok=True)
            try:
                copy.rename(repository)
            except OSError:
                if not repository.is_dir():  # otherwise, another demo has just created it
                    raise
    return {**entry, "repo": repository.as_uri()}


async def _commit(folder: Path) -> None:
    person = {"NAME": "binderprogress", "EMAIL": "examples@binderprogress.invalid"}
    date = "2026-01-01T00:00:00Z"
    env = {
        **os.environ,
        # Ignore the user's hooks and signing keys.
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        **{f"GIT_{who}_{k}": v for who in ("AUTHOR", "COMMITTER") for k, v in person.items()},
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_DATE": date,
    }
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        ["commit", "--quiet", "--message=An example"],
    ):
        code, output = await run(["git", "-C", str(folder), *arguments], env=env, timeout=30)
        if code:
            print(printable(output), file=sys.stderr)
            raise ConfigError(f"git {arguments[0]} failed. The demo needs git 2.28 or newer.")
