"""Installs what lies in ``share/``, and a config file for Jupyter servers.

Everything else is in pyproject.toml.
"""

from pathlib import Path

from setuptools import setup

SHARE = Path("share/binderprogress")


def data_files() -> list[tuple[str, list[str]]]:
    """List every file below ``share/`` with the folder it is installed in."""
    folders: dict[str, list[str]] = {}
    for path in sorted(SHARE.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and "__pycache__" not in path.parts:
            folders.setdefault(path.parent.as_posix(), []).append(path.as_posix())
    config = "jupyter_server_config.d"
    folders[f"etc/jupyter/{config}"] = [f"jupyter-config/{config}/binderprogress.json"]
    return list(folders.items())


setup(data_files=data_files())
