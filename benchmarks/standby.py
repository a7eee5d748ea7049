"""Launches that take a server that stands ready, beside the same launches without one.

One server with its own JupyterHub launches two repositories with the same files, in turn. Of one of
them, servers stand ready. The time is that of a client: from its request to the event `ready`. At
the end, many clients launch at the same moment, and then the server is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from binderprogress.backends.processes.ports import free_ports
from tests.support.repositories import repository

_PROGRAM = str(Path(sys.executable).with_name("binderprogress"))
_FILES = {"requirements.txt": "", "index.ipynb": "{}"}
_PATIENCE = 300.0
"""Seconds to wait for anything."""


class Bench:
    """A server, and its repositories: one of which servers stand ready, and one of which not.

    Parameters
    ----------
    folder : Path
    standing : int
    packages : list of str
        The base packages of environments; empty: as usual.
    """

    def __init__(self, folder: Path, *, standing: int, packages: list[str]) -> None:
        self.ahead = repository(folder / "ahead", _FILES).as_uri()
        self.usual = repository(folder / "usual", _FILES).as_uri()
        self._folder = folder
        self._standing = standing
        self._packages = packages
        (self._port,) = free_ports(1)
        self._url = f"http://127.0.0.1:{self._port}"
        self._session: aiohttp.ClientSession
        self._process: asyncio.subprocess.Process

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the server until the end of the context."""
        await self._start()
        try:
            async with aiohttp.ClientSession() as self._session:
                yield
        finally:
            self._process.terminate()
            await asyncio.wait_for(self._process.wait(), 60)

    async def _start(self) -> None:
        config = self._folder / "config.json"
        config.write_text(json.dumps(self._config()))
        argv = [_PROGRAM, "serve", "-f", str(config)]
        env = {**os.environ, "HOME": str(self._folder)}
        with (self._folder / "log").open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                *argv, env=env, stdout=log, stderr=log
            )

    async def kill(self) -> int:
        """Kill the server with SIGKILL, and start the next one.

        Returns
        -------
        int
            How many of the servers that stood ready do so again, without having been started.
        """
        self._process.kill()
        await self._process.wait()
        await self._start()
        await self.full()
        return self._standing - (await self._numbers())["started"]

    def _config(self) -> dict[str, Any]:
        local = {
            "local_folders": [str(self._folder)],
            "environments": str(self._folder / "environments"),
        }
        if self._packages:
            local["base_packages"] = self._packages
        return {
            "Standalone": {
                "port": self._port,
                "hub_folder": str(self._folder / "hub"),
                "end_launches": True,
            },
            "Storage": {
                "url": f"sqlite:///{self._folder}/launches.sqlite",
                "log_folder": str(self._folder / "logs"),
            },
            "History": {"url": f"sqlite:///{self._folder}/history.sqlite"},
            "LocalBuilder": local,
            "Web": {"rate_limit": 0},
            "LaunchManager": {"max_launches_per_client": 0},
            "Standby": {
                "repositories": {self._spec(self.ahead): self._standing},
                "budget": self._standing,
            },
        }

    @staticmethod
    def _spec(address: str) -> str:
        from binderprogress.core.specs import from_address

        return str(from_address(address))

    async def full(self) -> None:
        """Wait until all servers stand ready, and nothing else happens."""
        async with asyncio.timeout(_PATIENCE):
            while (await self._numbers()).get("ready") != self._standing:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.1)

    async def _numbers(self) -> dict[str, int]:
        try:
            async with self._session.get(f"{self._url}/metrics") as response:
                text = await response.text()
        except aiohttp.ClientError:
            return {}
        found = re.findall(r'^binderprogress_standby_\w+\{\w+="(\w+)"\} (\d+)', text, re.MULTILINE)
        return {name: int(number) for name, number in found}

    async def taken(self) -> int:
        """Return how many launches have taken a server that stood ready."""
        return (await self._numbers())["taken"]

    async def launch(self, address: str) -> tuple[float, dict[str, Any]]:
        """Launch. Return the seconds from the request to `ready`, and that event."""
        began = time.perf_counter()
        async with self._session.post(
            f"{self._url}/api/launches", json={"spec": address}
        ) as response:
            response.raise_for_status()
            events = (await response.json())["events_url"]
        async with self._session.get(events) as response:
            async for line in response.content:
                if line.startswith(b"data:"):
                    event = json.loads(line[5:])
                    if event["phase"] in {"ready", "failed", "cancelled"}:
                        break
        seconds = time.perf_counter() - began
        if event["phase"] != "ready":
            raise RuntimeError(f"A launch ended with {event}.")
        return seconds, event

    async def use(self, event: dict[str, Any]) -> None:
        """Check that a server answers, and let it end."""
        headers = {"Authorization": f"token {event['token']}"}
        async with self._session.get(f"{event['url']}api/status", headers=headers) as response:
            response.raise_for_status()
        async with self._session.post(f"{event['url']}api/shutdown", headers=headers) as response:
            await response.read()


