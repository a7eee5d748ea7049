"""The date of a commit, which an untrusted process writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from binderprogress.backends.fetch.commit_date import note_commit_date, read_commit_date


def test_it_is_read_once(tmp_path: Path) -> None:
    note_commit_date(tmp_path / "checkout", "1795952011")
    assert read_commit_date(tmp_path / "checkout") == 1795952011.0
    assert read_commit_date(tmp_path / "checkout") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "soon", "-5", "1" * 13, "1" * 100_000, "1795952011\n"])
def test_attack_no_date(tmp_path: Path, text: str) -> None:
    note_commit_date(tmp_path / "checkout", text)
    assert read_commit_date(tmp_path / "checkout") is None


def test_attack_a_link_and_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("12345")
    place = tmp_path / "here" / "commit-date"
    place.parent.mkdir()
    place.symlink_to(tmp_path / "secret")
    assert read_commit_date(place.with_name("checkout")) is None
    place.unlink()
    os.mkfifo(place)
    # It does not wait for a writer.
    assert read_commit_date(place.with_name("checkout")) is None
