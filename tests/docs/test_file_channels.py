"""The example of a channel store passes the tests of all stores."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from binderprogress import ChannelStore

from ..channels.test_conformance import *  # noqa: F403 - the tests of all stores

EXAMPLE = Path(__file__).parents[2] / "docs/examples/file_channels.py"


@pytest.fixture
def store(tmp_path: Path) -> ChannelStore:
    store: ChannelStore = runpy.run_path(str(EXAMPLE))["FileChannelStore"](tmp_path)
    return store
