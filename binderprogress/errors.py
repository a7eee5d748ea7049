"""All errors that binderprogress raises on purpose, in one tree.

::

    BinderProgressError
    ├── ConfigError               the operator's configuration cannot work
    ├── HistoryError              the history's database does not do what it is asked to
    ├── BadRequestError           what the user asked for cannot be done        (400)
    │   └── SpecError             … because REPO or the spec is not understood
    ├── RefusedError              it could be done, but is not allowed here     (403)
    ├── NotFoundError             no such launch, or it has been forgotten      (404)
    ├── ConflictError             it is not what the request takes it for          (409)
    ├── TooManyRequestsError      a rate limit or a cap                         (429)
    ├── LaunchFailedError         a build or a spawn came to a bad end
    ├── RunFailedError            a server that was launched does not run what it is asked to
    ├── ServerUnreachableError    no binderprogress server answers there
    ├── IllegalTransitionError    a phase that cannot follow the one before
    └── StreamError               an event stream breaks its own rules

Every message is a sentence for the person who has to act on it.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "BadRequestError",
    "BinderProgressError",
    "ConfigError",
    "ConflictError",
    "HistoryError",
    "IllegalTransitionError",
    "LaunchFailedError",
    "NotFoundError",
    "RefusedError",
    "RunFailedError",
    "ServerUnreachableError",
    "SpecError",
    "StreamError",
    "TooManyRequestsError",
]


class BinderProgressError(Exception):
    """The root of the tree."""

    status = 500
    """The HTTP status that says the same."""


class ConfigError(BinderProgressError):
    """The configuration cannot work; the message names the setting."""


class HistoryError(BinderProgressError):
    """The history's database does not do what it is asked to; the message says what it says."""


class BadRequestError(BinderProgressError):
    """The request is not understood; the message says what is."""

    status = 400


class SpecError(BadRequestError):
    """REPO or a spec is not understood."""


class RefusedError(BinderProgressError):
    """Understood, but not allowed here."""

    status = 403


class NotFoundError(BinderProgressError):
    """No such launch, or it was forgotten."""

    status = 404


class ConflictError(BinderProgressError):
    """What is asked for is there, but is not what the request takes it for."""

    status = 409


class TooManyRequestsError(BinderProgressError):
    """A rate limit or a cap was reached.

    Parameters
    ----------
    message : str
        For the user.
    retry_after : float
        Seconds after which trying again makes sense.
    """

    status = 429

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LaunchFailedError(BinderProgressError):
    """A build or a spawn came to a bad end.

    Parameters
    ----------
    message : str
        One sentence: what happened.
    reason : str
        A key of `binderprogress.core.log.reasons.REASONS`.
    subject : str
        What it is about, as the branch that is not there; empty if it is about nothing else.
    advice : str
        One sentence: what to do.
    evidence : sequence of str
        The lines of the log that say so, where they are known.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "unknown",
        subject: str = "",
        advice: str = "",
        evidence: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.subject = subject
        self.advice = advice
        self.evidence = list(evidence)


class RunFailedError(BinderProgressError):
    """A server that was launched does not run what it is asked to.

    Parameters
    ----------
    message : str
        One sentence: what happened.
    kind : str
        For programs: ``no-notebook``, ``no-kernel``, ``kernel-died``, ``cell-failed``,
        ``cell-timeout``, ``reply-lost`` or ``server-lost``.
    name, value : str
        The exception's, where a cell raised one.
    traceback : str
        As a kernel tells it, without colours.
    """

    def __init__(
        self, message: str, *, kind: str, name: str = "", value: str = "", traceback: str = ""
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.name = name
        self.value = value
        self.traceback = traceback


class ServerUnreachableError(BinderProgressError):
    """No binderprogress server answers at the address that was given."""


class IllegalTransitionError(BinderProgressError):
    """A phase cannot follow the one before; nothing was changed.

    Parameters
    ----------
    before, after : str
        The two phases.
    """

    def __init__(self, before: str, after: str) -> None:
        super().__init__(f"The phase {after!r} cannot follow {before!r}.")
        self.before = before
        self.after = after


class StreamError(BinderProgressError):
    """An event stream breaks its own rules."""
