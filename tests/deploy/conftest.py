"""A service in a real JupyterHub, and an environment without OpenTelemetry settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..launches.parts import NOTHING
from ..support.hubservice import Service, service
from ..support.repositories import repository

# A build that runs until it is cancelled.
ENDLESS = {**NOTHING, "postBuild": "#!/bin/sh\nexec tail -f /dev/null\n"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the repositories `small` and `endless`."""
    folder = tmp_path_factory.mktemp("service")
    repository(folder / "small", NOTHING)
    repository(folder / "endless", ENDLESS)
    return folder


@pytest.fixture(scope="module")
def named(folder: Path) -> Iterator[Service]:
    """The service, which launches named servers from `folder`."""
    with service(folder, "Named servers") as running:
        yield running


@pytest.fixture
def no_tracing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the OpenTelemetry settings of the machine, and export spans at once."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("OTEL_SDK_DISABLED", raising=False)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
