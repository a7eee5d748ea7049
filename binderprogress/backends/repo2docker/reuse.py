"""Builds an image from one of an earlier commit whose environment is the same.

An image with an environment that others can have, too, is labelled with what identifies that, and
contains the names of the files that came from the repository. The image of another commit is then
the same one with other files. Such an image is not reused itself: layers would pile up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from .images import ENVIRONMENT_LABEL, REPOSITORY_LABEL, REUSED_LABEL

__all__ = ["Base", "Reuse", "make_reusable", "take_reuse", "thin_dockerfile", "thin_labels"]

_VARIABLE = "BINDERPROGRESS_REUSE"
_LISTS = "/usr/local/share/binderprogress"
"""The folder in an image with the names of files and folders."""
_FILES, _FOLDERS = "binderprogress-files", "binderprogress-folders"
_THIN = "binderprogress.Dockerfile"


class Base(msgspec.Struct, frozen=True):
    """An image that can be reused.

    Attributes
    ----------
    image : str
    created : float
        Seconds since 1970.
    """

    image: str
    created: float

    @property
    def message(self) -> str:
        """The line of the log that says that it is reused."""
        when = f"{datetime.fromtimestamp(self.created, UTC):%Y-%m-%d %H:%M} UTC"
        return f"Reusing the environment of {when}: its environment files are the same.\n"


class Reuse(msgspec.Struct, frozen=True):
    """What the server knows before a build that may reuse an image.

    Attributes
    ----------
    repository : str
        Identifies the repository. Images of others are never reused.
    bases : mapping of str to Base
        Its images by what identifies their environments; see `environment_key`.
    """

    repository: str
    bases: Mapping[str, Base] = {}

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that pass it to the process of a build."""
        return {_VARIABLE: msgspec.json.encode(self).decode()}


def take_reuse() -> Reuse | None:
    """Return what is in the environment, and remove it. None: nothing is to be reused."""
    text = os.environ.pop(_VARIABLE, "")
    return msgspec.json.decode(text, type=Reuse) if text else None


def make_reusable(context: Path, key: str, repository: str) -> None:
    """Let an image be reused later, which is built from a context of repo2docker.

    Parameters
    ----------
    context : Path
        A folder that was checked; see `fetch.checkout.check_checkout`.
    key : str
        What identifies its environment.
    repository : str
        What identifies the repository.
    """
    files, folders = _contents(context / "src")
    (context / _FILES).write_bytes(b"".join(b"./%b\0" % name for name in files))
    (context / _FOLDERS).write_bytes(b"".join(b"./%b\0" % name for name in folders))
    with (context / "Dockerfile").open("a") as dockerfile:
        # Each in a line of its own: what is before it may not end in one.
        dockerfile.write(
            f"\nCOPY {_FILES} {_FOLDERS} {_LISTS}/\n"
            f'LABEL {ENVIRONMENT_LABEL}="{key}"\n'
            f'LABEL {REPOSITORY_LABEL}="{repository}"\n'
        )


def thin_dockerfile(context: Path, base: Base, user: str) -> Path:
    """Write a Dockerfile that replaces the files of the repository in an image.

    Parameters
    ----------
    context : Path
        With the new files in ``src``, as repo2docker writes it.
    base : Base
    user : str
        The user and group who own them.
    """
    path = context / _THIN
    path.write_text(
        f"""\
FROM {base.image}
RUN cd "${{REPO_DIR}}" && \\
    xargs -0 -r rm -f -- < {_LISTS}/{_FILES} && \\
    xargs -0 -r sh -c 'for folder; do \\
      if [ -d "$folder" ]; then rmdir --ignore-fail-on-non-empty -- "$folder"; fi; \\
    done' sh < {_LISTS}/{_FOLDERS}
COPY --chown={user}:{user} src/ ${{REPO_DIR}}/
"""
    )
    return path


def thin_labels(labels: Mapping[str, str], base: Base) -> dict[str, str]:
    """Return the labels of an image that reuses another one. It is not reused itself."""
    return {**labels, ENVIRONMENT_LABEL: "", REUSED_LABEL: base.image}


def _contents(folder: Path) -> tuple[list[bytes], list[bytes]]:
    """Return the paths of files and links, and those of folders, the deepest first."""
    files: list[bytes] = []
    folders: list[bytes] = []
    for name, is_folder in _walk(folder, ""):
        # Names may be any bytes.
        (folders if is_folder else files).append(os.fsencode(name))
    return files, folders


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder:
                yield from _walk(folder / entry.name, f"{prefix}{entry.name}/")
            yield f"{prefix}{entry.name}", is_folder
