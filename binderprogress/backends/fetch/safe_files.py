"""Writes untrusted files below one folder, within limits.

All content providers use it. The publisher of a record chooses the names of its files and the
content of its archives. So names are checked before anything is written, and limits are enforced
while writing. Sizes in an archive or in an HTTP header are not trusted: bytes are counted.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from .size_limit import Limits, TooLargeError

__all__ = ["SafeFolder", "UnsafePathError", "checked_path"]

_CHUNK = 2**16
_LONGEST_NAME = 255
"""Maximum number of bytes, as in common file systems."""
_LONGEST_PATH = 1024
_DEEPEST = 64
"""Maximum depth of folders."""
_RATIO_FROM = 64 * 2**20
"""Bytes from which the ratio is checked: a small file of zeros is compressed a thousandfold."""
_LONGEST_DIRECTORY = 64 * 2**20
"""Maximum size of the list of members in a ZIP file, which is read into memory."""


class UnsafePathError(ValueError):
    """The name of a file is not safe to write."""


def checked_path(name: str) -> PurePosixPath:
    r"""Return the relative path of a file from its name.

    Raises
    ------
    UnsafePathError
        If it would leave its folder on any system (absolute, ``..``, a drive, a backslash), has
        control characters or lone surrogates, is too long, or lies in a ``.git`` folder, whose
        configuration can name commands for git to run.
    """
    path = PurePosixPath(name)
    parts = path.parts
    unsafe = (
        not parts
        or name.endswith("/")
        or path.is_absolute()
        or ".." in parts
        or "\\" in name
        or (len(name) > 1 and name[1] == ":")
        or any(unicodedata.category(character) in {"Cc", "Cs"} for character in name)
    )
    if unsafe:
        raise _unsafe(name, "it leads out of its folder")
    sizes = [len(part.encode()) for part in parts]
    if max(sizes) > _LONGEST_NAME or sum(sizes) > _LONGEST_PATH or len(parts) > _DEEPEST:
        raise _unsafe(name, "it is too long")
    if any(_is_git(part) for part in parts):
        raise _unsafe(name, "it is in a .git folder")
    return path


class SafeFolder:
    """A folder to write files into. Each file can be written once.

    Symbolic links are neither created nor followed.

    Parameters
    ----------
    root : Path
        An existing folder. No other user may have write permission.
    limits : Limits
        Limits of all files together.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root = root
        self._limits = limits
        self._names: set[str] = set()
        self._files = 0
        self._bytes = 0

    def save(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write one file, chunk by chunk.

        Raises
        ------
        UnsafePathError
            If the name is not safe, or the file exists.
        TooLargeError
            As soon as a limit is exceeded.
        """
        path = checked_path(name)
        # Attack: one file replaces another on file systems that ignore case or normalize accents.
        key = unicodedata.normalize("NFC", str(path)).casefold()
        if key in self._names:
            raise _unsafe(name, "it is the name of two files")
        self._names.add(key)
        self._files += 1
        self._limits.check(self._files, self._bytes)
        with self._create(path) as file:
            for chunk in chunks:
                self._bytes += len(chunk)
                self._limits.check(self._files, self._bytes)
                file.write(chunk)

    def unzip(self, archive: Path, *, below: str | None = None) -> None:
        """Write the files of a ZIP file.

        Modes are not kept, and a link becomes a file that contains its target, as in Python's
        `zipfile`. A ``.git`` folder is skipped.

        Parameters
        ----------
        archive : Path
        below : str, optional
            Write only the content of this folder. The default is the top-level folder, if there is
            only one and it contains all files.

        Raises
        ------
        UnsafePathError, TooLargeError
            As `save`, or if it becomes more than `Limits.max_ratio` times larger.
        BadZipFile, ValueError
            If it cannot be read.
        """
        size = archive.stat().st_size
        with _BoundedReads(archive) as file, ZipFile(file) as opened:
            members = [
                member
                for member in opened.infolist()
                if not member.is_dir() and not _in_git(member)
            ]
            self._limits.check(self._files + len(members), self._bytes)
            # All names are checked first, so that a hostile archive leaves no files behind.
            for member in members:
                checked_path(member.filename)
                if member.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
                    # Attack: the archive determines how much memory LZMA needs.
                    raise ValueError("An archive in it has an unsupported compression.")
            folder = _common_folder(members) if below is None else below
            started = self._bytes
            for member in members:
                if not member.filename.startswith(folder):
                    continue
                with opened.open(member) as content:
                    bounded = self._within_ratio(_chunks(content), size, started)
                    self.save(member.filename.removeprefix(folder), bounded)

    def _within_ratio(self, chunks: Iterable[bytes], size: int, started: int) -> Iterator[bytes]:
        for chunk in chunks:
            written = self._bytes + len(chunk) - started
            if written > max(_RATIO_FROM, size * self._limits.max_ratio):
                raise TooLargeError(
                    "Too large for this server: unpacking makes an archive more than "
                    f"{self._limits.max_ratio} times larger."
                )
            yield chunk

    def _create(self, path: PurePosixPath) -> IO[bytes]:
        """Create a file and its parent folders without following links."""
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in path.parts[:-1]:
                inner = _open_folder(part, folder)
                os.close(folder)
                folder = inner
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            return os.fdopen(os.open(path.name, flags, 0o666, dir_fd=folder), "wb")
        except (FileExistsError, NotADirectoryError) as error:
            raise _unsafe(str(path), "it is the name of two files") from error
        finally:
            os.close(folder)


class _BoundedReads(FileIO):
    """A file that rejects large reads."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read; see `io.RawIOBase.read`."""
        # Attack: millions of members. zipfile reads the full list into memory.
        if size is not None and size > _LONGEST_DIRECTORY:
            raise TooLargeError("Too large for this server: an archive with too many files.")
        return super().read(size) or b""


def _open_folder(name: str, parent: int) -> int:
    # It may exist, created for an earlier file. With O_NOFOLLOW, only a folder can be opened.
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _common_folder(members: list[ZipInfo]) -> str:
    """Return the top-level folder of all members with a slash; empty if there are several."""
    tops = {member.filename.partition("/")[0] for member in members}
    inside = all("/" in member.filename for member in members)
    return f"{tops.pop()}/" if len(tops) == 1 and inside else ""


def _in_git(member: ZipInfo) -> bool:
    return any(_is_git(part) for part in member.filename.split("/"))


def _is_git(part: str) -> bool:
    # As in git: some file systems ignore case, and trailing dots and spaces.
    return part.casefold().rstrip(". ") in {".git", "git~1"}


def _unsafe(name: str, why: str) -> UnsafePathError:
    shown = ascii(name if len(name) <= 100 else f"{name[:100]}…")
    return UnsafePathError(f"Unsafe file name {shown}: {why}.")
