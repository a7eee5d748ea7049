"""Puts together what pulls popular images to nodes in advance."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from traitlets.config import Config, LoggingConfigurable

from .._daemon_threads import DaemonThreads
from ..backends.kubernetes.builder import KubernetesBuilder
from ..backends.kubernetes.prepuller import Prepuller
from ..core.kubernetes.ranking import PastImage
from ..errors import ConfigError, HistoryUnavailableError
from ..history.store import HistoryStore
from ..web.stats import has_public_url
from .composition import setting, with_defaults

__all__ = ["is_enabled", "make_prepuller"]

# More than `Prepuller.max_images`: several may be of the same repository and ref.
_MOST_IMAGES = 5000
_TIMEOUT = 60.0


def is_enabled(config: Config) -> bool:
    """Whether images are to be pulled in advance."""
    disabled = {"Prepuller": {"enabled": False}}
    return bool(setting(with_defaults(config, disabled), Prepuller, "enabled"))


def make_prepuller(
    parent: LoggingConfigurable,
    builder: object,
    history: Callable[[], HistoryStore],
    *,
    identity: str,
) -> Prepuller:
    """Return what pulls the popular images of a history.

    Parameters
    ----------
    parent : LoggingConfigurable
        Has the configuration.
    builder : object
        The builder of the server.
    history : callable
        Returns the history, which may not be open yet.
    identity : str
        The name of this process, which no other has.

    Raises
    ------
    ConfigError
        If the builder does not build on Kubernetes.
    """
    if not isinstance(builder, KubernetesBuilder):
        raise ConfigError(
            "Images can only be pulled in advance with the engine 'kubernetes'. Set "
            "c.Prepuller.enabled = False."
        )
    return Prepuller(
        builder=builder, identity=identity, past=_past_images(parent, history), parent=parent
    )


def _past_images(
    parent: LoggingConfigurable, history: Callable[[], HistoryStore]
) -> Callable[[], Awaitable[Sequence[PastImage]]]:
    threads = DaemonThreads("popular images", most=2, timeout=_TIMEOUT)
    known: list[PastImage] = []

    async def read() -> Sequence[PastImage]:
        try:
            popular = await threads.run(history().popular, limit=_MOST_IMAGES, now=time.time())
        except (HistoryUnavailableError, TimeoutError) as error:
            parent.log.warning("Popular images stay as they are: %s", error or "no answer in time")
            return known
        known[:] = [
            PastImage(
                image=each.image,
                repository=each.repository,
                ref=each.ref,
                last=each.last,
                score=each.score,
            )
            for each in popular
            # The status page must not name others.
            if has_public_url(each.repository)
        ]
        return known

    return read
