"""Names of named servers, as JupyterHub 6 checks them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.server_names import display_name, server_name

slugs = pytest.importorskip("jupyterhub.slugs", reason="JupyterHub 5 accepts any name")

# What JupyterHub accepts is left as it is; of what else, a hash is a part.
NAMES = {
    "requirements-5f0c9a1e": "requirements-5f0c9a1e",
    "a": "a",
    "a" * 30: "a" * 30,
    "a" * 31: "a" * 21 + "-",
    "jupyterlab-a-very-long-repositor-1a2b3c4d": "jupyterlab-a-very-lon-",
    "2024-course-1a2b3c4d": "course-1a2b3c4d-",
    "a--b": "a-b-",
    "-a": "a-",
    "a-": "a-",
    "Ada": "ada-",
    "": "server-",
    "1234": "server-",
}


@pytest.mark.parametrize("text", NAMES)
def test_what_is_valid_stays_and_the_rest_has_a_hash(text: str) -> None:
    name = server_name(text)
    assert name.startswith(NAMES[text])
    assert len(name) in {len(NAMES[text]), len(NAMES[text]) + 8}


@given(st.text())
def test_any_text_becomes_a_name_that_jupyterhub_accepts(text: str) -> None:
    assert slugs.is_valid_safe_slug(server_name(text))


@given(st.text(), st.text())
def test_different_texts_have_different_names(one: str, other: str) -> None:
    assert (server_name(one) == server_name(other)) is (one == other)


def test_attempts_of_one_launch_have_different_names() -> None:
    unique = "jupyterlab-jupyte-rlab-demo-1a2b3c4d"
    names = {server_name(unique), *(server_name(f"{unique}-{attempt}") for attempt in range(2, 9))}
    assert len(names) == 8


@given(st.text())
def test_any_text_becomes_something_to_show_or_nothing(text: str) -> None:
    shown = display_name(text)
    assert shown == "" or slugs.is_valid_display_name(shown)


def test_what_is_shown_is_the_text_with_single_spaces() -> None:
    assert display_name(" binder-examples/Über \n\u200b requirements ") == (
        "binder-examples/Über requirements"
    )
    assert display_name("x" * 254 + " y") == "x" * 254
