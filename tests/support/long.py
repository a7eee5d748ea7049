"""Parametrized tests of which `make test` only runs some."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["usually"]


def usually(values: Iterable[Any], *kept: Any) -> list[Any]:
    """List values for `pytest.mark.parametrize`.

    Parameters
    ----------
    values : iterable
        A tuple has the values of several parameters.
    kept : object
        `make test` runs the test with these values, `make test-long` with the others.
    """
    every = list(values)
    assert all(value in every for value in kept), f"{kept} are not all in {every}"
    return [value if value in kept else _long(value) for value in every]


def _long(value: Any) -> Any:
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=pytest.mark.long)
