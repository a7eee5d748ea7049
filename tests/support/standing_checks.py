"""What servers that stand ready do for those who launch, wherever the servers run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import requests

from .standalone import post
from .waiting import until

__all__ = ["answers", "check_standing", "launched", "numbers", "standing", "took"]

_TOOK = "Took a server that stood ready.\n"


def standing(url: str) -> int:
    """Return how many servers stand ready, as /health says."""
    try:
        with urlopen(f"{url}health", timeout=60) as response:
            health = json.load(response)
    except HTTPError as error:
        # JupyterHub does not answer yet.
        health = json.load(error)
    return int(health["checks"][0]["standby"])


def numbers(url: str) -> dict[str, int]:
    """Return what the metrics say: how many servers are starting, ready, taken, replaced, …"""
    response = requests.get(f"{url}metrics", timeout=60)
    pattern = r'^binderprogress_standby_\w+\{\w+="(\w+)"\} (\d+)'
    return {name: int(number) for name, number in re.findall(pattern, response.text, re.MULTILINE)}


def launched(url: str, spec: str) -> list[dict[str, Any]]:
    """Launch a spec, and return the events."""
    links = post(f"{url}api/launches", {"spec": spec})
    with urlopen(links["events_url"], timeout=240) as response:
        events = [json.loads(line[5:]) for line in response if line.startswith(b"data:")]
    assert events[-1]["phase"] == "ready", events
    return events


def took(events: list[dict[str, Any]]) -> bool:
    """Whether a launch took a server that stood ready."""
    return any(event.get("message") == _TOOK for event in events)


def answers(end: dict[str, Any]) -> bool:
    """Whether the Jupyter server of a launch answers, with its token only."""
    status = f"{end['url']}api/status"
    token = {"Authorization": f"token {end['token']}"}
    codes = [
        requests.get(status, headers=headers, timeout=60, allow_redirects=False).status_code
        for headers in (token, {})
    ]
    return codes == [200, 403]


def check_standing(
    url: str, spec: str, *, count: int, commit: Callable[[], str], said: Callable[[], str]
) -> list[dict[str, Any]]:
    """Check servers that stand ready, from the first ones to those of another commit.

    Parameters
    ----------
    url : str
        The address of our server.
    spec : str
    count : int
        How many servers are to stand ready.
    commit : callable
        Adds a commit to the repository, and returns it.
    said : callable
        Returns what the server has logged, to show it after a failure.

    Returns
    -------
    list of dict
        The last events of the launches, whose servers run.
    """
    until(lambda: numbers(url).get("ready") == count, said, within=480)
    with ThreadPoolExecutor(count) as threads:
        launches = list(threads.map(lambda _: launched(url, spec), range(count)))
    assert all(map(took, launches)), launches
    ends = [events[-1] for events in launches]
    assert len({end["url"] for end in ends}) == len({end["token"] for end in ends}) == count
    assert all(map(answers, ends))
    # Each is replaced.
    until(lambda: numbers(url)["ready"] == count, said, within=240)
    made = commit()
    until(lambda: numbers(url)["replaced"] == count, said, within=480)
    until(lambda: numbers(url)["ready"] == count, said, within=240)
    events = launched(url, spec)
    assert took(events), events
    assert events[-1]["image"].endswith(f":{made}"), events[-1]
    assert answers(events[-1])
    # Nothing had to be stopped or started that was not wanted.
    counted = numbers(url)
    assert (counted["taken"], counted["missed"]) == (count + 1, 0), counted
    assert (counted["failed"], counted["dead"]) == (0, 0), counted
    return [*ends, events[-1]]
