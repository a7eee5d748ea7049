"""BinderHub's launcher, whose requests to the Hub say which trace they belong to."""

from __future__ import annotations

from typing import Any

from ...backends.base import trace_headers

__all__ = ["traced"]


class _Traced:
    """Goes in front of a class of launchers."""

    async def api_request(self, url: str, *args: Any, **kwargs: Any) -> Any:
        """Ask the Hub, with a ``traceparent`` where there is one."""
        headers = {**trace_headers(), **(kwargs.pop("headers", None) or {})}
        parent: Any = super()
        return await parent.api_request(url, *args, headers=headers, **kwargs)


def traced(launcher: Any) -> Any:
    """Return a launcher like this one, whose requests have the header of the launch.

    BinderHub makes its launcher itself, of a class that nobody can configure; all of its requests
    go through one method, but nothing that calls it gives it headers.
    """
    kind = type(launcher)
    # Of the same name, for its section of the configuration and its log.
    made = type(kind.__name__, (_Traced, kind), {"__doc__": kind.__doc__})
    values = launcher.trait_values()
    return made(**{name: value for name, value in values.items() if name not in {"config", "log"}})
