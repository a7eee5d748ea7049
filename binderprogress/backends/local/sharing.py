"""What an environment is made from, and so which commits and repositories can have the same one.

If a repository has no environment files but ``requirements.txt`` and ``runtime.txt``, and these
name packages of an index only, nothing else in the repository matters. If it has others, such as
``postBuild`` or ``pyproject.toml``, the environment is made from the repository.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..fetch.checkout import CONFIGURATION
from .marker import MARKER

__all__ = ["contents", "environment_key", "is_as_made", "shared_folder"]

_BINDER_FOLDERS = ("binder", ".binder")

_INSTALLED = ("requirements.txt", "runtime.txt")
"""Files that say what to install."""

_READ_LATER = ("start",)
"""Files that do not change an environment: they are read when a server starts."""

_FROM_REPOSITORY = ("postBuild", "pyproject.toml", "setup.cfg", "setup.py")
"""Files that let an environment depend on other files of the repository."""

_REMOTE_OPTION = re.compile(r"--(?:extra-)?index-url[ =]\s*https?://\S+$|--pre$")
"""Options in requirements that name no file."""

_PLAIN = re.compile(r"[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*(?: *[=<>]= *[0-9]+(?:\.[0-9]+)*)?")
"""The requirements of most repositories: a name, and a version."""

_ARCHIVES = (".whl", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst")
_CONTINUED = re.compile(r"\\\r?\n")
_COMMENT = re.compile(r"(?:^|\s)#")
_HASH = re.compile(r"\s--hash=\S+")


def environment_key(
    checkout: Path, *, made_with: Sequence[str], ignore_repository: bool = False
) -> str:
    """Return what identifies the environment of a checkout, whatever its commit.

    Parameters
    ----------
    checkout : Path
        A checkout that was checked.
    made_with : sequence of str
        What else an environment is made from, such as the version of Python.
    ignore_repository : bool
        Whether a ``postBuild`` or a package in the repository counts as what its own environment
        files say, although it can read other files.

    Returns
    -------
    str
        32 hexadecimal digits. Empty if the environment depends on other files of the repository.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    known = {*_INSTALLED, *_READ_LATER, *(_FROM_REPOSITORY if ignore_repository else ())}
    digest = hashlib.sha256(json.dumps(list(made_with)).encode())
    for folder in ("", *_BINDER_FOLDERS):
        place = checkout / folder
        if folder and place.is_dir():
            # The first one that exists hides the files in the root.
            digest.update(f"folder {folder}\n".encode())
        for name in sorted(CONFIGURATION):
            path = place / name
            if not path.is_file() or name in _READ_LATER:
                continue
            if name not in known:
                return ""
            text = path.read_bytes()
            if name == "requirements.txt" and not _is_self_contained(text):
                return ""
            digest.update(f"file {folder}/{name} {len(text)}\n".encode() + text)
    return digest.hexdigest()[:32]


def _is_self_contained(requirements: bytes) -> bool:
    """Whether requirements name no file of the repository, and no variable of the environment."""
    try:
        text = requirements.decode()
    except UnicodeDecodeError:
        return False
    lines = _CONTINUED.sub(" ", text).splitlines()
    return all(_names_no_file(line) for line in lines)


def _names_no_file(line: str) -> bool:
    line = _COMMENT.split(line, maxsplit=1)[0].strip()
    if not line or _REMOTE_OPTION.match(line):
        return True
    if _PLAIN.fullmatch(line):
        return True
    if "${" in line:
        return False
    line = _HASH.sub("", line)
    # Importing it takes as long as to clone a small repository.
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        # A folder or a wheel, an option for one requirement, and "-r other.txt" are none.
        requirement = Requirement(line)
    except InvalidRequirement:
        return False
    if requirement.url is None:
        # Installers take such a name as that of a file.
        return not requirement.name.lower().endswith(_ARCHIVES)
    return re.match(r"(?:git\+)?https?://", requirement.url) is not None


def shared_folder(environments: Path, key: str) -> Path:
    """Return the folder of the environment with a key."""
    return environments / f"packages-{key}"


def contents(venv: Path) -> list[str]:
    """Return the names of what is installed in a virtual environment, with their versions."""
    folders: Iterable[Path] = [venv / "bin", *venv.glob("lib/python*/site-packages")]
    return sorted(
        f"{folder.name}/{path.name}"
        for folder in folders
        for path in folder.iterdir()
        if path.name != "__pycache__"
    )


def is_as_made(folder: Path) -> bool:
    """Whether an environment is complete, and has what it had when it was made.

    A notebook may have installed something, or removed it.
    """
    try:
        made = json.loads((folder / MARKER).read_text())
        return bool(made["contents"] == contents(folder / "venv"))
    except (OSError, ValueError, KeyError):
        return False
