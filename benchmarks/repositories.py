"""The repositories whose launches are recorded: few and many steps, fast and slow ones, bad ones.

Each has eight launches to learn from, then three to be tested; in between its files change.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from binderprogress.core.specs import Spec, from_address
from tests.podman.podman_support import BASE_IMAGE

__all__ = ["LOCAL", "PODMAN", "Launches", "Repository", "change", "commit_of", "spec_of"]


class Launches(NamedTuple):
    """What is done to a repository before each of its launches.

    Attributes
    ----------
    changes : str
        One letter a launch: ``f`` its first files, ``t`` a change of a text, ``r`` one of what is
        installed or run, ``.`` none.
    ref : str
        What is launched.
    """

    changes: str = "f..t.r..|.t."
    ref: str = ""


GOOD = Launches()
BAD = Launches("f.|t")
"""Those that cannot come up: two to be learned from, one test."""


class Repository(NamedTuple):
    """How its files are made.

    Attributes
    ----------
    files : mapping of str to str
        By name; ``{number}`` in them counts the changes of what is installed or run.
    wheels : list of str
        Packages whose wheels lie in ``wheels/``, to be installed without a network.
    launches : Launches
    """

    files: Mapping[str, str]
    wheels: tuple[str, ...] = ()
    launches: Launches = GOOD


_HEAD = f"""\
FROM {BASE_IMAGE}
ARG NB_USER
ARG NB_UID
ENV USER=${{NB_USER}} HOME=/home/${{NB_USER}}
RUN useradd --create-home --uid ${{NB_UID}} ${{NB_USER}}
"""
_TAIL = """\
COPY --chown=${NB_UID} . ${HOME}/
WORKDIR ${HOME}
USER ${NB_UID}
RUN test $(id -u) = 1000 && cat README.md
"""
# pip runs from its own wheel: Debian's Python comes without it.
_PIP = (
    "PYTHONPATH=$(echo /srv/wheels/pip-*.whl) python3 -m pip install --break-system-packages "
    "--no-index --find-links /srv/wheels"
)

_ROWS = """\
import sqlite3

number = {number}
with sqlite3.connect("/srv/rows.sqlite") as database:
    database.execute("create table measured (id integer primary key, place text, value real)")
    rows = ((n, f"place {n % 997}", (n * 7919 + number) % 10007 / 97) for n in range(1_500_000))
    database.executemany("insert into measured values (?, ?, ?)", rows)
print("1.5 million rows")
"""
_NOTEBOOK = """\
{"cells": [{"cell_type": "code", "id": "a", "execution_count": null, "metadata": {}, "outputs": [],
"source": "sum(n * n for n in range(1_000_000 + {number}))"}],
"metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
"nbformat": 4, "nbformat_minor": 5}
"""
_CHAPTERS = 5

PODMAN = {
    "short": Repository({"Dockerfile": f"{_HEAD}ENV NUMBER={{number}}\n{_TAIL}"}),
    "tables": Repository(
        {
            "Dockerfile": f"{_HEAD}COPY wheels /srv/wheels\nRUN {_PIP} "
            "pandas humanize # {number}\nRUN python3 -m compileall -q /usr/local/lib/python3*\n"
            f'RUN python3 -c "import pandas; print(pandas.__version__)"\n{_TAIL}'
        },
        wheels=("pip", "pandas", "humanize"),
    ),
    "database": Repository(
        {
            "make.py": _ROWS,
            "Dockerfile": f"{_HEAD}COPY make.py /srv/\nRUN python3 /srv/make.py\n"
            "RUN gzip --keep /srv/rows.sqlite\nRUN sha256sum /srv/rows.sqlite.gz\n"
            f"RUN rm /srv/rows.sqlite && gunzip --keep /srv/rows.sqlite.gz\n{_TAIL}",
        }
    ),
    "chapters": Repository(
        {
            # The first ones stay as they are, and are cached.
            **{
                f"chapter-{n}.ipynb": _NOTEBOOK.replace("{number}", str(n)) if n < 2 else _NOTEBOOK
                for n in range(_CHAPTERS)
            },
            "Dockerfile": f"{_HEAD}LABEL title=chapters\nENV LANG=C.UTF-8\nRUN mkdir /srv/book\n"
            + "".join(
                f"COPY chapter-{n}.ipynb /srv/book/\nRUN jupyter nbconvert --execute --to html "
                f"/srv/book/chapter-{n}.ipynb\nRUN sha256sum /srv/book/chapter-{n}.html\n"
                for n in range(_CHAPTERS)
            )
            + _TAIL,
        }
    ),
    "broken": Repository(
        {"Dockerfile": f'{_HEAD}{_TAIL}RUN python3 -c "import no_such_module"\n'}, launches=BAD
    ),
    "without-a-server": Repository(
        {"Dockerfile": f"{_HEAD}RUN rm /usr/local/bin/jupyter-*\n{_TAIL}"}, launches=BAD
    ),
    "no-such-ref": Repository(
        {"Dockerfile": f"{_HEAD}{_TAIL}"}, launches=BAD._replace(ref="no-such-branch")
    ),
}
"""Images that podman builds of a base image that is there; each step really runs."""


def _requirements(*names: str) -> dict[str, str]:
    return {"requirements.txt": "\n".join(names) + "\n# {number}\n"}


LOCAL = {
    "plain": Repository(_requirements("humanize")),
    "tables": Repository(_requirements("pandas")),
    "pictures": Repository(_requirements("matplotlib")),
    "science": Repository(_requirements("scipy", "sympy")),
    "widgets": Repository(_requirements("ipywidgets", "bqplot")),
    "web": Repository(_requirements("aiohttp", "beautifulsoup4", "requests")),
    "unsatisfiable": Repository(_requirements("humanize==99"), launches=BAD),
    "no-such-ref": Repository(
        _requirements("humanize"), launches=BAD._replace(ref="no-such-branch")
    ),
}
"""Environments of the engine ``local``."""


def change(folder: Path, repository: Repository, letter: str, number: int) -> None:
    """Make the files of a repository, or change them, and commit that.

    Parameters
    ----------
    folder : Path
        Where it is, or is to be.
    repository : Repository
    letter : str
        As in `Launches.changes`.
    number : int
        Of the launch; different for each change.
    """
    if letter == ".":
        return
    if letter == "f":
        folder.mkdir(parents=True)
        _git(folder, "init", "--quiet", "--initial-branch=main")
        if repository.wheels:
            _download(repository.wheels, folder / "wheels")
    if letter in "fr":
        for name, text in repository.files.items():
            (folder / name).write_text(text.replace("{number}", str(number)))
    (folder / "README.md").write_text(f"# Change {number}\n")
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", f"Change {number}")


def commit_of(folder: Path) -> str:
    """Return the newest commit."""
    return _git(folder, "rev-parse", "HEAD").strip()


def spec_of(folder: Path, launches: Launches) -> Spec:
    """Return what is launched."""
    return from_address(folder.as_uri(), launches.ref)


def _download(packages: tuple[str, ...], folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder), "--", *packages], check=True, timeout=300)


def _git(folder: Path, *arguments: str) -> str:
    who = {"NAME": "Ada", "EMAIL": "ada@example.org"}
    env = {
        f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()
    }
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        check=True,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout
