"""The folder with the files of our own JupyterHub."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .._private import make_private_folder
from .._temporary import OwnedFolder

__all__ = ["HubFolder"]

_LONGEST = 80
"""Characters of its path. That of a socket in it has at most 107."""


class HubFolder:
    """A folder that one server at a time uses.

    Parameters
    ----------
    name : str
        Its path.
    lock : FileLock, optional
        Held by this server. None: the folder is temporary.
    temporary : OwnedFolder, optional
    """

    def __init__(
        self,
        name: str,
        *,
        lock: FileLock | None = None,
        temporary: OwnedFolder | None = None,
    ) -> None:
        self.name = name
        self._lock = lock
        self._temporary = temporary

    @classmethod
    def open(cls, wanted: str, *, log: logging.Logger | logging.LoggerAdapter[Any]) -> HubFolder:
        """Return a folder, or a temporary one if another server uses it.

        Parameters
        ----------
        wanted : str
            Its path. Empty: a temporary folder.
        log : logging.Logger
            Gets a warning if the folder cannot be used.

        Raises
        ------
        OSError
            If there cannot be a temporary one either.
        """
        if not wanted:
            return cls._make_temporary()
        path = Path(wanted).expanduser().absolute()
        lock = FileLock(path.with_name(f"{path.name}.lock"), mode=0o600)
        try:
            if len(str(path)) > _LONGEST:
                raise OSError(f"its path has more than {_LONGEST} characters")
            make_private_folder(path)
            path.chmod(0o700)
            lock.acquire(blocking=False)
        except Timeout:
            why = "another server uses it"
        except OSError as error:
            why = str(error)
        else:
            return cls(str(path), lock=lock)
        log.warning(
            "JupyterHub cannot have its files in %s: %s. They are in a temporary folder, and "
            "JupyterHub does not outlive this server.",
            path,
            why,
        )
        return cls._make_temporary()

    @classmethod
    def _make_temporary(cls) -> HubFolder:
        temporary = OwnedFolder("hub")
        return cls(temporary.name, temporary=temporary)

    @property
    def is_temporary(self) -> bool:
        """Whether it is removed when the server ends."""
        return self._temporary is not None

    def clear(self, keep: Collection[str] = ()) -> None:
        """Remove the files in it, except for those with certain names."""
        for path in Path(self.name).iterdir():
            if path.name in keep:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def close(self, *, keep: bool = False) -> None:
        """Let others use it, and remove the files unless they are to be kept."""
        if self._temporary is not None:
            self._temporary.cleanup()
            return
        try:
            if not keep:
                self.clear()
        finally:
            if self._lock is not None:
                self._lock.release()
