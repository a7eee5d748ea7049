"""Builds that are rejected, in BinderHub's log and metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from binderhub import builder
from tornado.web import HTTPError

from ..logs import SafeLogger

__all__ = ["check_user_agent", "counted"]

_log = SafeLogger(logging.getLogger(__name__))

# BinderHub has this counter, and the patterns of user agents, since May 2026.
_REJECTED = getattr(builder, "BUILDS_REJECTED", None)


@contextmanager
def counted(
    handler: Any, spec: str, reason: str, errors: type[Exception] = HTTPError
) -> Iterator[None]:
    """Log and count a request to build that the block rejects.

    Parameters
    ----------
    handler : tornado.web.RequestHandler
    spec : str
        What was to be built.
    reason : str
        BinderHub's name for why.
    errors : type
        What the block raises then.
    """
    try:
        yield
    except errors as error:
        agent = handler.request.headers.get("User-Agent", "")
        _log.warning(
            "Rejecting build: reason=%s spec=%s ip=%s user_agent=%r: %s",
            reason,
            spec,
            handler.request.remote_ip,
            agent,
            error,
        )
        if _REJECTED is not None:
            _REJECTED.labels(reason=reason, spec=spec, user_agent=agent).inc()
        raise


def check_user_agent(handler: Any, spec: str) -> None:
    """Reject robots that say that they are some (`BinderHub.block_build_user_agents`).

    Raises
    ------
    HTTPError
        If the User-Agent of the request is blocked.
    """
    agent = handler.request.headers.get("User-Agent", "")
    patterns = handler.settings.get("block_build_user_agents", ())
    with counted(handler, spec, "user_agent"):
        if any(pattern.match(agent) for pattern in patterns):
            raise HTTPError(403, "Bots not allowed")
