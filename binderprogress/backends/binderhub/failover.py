"""Failover: tries one BinderHub after the other."""

from __future__ import annotations

from ...core.log.reasons import REASONS, failure
from ...core.log.steps import Step
from ...core.specs import Spec
from ...errors import ConfigError, LaunchFailedError
from ..base import Attempt
from .upstreams import Upstream, Upstreams

__all__ = ["Tour", "UnusableError"]


class UnusableError(Exception):
    """A BinderHub cannot be used, and no server was requested, so another one may be tried.

    Parameters
    ----------
    error : LaunchFailedError
        The reason.
    """

    def __init__(self, error: LaunchFailedError) -> None:
        super().__init__(str(error))
        self.error = error


class Tour:
    """The order in which BinderHubs are tried for one build or one launch.

    Parameters
    ----------
    upstreams : Upstreams
    spec : Spec
    first : Upstream, optional
        The one to try first, whatever its state.
    preferred : str
        The host to try first among those that are healthy and have room.
    """

    def __init__(
        self,
        upstreams: Upstreams,
        spec: Spec,
        *,
        first: Upstream | None = None,
        preferred: str = "",
    ) -> None:
        if not upstreams.hubs:
            raise ConfigError("c.Upstreams.urls is empty. Set it to the address of a BinderHub.")
        self._upstreams = upstreams
        self._spec = spec
        self._key = upstreams.key(spec)
        self._first = first
        self._preferred = preferred
        self._failed: dict[Upstream, LaunchFailedError] = {}

    def next(self) -> tuple[Upstream, Attempt | None]:
        """Return the next BinderHub, and the attempt to report if it is not the first.

        Raises
        ------
        LaunchFailedError
            If all have failed. The message has the reason of each.
        """
        # Computed each time, because their health may have changed.
        order = self._upstreams.ranking(self._key)
        order.sort(
            key=lambda hub: (
                hub is not self._first,
                not hub.healthy,
                not hub.has_room,
                hub.host != self._preferred,
            )
        )
        for hub in order:
            if hub not in self._failed and not self._upstreams.is_full(hub):
                return hub, self._attempt(hub)
        raise self._error()

    def fail(self, hub: Upstream, error: UnusableError) -> None:
        """Record that a BinderHub cannot be used."""
        self._upstreams.log.warning("BinderHub %s failed for %s: %s", hub.host, self._spec, error)
        self._failed[hub] = error.error

    def _attempt(self, hub: Upstream) -> Attempt | None:
        if not self._failed:
            return None
        last, error = list(self._failed.items())[-1]
        step = Step("another-hub", f"Trying another BinderHub: {hub.host}")
        return Attempt(len(self._failed) + 1, f"{last.host}: {error}", step)

    def _error(self) -> LaunchFailedError:
        errors = dict(self._failed)
        for hub in self._upstreams.hubs:
            if hub not in errors:
                limit = self._upstreams.max_running
                message = f"This server already has {limit} launches there."
                errors[hub] = failure("quota", message)
        details = " ".join(f"{hub.host}: {error}" for hub, error in errors.items())
        # Any other reason is more specific than that a BinderHub cannot be reached.
        reasons = [error.reason for error in errors.values()]
        reason = next((key for key in reasons if key != "host-unreachable"), reasons[0])
        return LaunchFailedError(
            f"All BinderHubs failed. {details}" if len(errors) > 1 else details,
            reason=reason,
            advice=REASONS[reason].advice,
        )
