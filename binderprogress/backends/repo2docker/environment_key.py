"""What an environment in an image depends on, as repo2docker's buildpacks say it.

A buildpack has commands that run before the repository is copied into the image, with only the
files that they name, such as ``environment.yml``. If all of its commands are of this kind, nothing
else in the repository can matter. The others are those of ``setup.py``, ``install.R``,
``postBuild`` and the like, which can read the whole repository.

It reads untrusted files, so it runs in a separate process; see `render_program`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["environment_key"]


def environment_key(buildpack: Any, build_args: Mapping[str, str]) -> str:
    """Return what identifies the environment of the repository in the current folder.

    Parameters
    ----------
    buildpack : repo2docker.buildpacks.BuildPack
        The one that was picked.
    build_args : mapping of str to str

    Returns
    -------
    str
        32 hexadecimal digits. Empty if the environment can depend on any file of the repository.
    """
    from repo2docker import __version__
    from repo2docker.buildpacks import DockerBuildPack

    reads_repository = (
        isinstance(buildpack, DockerBuildPack)
        or buildpack.get_assemble_scripts()
        or buildpack.get_post_build_scripts()
        or buildpack.get_start_script() is not None
    )
    if reads_repository:
        return ""
    made_with = {
        "repo2docker": __version__,
        "arguments": dict(build_args),
        "platform": buildpack.platform,
        "dockerfile": _without_labels(buildpack, build_args),
        "scripts": {
            inside: _digest(Path(outside))
            for inside, outside in map(
                buildpack.generate_build_context_filename, buildpack.get_build_script_files()
            )
        },
        "files": {name: _digest(Path(name)) for name in buildpack.get_preassemble_script_files()},
    }
    text = json.dumps(made_with, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _without_labels(buildpack: Any, build_args: Mapping[str, str]) -> str:
    """Return the Dockerfile without labels, which contain the commit."""
    labels = dict(buildpack.labels)
    buildpack.labels.clear()
    try:
        return str(buildpack.render(dict(build_args)))
    finally:
        buildpack.labels.update(labels)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
