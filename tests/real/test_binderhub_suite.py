"""BinderHub's own tests, with BinderHub alone and with our extension; see README.md."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

PYTHON = os.environ.get("BINDERPROGRESS_BINDERHUB_PYTHON", "")
SOURCE = os.environ.get("BINDERPROGRESS_BINDERHUB_SOURCE", "")

pytestmark = pytest.mark.skipif(
    not (PYTHON and SOURCE),
    reason="set BINDERPROGRESS_BINDERHUB_PYTHON and _SOURCE; see tests/real/README.md",
)

# The others need a cluster or the internet, or have nothing to do with the server.
FILES = {
    *("app", "auth", "build", "builder", "eventlog", "health"),
    *("legacy", "main", "quota", "ratelimit", "version"),
}
ROOT = Path(__file__).parents[2]


def passed(report: Path, *options: str) -> set[str]:
    """Run the tests, and return the names of those that pass."""
    files = [f"binderhub/tests/test_{name}.py" for name in sorted(FILES)]
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
    done = subprocess.run(
        [*command, *options, f"--junit-xml={report}", *files],
        cwd=SOURCE,
        env={
            **os.environ,
            "PYTHONPATH": f"{SOURCE}:{ROOT}",
            "XDG_DATA_HOME": str(report.parent / "data"),
        },
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    # 1: some fail, such as those that need the internet.
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    cases = ElementTree.parse(report).iter("testcase")  # noqa: S314 - pytest has written it
    return {f"{case.get('classname')}::{case.get('name')}" for case in cases if not len(case)}


@pytest.mark.timeout(2500)
def test_what_passes_with_binderhub_alone_passes_with_ours(tmp_path: Path) -> None:
    alone = passed(tmp_path / "alone.xml")
    ours = passed(tmp_path / "ours.xml", "-p", "tests.real.binderhub_plugin")
    assert len(alone) > 30
    assert alone <= ours
