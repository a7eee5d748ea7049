"""What a backend is like."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..core.phases import COURSE, Phase

__all__ = ["BackendProfile"]


class BackendProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Properties of a backend.

    Attributes
    ----------
    typical : mapping
        Default duration of each phase, in seconds. Phases that are missing are not expected.
    phases : tuple of Phase
        The phases that a launch can have, in their order. Others are not shown as still to come.
    first_start : float
        Factor by which a server starts slower right after its environment was built.
    runs_on_host : bool
        Whether a repository's code runs as the server's user, without isolation.
    reads_private : bool
        Whether private repositories can be launched.
    builds_go_on : bool
        Whether a build goes on without this server, and is joined if it is started again.
    builds_to_launch : bool
        Whether it can only build to launch afterwards.
    finds : bool
        Whether it can say which environments exist; see `Finder`.
    sizes : bool
        Whether it can say how large images are; see `Sizer`.
    leaves_builds : bool
        Whether builds may leave something that has to be removed; see `Cleaner`.
    """

    typical: Mapping[Phase, float]
    phases: tuple[Phase, ...] = COURSE
    first_start: float = 1.0
    runs_on_host: bool = False
    reads_private: bool = False
    builds_go_on: bool = False
    builds_to_launch: bool = False
    finds: bool = False
    sizes: bool = False
    leaves_builds: bool = False
