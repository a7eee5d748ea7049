"""One BinderHub after the other, until one does it."""

from __future__ import annotations

from ...core.log.reasons import REASONS, failure
from ...core.log.steps import Step
from ...core.specs import Spec
from ...errors import ConfigError, LaunchFailedError
from ..base import Attempt
from .upstreams import Upstream, Upstreams

__all__ = ["Tour", "UnusableError"]


class UnusableError(Exception):
    """A BinderHub does not do it, and another may: no server was asked for.

    Parameters
    ----------
    error : LaunchFailedError
        Why.
    """

    def __init__(self, error: LaunchFailedError) -> None:
        super().__init__(str(error))
        self.error = error


class Tour:
    """The BinderHubs that are tried one after the other for one build or one launch.

    Parameters
    ----------
    upstreams : Upstreams
    spec : Spec
    first : Upstream, optional
        The one to begin with.
    """

    def __init__(self, upstreams: Upstreams, spec: Spec, *, first: Upstream | None = None) -> None:
        if not upstreams.hubs:
            raise ConfigError("c.Upstreams.urls names no BinderHub.")
        self._upstreams = upstreams
        self._spec = spec
        self._first = first
        self._failed: dict[Upstream, LaunchFailedError] = {}

    def next(self) -> tuple[Upstream, Attempt | None]:
        """Return which to try, and what to say of that if it is not the first.

        Raises
        ------
        LaunchFailedError
            If none is left; it says why, of each.
        """
        # Anew each time: how they are may have changed meanwhile.
        order = self._upstreams.ordered(self._spec)
        if self._first is not None:
            order.sort(key=lambda hub: hub is not self._first)
        for hub in order:
            if hub not in self._failed and not self._upstreams.is_full(hub):
                return hub, self._attempt(hub)
        raise self._error()

    def fail(self, hub: Upstream, error: UnusableError) -> None:
        """Take in that one did not do it."""
        self._upstreams.log.warning("BinderHub %s did not do %s: %s", hub.host, self._spec, error)
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
                errors[hub] = failure("quota", f"This server may have {limit} launches there.")
        told = " ".join(f"{hub.host}: {error}" for hub, error in errors.items())
        # What one of them says of the launch tells more than that another is away.
        reasons = [error.reason for error in errors.values()]
        reason = next((key for key in reasons if key != "host-unreachable"), reasons[0])
        return LaunchFailedError(
            f"None of the BinderHubs did it. {told}" if len(errors) > 1 else told,
            reason=reason,
            advice=REASONS[reason].advice,
        )
