"""The page of faults lists what the tests promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..faults.matrix import PAGE, TESTS, Row, rows, with_table


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text()
    assert with_table(page, rows()) == page, "run python -m tests.faults.matrix"


def test_all_files_of_tests_of_faults_are_in_it() -> None:
    listed = {row.test.partition("::")[0] for row in rows()}
    files = {f"faults/{path.name}" for path in (TESTS / "faults").glob("test_*.py")}
    assert files <= listed


def test_a_table_replaces_the_one_before() -> None:
    row = Row("JupyterHub", "is killed", "the launch goes on", "faults/test_a.py::test_b")
    page = with_table(
        "before\n<!-- tested faults -->\nearlier\n<!-- end of tested faults -->\nafter", [row]
    )
    assert with_table(page, [row]) == page
    assert "| is killed | the launch goes on | `faults/test_a.py::test_b` |\n" in page
    assert "earlier" not in page and page.startswith("before\n") and page.endswith("after")


@pytest.mark.parametrize("mark", ['part="Nothing", fault="a", promise="b"', 'fault="a"'])
def test_a_mark_that_is_not_complete_is_refused(mark: str, tmp_path: Path) -> None:
    code = f"@pytest.mark.fault({mark})\ndef test_it(): ...\n"
    (tmp_path / "test_some.py").write_text(code)
    with pytest.raises(ValueError, match=r"test_some\.py, test_it"):
        rows(tmp_path)
