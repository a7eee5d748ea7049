"""Repositories that try to have files of the machine read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .repositories import commit, repository

SECRET = "f00dfeed-outside"
"""What is in the files outside that hostile repositories lead to."""


def outside(folder: Path) -> Path:
    """Make a folder with every file that repo2docker reads, each holding the secret."""
    folder.mkdir()
    for name in ("runtime.txt", "apt.txt", "requirements.txt", "environment.yml", "postBuild"):
        (folder / name).write_text(f"{SECRET}\n")
    (folder / "start").write_text(f"#!/bin/sh\necho {SECRET}\n")
    (folder / "Dockerfile").write_text(f"FROM {SECRET}\n")
    return folder


def _link(name: str, target: str) -> Callable[[Path, Path], None]:
    def make(checkout: Path, secrets: Path) -> None:
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target.format(secrets=secrets, up="../" * 30))

    return make


def _chain(checkout: Path, secrets: Path) -> None:
    _link("requirements.txt", "one/two")(checkout, secrets)
    _link("one/two", "../three")(checkout, secrets)
    _link("three", "{up}{secrets}/requirements.txt")(checkout, secrets)


def _through_a_folder(checkout: Path, secrets: Path) -> None:
    # To who reads only the text, "deep/../../x" stays inside.
    (checkout / "a" / "b").mkdir(parents=True)
    (checkout / "a" / "b" / "kept").write_text("")
    _link("a/b/shallow", "../..")(checkout, secrets)
    depth = len(checkout.parts)
    _link("runtime.txt", "a/b/shallow/" + "../" * depth + "{secrets}/runtime.txt")(
        checkout, secrets
    )


KINDS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "an absolute link": ("runtime.txt", _link("runtime.txt", "{secrets}/runtime.txt")),
    "a link through ..": ("apt.txt", _link("apt.txt", "{up}{secrets}/apt.txt")),
    "the environment": ("runtime.txt", _link("runtime.txt", "/proc/self/environ")),
    "a chain": ("one/two", _chain),
    "a folder": ("binder", _link("binder", "{secrets}")),
    "a hidden folder": (".binder", _link(".binder", "{secrets}")),
    "a file in the binder folder": ("binder/start", _link("binder/start", "{secrets}/start")),
    "a link into .git": ("runtime.txt", _link("runtime.txt", ".git/config")),
    "nothing there": ("postBuild", _link("postBuild", "{secrets}/no-such-file")),
    "a Dockerfile": ("Dockerfile", _link("Dockerfile", "{up}{secrets}/Dockerfile")),
    "a link that only looks as if it stayed inside": ("runtime.txt", _through_a_folder),
    "far below": ("data/a/b/c/keys", _link("data/a/b/c/keys", "{up}{secrets}")),
    "a file name that a terminal obeys": (
        r"red\x1b[31m",
        _link("red\x1b[31m", "{secrets}/start"),
    ),
}
"""By what they are: the path that is to be named, and what makes it."""


def hostile(folder: Path, secrets: Path, kind: str) -> Path:
    """Make a repository of a kind."""
    checkout = repository(folder)
    KINDS[kind][1](checkout, secrets)
    commit(checkout, {})
    return checkout
