"""Names of build pods and images, compared with what BinderHub makes."""

from __future__ import annotations

import pytest

from binderprogress.core import specs
from binderprogress.core.kubernetes.names import build_name, build_slug, image_name

COMMIT = "0123456789abcdef0123456789abcdef01234567"

# Made with `_generate_build_name` and `_safe_build_slug` of BinderHub.
NAMES = {
    "gh/binder-examples/requirements/HEAD": (
        "build-binder-2dexamples-2drequirements-55ab5c-012-de",
        "registry.example.org/b-binder-2dexamples-2drequirements-55ab5c",
    ),
    "gl/group%2Fsub-group%2Frepo/main": (
        "build-group-2dsub-5f-2dgroup-2drepo-64b6d9-012-de",
        "registry.example.org/b-group-2dsub-5f-2dgroup-2drepo-64b6d9",
    ),
    "git/https%3A%2F%2Fexample.org%2Fa%2Fb/main": (
        "build-https-3a-2f-2fexample-2eorg-2fa-2fb-005f09-012-de",
        "registry.example.org/b-https-3a-2f-2fexample-2eorg-2fa-2fb-005f09",
    ),
    "gist/user/0a1b2c/HEAD": (
        "build-0a1b2c-c6cb1e-012-de",
        "registry.example.org/b-0a1b2c-c6cb1e",
    ),
}


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("gh/user/repo.name/HEAD", "user-repo.name"),
        ("gist/user/0a1b2c/HEAD", "0a1b2c"),
        ("gl/group%2Fsub-group%2Frepo/main", "group-sub_-group-repo"),
        ("git/https%3A%2F%2Fexample.org%2Fa%2Fb/main", "https://example.org/a/b"),
        ("zenodo/10.5281/zenodo.3242074", "zenodo-3242074"),
    ],
)
def test_slugs_are_those_of_binderhub(text: str, slug: str) -> None:
    assert build_slug(specs.parse(text)) == slug


@pytest.mark.parametrize("text", NAMES)
def test_names_are_those_of_binderhub(text: str) -> None:
    spec = specs.parse(text)
    pod, image = NAMES[text]
    assert build_name(spec, COMMIT) == pod
    assert image_name(spec, COMMIT, prefix="registry.example.org/b-") == f"{image}:{COMMIT}"


def test_names_are_short_enough() -> None:
    spec = specs.parse(f"gh/{'u' * 39}/{'R_.' * 90}/HEAD")
    name, _, tag = image_name(spec, COMMIT, prefix="registry.example.org/b-").rpartition(":")
    assert len(build_name(spec, COMMIT)) <= 63
    assert len(name) <= 255
    assert tag == COMMIT
    assert build_name(spec, COMMIT) == build_name(spec, COMMIT).lower()
