"""Settings with which servers notice lost connections sooner."""

from __future__ import annotations

from typing import Any

SILENCE = 1.0
"""Seconds without data after which each side gives a connection up, and so on."""

SETTINGS: dict[str, Any] = {
    "Web__keepalive": 0.2,
    "Web__viewer_timeout": SILENCE,
    "HubLauncher__idle_timeout": SILENCE,
    "HubLauncher__request_timeout": SILENCE,
    "HubLauncher__retry_delay": 0.1,
}
