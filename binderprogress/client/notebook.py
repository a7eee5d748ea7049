"""The parts of a notebook that running it needs.

Jupyter Server converts notebooks to version 4 of the format before it sends them. They are read
leniently: Jupyter also runs notebooks that break the format's schema elsewhere.
"""

from __future__ import annotations

import msgspec

__all__ = ["Cell", "Notebook"]

_SKIP = "skip-execution"
_RAISES = "raises-exception"


class _CellMetadata(msgspec.Struct):
    tags: list[str] = []


class Cell(msgspec.Struct, frozen=True):
    """A cell of a notebook."""

    cell_type: str
    source: str | list[str] = ""
    metadata: _CellMetadata = msgspec.field(default_factory=_CellMetadata)

    @property
    def code(self) -> str:
        """The code to run; empty for text, for blank cells and for those tagged as skipped."""
        if self.cell_type != "code" or _SKIP in self.metadata.tags:
            return ""
        text = self.source if isinstance(self.source, str) else "".join(self.source)
        return text if text.strip() else ""

    @property
    def may_raise(self) -> bool:
        """Whether a tag says that the cell may raise an exception."""
        return _RAISES in self.metadata.tags


class _Kernelspec(msgspec.Struct):
    name: str = ""


class _Metadata(msgspec.Struct):
    kernelspec: _Kernelspec = msgspec.field(default_factory=_Kernelspec)


class Notebook(msgspec.Struct, frozen=True):
    """A notebook."""

    cells: list[Cell]
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)

    @property
    def kernel(self) -> str:
        """The name of its kernelspec; empty for the server's default."""
        return self.metadata.kernelspec.name
