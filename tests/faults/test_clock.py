"""The system's clock is set while launches go on, and while the server is restarted."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.asynchronous import asynchronous
from ..support.clock import ShiftedClock
from ..support.lastinghub import lasting_hub
from .load import running
from .quick import SETTINGS
from .replica import port_is_back, prepare, serving

_HOUR = 3600


@pytest.mark.long
@pytest.mark.fault(
    part="The clock",
    fault="of the server is set two hours forward or back; the server is killed in between",
    promise="time and bar of each launch only go forward, and nothing is lost",
)
@asynchronous(70)
async def test_the_clock_is_set(tmp_path: Path) -> None:
    spec, storage = prepare(tmp_path), f"sqlite:///{tmp_path}/launches.sqlite"
    clock = ShiftedClock(tmp_path)
    settings = {**SETTINGS, "Storage__url": storage}
    async with (
        lasting_hub() as hub,
        serving(tmp_path, hub, variables=clock.variables, **settings) as replica,
    ):
        async with running(hub, replica, spec) as load:
            for number, offset in enumerate((2 * _HOUR, 0, -2 * _HOUR)):
                clock.shift(offset)
                hub.say(f"the clock is off by {offset} s")
                await load.turn()
                clock.shift(-offset)
                async with load.quiet():
                    await replica.kill()
                replica.start()
                await port_is_back(replica.port)
                hub.say(f"restart {number}")
                await load.turn()
        await load.check(storage, [replica])
        load.all_ready()
        # It was set, indeed.
        times = [launched.events()[0].time for launched in load.launched]
        assert max(times) - min(times) > 3 * _HOUR
