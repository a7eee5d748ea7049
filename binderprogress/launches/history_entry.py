"""Makes the history entry of an ended launch. It contains nothing about the user."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from ..core.phases import Phase
from ..core.redact import redact
from ..core.specs import Spec
from ..core.timing.spans import PastLaunch, Span
from .launch import Launch

__all__ = ["address_of", "image_bytes", "past_of"]

_MAKING = {Phase.FETCHING, Phase.BUILDING, Phase.PUSHING}
_SIZE = re.compile(r"Image size: (\d{1,15}) bytes")
"""As a kubelet reports it of an image that it has pulled."""
_COMMIT = re.compile(r".*/([0-9a-f]{40})", re.DOTALL)


def past_of(launch: Launch, took: list[Span], *, host: str) -> PastLaunch:
    """Return the history entry of a launch.

    Parameters
    ----------
    took : list of Span
        Where its time went, from `Launch.spans`.
    host : str
        Where its server was started, unless its sources name a host.
    """
    last, built, served = launch.last, launch.built, launch.served
    image = (served.fields.get("image") if served else "") or (built.image if built else "")
    return PastLaunch(
        began=launch.created,
        provider=launch.spec.provider,
        repository=address_of(launch.spec),
        ref=launch.spec.ref,
        commit=_commit(launch),
        host=(served.host if served else "") or (built.host if built else "") or host,
        # The folder of an environment is not an image, and contains the name of a user.
        image="" if image.startswith("/") else image,
        outcome=last.phase,
        reason=last.reason,
        cold=not built.found if built else any(span.phase in _MAKING for span in took),
        joined=launch.joined,
        image_bytes=launch.image_bytes,
        # What steps did is only of interest while their log is.
        spans=[msgspec.structs.replace(span, command="") for span in took],
    )


def address_of(spec: Spec) -> str:
    """Return the address of the repository without credentials, which some providers allow."""
    try:
        parts = urlsplit(spec.repo_url)
    except ValueError:
        return redact(spec.repo_url)
    if parts.scheme not in {"http", "https"} and not parts.password:
        return redact(spec.repo_url)
    return redact(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())


def _commit(launch: Launch) -> str:
    if launch.commit:
        return launch.commit
    # A BinderHub reports the commit only in the persistent link.
    link = launch.served.fields.get("binder_persistent_request", "") if launch.served else ""
    match = _COMMIT.fullmatch(link)
    return match[1] if match else ""


def image_bytes(message: str) -> int | None:
    """Return the size of a pulled image, if a message of its launch reports it."""
    if "Image size: " not in message:
        return None
    match = _SIZE.search(message)
    return int(match[1]) if match else None
