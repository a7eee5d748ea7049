"""The documentation shows every state of the pages."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

from .e2e.screenshots import FOLDER, GAP, STATES, WIDTHS

PAGE = Path(__file__).parents[1] / "docs" / "screenshots.md"


def test_the_page_shows_each_state_once() -> None:
    shown = re.findall(
        r"^## (.+)\n\n!\[([^\]]+)\]\(images/states/([\w-]+)\.webp\)$",
        PAGE.read_text(),
        re.MULTILINE,
    )
    assert {name: title for title, _, name in shown} == {
        name: state.text for name, state in STATES.items()
    }
    assert len(shown) == len(STATES)
    assert {path.stem for path in FOLDER.iterdir()} == set(STATES)


def test_the_pictures_are_small_files_of_all_widths() -> None:
    pictures = list(FOLDER.glob("*.webp"))
    assert sum(path.stat().st_size for path in pictures) < 3_500_000
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.width == sum(WIDTHS) + GAP
