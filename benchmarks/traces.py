"""Recorded launches: JSONL files, one launch each.

The first line is ``{"spec": …, "host": …}``, and if known ``commit``, ``began`` (seconds since
1970), ``origin`` ("recorded" or "generated") and ``engine`` ("local" or "podman" if it was ours).
Each further line is ``{"t": seconds since the start, "source": "repo2docker" | "jupyterhub" |
"binderhub", "record": …}``.

A launch ends with the Hub's record that has ``ready`` or ``failed``, or with a BinderHub's phase of
that name; if it ends before, it failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import msgspec

from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.backends.repo2docker.builder import Repo2dockerBuilder
from binderprogress.core.log.reader import Record
from binderprogress.core.phases import Phase
from binderprogress.core.timing.estimator import TYPICAL
from binderprogress.errors import BadRequestError

__all__ = ["Header", "Line", "Trace", "read", "read_all", "write"]


class Header(msgspec.Struct, kw_only=True, omit_defaults=True):
    spec: str
    host: str = ""
    commit: str = ""
    began: float = 0.0
    origin: Literal["recorded", "generated"] = "recorded"
    engine: Literal["", "local", "podman"] = ""

    @property
    def typical(self) -> Mapping[Phase, float]:
        """What its phases take where nothing is known, as the engine's builder has it."""
        if self.engine == "local":
            return LocalBuilder().profile.typical
        return Repo2dockerBuilder(engine="podman").profile.typical if self.engine else TYPICAL

    @property
    def first_start(self) -> float:
        """How much longer a first start takes where nothing is known, as the builder has it."""
        return LocalBuilder().profile.first_start if self.engine == "local" else 1.0

    @property
    def repository(self) -> str:
        """The spec without its ref."""
        return self.spec.rpartition("/")[0]


class Line(msgspec.Struct):
    t: float
    source: Literal["repo2docker", "jupyterhub", "binderhub"]
    record: str | dict[str, Any]

    def as_record(self) -> Record:
        return Record(self.source, self.record)


class Trace(msgspec.Struct):
    header: Header
    lines: list[Line]

    @property
    def seconds(self) -> float:
        return self.lines[-1].t

    @property
    def ready(self) -> bool:
        """Whether it came to its good end."""
        record = self.lines[-1].record
        return isinstance(record, dict) and (
            record.get("ready") is True or record.get("phase") == "ready"
        )


def read(path: Path) -> Trace:
    """Read one launch.

    Raises
    ------
    BadRequestError
        If it is none; the message says where.
    """
    try:
        first, *rest = path.read_bytes().splitlines()
        header = msgspec.json.decode(first, type=Header)
        lines = [msgspec.json.decode(line, type=Line) for line in rest if line.strip()]
    except (ValueError, msgspec.DecodeError) as error:
        raise BadRequestError(f"{path} is not a trace: {error}") from error
    if not lines:
        raise BadRequestError(f"{path} is not a trace: there is no line after the first.")
    if any(later.t < line.t for line, later in pairwise(lines)):
        raise BadRequestError(f"{path} is not a trace: its times go back.")
    return Trace(header, lines)


def read_all(folder: Path) -> list[Trace]:
    """Read all launches of a folder, in the order in which they began."""
    if not folder.is_dir():
        raise BadRequestError(f"{folder} is not a folder with traces (*.jsonl).")
    found = [read(path) for path in sorted(folder.rglob("*.jsonl"))]
    return sorted(found, key=lambda trace: trace.header.began)


def write(trace: Trace, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [trace.header, *trace.lines]
    path.write_bytes(b"".join(msgspec.json.encode(part) + b"\n" for part in parts))
