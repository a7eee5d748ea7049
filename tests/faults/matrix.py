"""Writes the table of tested faults in the documentation, from the marks of the tests.

A test that injects a fault says so::

    @pytest.mark.fault(part="JupyterHub", fault="is killed", promise="the launch goes on")

The tests are read, not run: ``python -m tests.faults.matrix`` writes the table.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["PAGE", "PARTS", "Row", "rows", "with_table"]

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "faults.md"

PARTS = (
    "The server",
    "JupyterHub",
    "A BinderHub",
    "Builds",
    "Kubernetes",
    "The launches' database",
    "The history's database",
    "The disk",
    "The clock",
    "The connection to viewers",
    "Viewers",
)
"""The parts that fail, in the order of the table."""

_BEGIN, _END = "<!-- tested faults -->\n", "<!-- end of tested faults -->\n"


class Row(NamedTuple):
    """What a test promises about a fault.

    Attributes
    ----------
    test : str
        The path of its file below the folder of tests, and its name.
    """

    part: str
    fault: str
    promise: str
    test: str


def rows(folder: Path = TESTS) -> list[Row]:
    """Return what the tests below a folder promise.

    Raises
    ------
    ValueError
        If a mark is not complete.
    """
    found = [
        row
        for path in sorted(folder.rglob("test_*.py"))
        if "mark.fault" in (text := path.read_text())
        for row in _rows_of(text, path.relative_to(folder).as_posix())
    ]
    return sorted(found, key=lambda row: PARTS.index(row.part))


def with_table(page: str, table: list[Row]) -> str:
    """Return a page with a table in the place for it."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{_table(table)}\n{_END}{after}"


def _rows_of(text: str, path: str) -> Iterator[Row]:
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in function.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                values = {each.arg: ast.literal_eval(each.value) for each in mark.keywords}
                if set(values) != {"part", "fault", "promise"} or values["part"] not in PARTS:
                    raise ValueError(f"{path}, {function.name}: the mark has {values}")
                yield Row(**values, test=f"{path}::{function.name}")


def _table(table: list[Row]) -> str:
    lines = []
    for part in PARTS:
        of_part = [row for row in table if row.part == part]
        if not of_part:
            continue
        lines += [f"**{part}**", ""]
        lines += ["| fault | what must hold | test |", "|---|---|---|"]
        lines += [f"| {row.fault} | {row.promise} | `{row.test}` |" for row in of_part]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    text = PAGE.read_text()
    if _BEGIN not in text:
        sys.exit(f"{PAGE} has no place for the table")
    PAGE.write_text(with_table(text, rows()))
