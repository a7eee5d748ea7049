"""BinderHub's launcher, with a ``traceparent`` header in its requests to JupyterHub."""

from __future__ import annotations

from typing import Any

from ...backends.base import trace_headers

__all__ = ["traced"]


class _TracedRequests:
    """A mixin for launcher classes."""

    async def api_request(self, url: str, *args: Any, **kwargs: Any) -> Any:
        """Send a request to JupyterHub, with a ``traceparent`` if the launch is traced."""
        headers = {**trace_headers(), **(kwargs.pop("headers", None) or {})}
        parent: Any = super()
        return await parent.api_request(url, *args, headers=headers, **kwargs)


def traced(launcher: Any) -> Any:
    """Return a copy of a launcher, with the header of the launch in its requests.

    The class of BinderHub's launcher cannot be configured. All of its requests go through one
    method, but its callers pass no headers.
    """
    original = type(launcher)
    # Keep the name, which is used in the configuration and in the log.
    subclass = type(original.__name__, (_TracedRequests, original), {"__doc__": original.__doc__})
    values = launcher.trait_values()
    return subclass(
        **{name: value for name, value in values.items() if name not in {"config", "log"}}
    )