def compare(
    *, launches: int, without: int, standing: int, at_once: int, packages: list[str] | None = None
) -> dict[str, Any]:
    """Measure launches with and without servers that stand ready, taking turns; seconds."""
    with tempfile.TemporaryDirectory(prefix="binderprogress-standby-") as folder:
        bench = Bench(Path(folder), standing=standing, packages=packages or [])
        return asyncio.run(
            _compare(bench, launches=launches, without=without, standing=standing, at_once=at_once)
        )


async def _compare(
    bench: Bench, *, launches: int, without: int, standing: int, at_once: int
) -> dict[str, Any]:
    took: dict[str, list[float]] = {"with": [], "without": []}
    async with bench.running():
        await bench.full()
        # The environment is there, and everything was read from the disk once.
        for address in (bench.ahead, bench.usual):
            await bench.use((await bench.launch(address))[1])
        before = await bench.taken()
        for number in range(launches):
            turn = [("with", bench.ahead)]
            if number * without // launches < (number + 1) * without // launches:
                turn.append(("without", bench.usual))
            for name, address in turn:
                await bench.full()
                seconds, event = await bench.launch(address)
                took[name].append(seconds)
                await bench.use(event)
        took_standby = await bench.taken() - before
        await bench.full()
        before = await bench.taken()
        ends = await asyncio.gather(*(bench.launch(bench.ahead) for _ in range(at_once)))
        taken_at_once = await bench.taken() - before
        for _, event in ends:
            await bench.use(event)
        await bench.full()
        kept = await bench.kill()
        after = await asyncio.gather(*(bench.launch(bench.ahead) for _ in range(standing)))
        taken_after_kill = await bench.taken()
        for _, event in after:
            await bench.use(event)
    urls = {event["url"] for _, event in after}
    return {
        "launches": launches,
        "standing": standing,
        "at_once": at_once,
        "seconds": took,
        "taken": took_standby,
        "servers_at_once": len({event["url"] for _, event in ends}),
        "taken_at_once": taken_at_once,
        "seconds_at_once": sorted(seconds for seconds, _ in ends),
        "kept": kept,
        "servers_after_kill": len(urls),
        "taken_after_kill": taken_after_kill,
        "load": os.getloadavg()[2],
    }


def percentile(values: list[float], share: float) -> float:
    """Return the value that a share of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(int(len(ordered) * share + 0.999999) - 1, 0)]


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    title = (
        f"From the request to `ready`: {result['launches']} launches with "
        f"{result['standing']} servers that stand ready, in turn with launches without"
    )
    lines = [
        title,
        "",
        "|launches|median|95 %|lowest–highest|",
        "|---|---:|---:|---:|",
    ]
    for name, values in result["seconds"].items():
        what = f"{len(values)} {name} a server that stands ready"
        lines.append(
            f"| {what} | {percentile(values, 0.5):.3f} s | {percentile(values, 0.95):.3f} s | "
            f"{min(values):.3f}–{max(values):.3f} s |"
        )
    fast = result["seconds_at_once"][: result["taken_at_once"]]
    after_kill = (
        f"After the server was killed, {result['kept']} of {result['standing']} still stood ready. "
        f"As many launches at the same moment took {result['taken_after_kill']} of them, and had "
        f"{result['servers_after_kill']} different servers."
    )
    lines += [
        "",
        f"{result['taken']} of the first ones took a server that stood ready.",
        f"{result['at_once']} at the same moment: {result['servers_at_once']} different servers, "
        f"{result['taken_at_once']} of which stood ready"
        + (f"; the fastest {len(fast)} took {fast[0]:.2f} to {fast[-1]:.2f} s." if fast else "."),
        after_kill,
        f"Load average of the last 15 minutes: {result['load']:.1f}.",
    ]
    return "\n".join(lines) + "\n"
