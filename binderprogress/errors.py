"""All exceptions that binderprogress raises on purpose.

::

    BinderProgressError
    ├── ConfigError               the configuration is invalid
    ├── HistoryError              the history's database reported an error
    │   └── HistoryUnavailableError  it cannot be reached, or does not answer  (503)
    ├── BadRequestError           the request is invalid                        (400)
    │   └── SpecError             the spec or address of a repository is invalid
    ├── RefusedError              the request is not allowed                    (403)
    ├── NotFoundError             the launch does not exist or has expired      (404)
    ├── ConflictError             the resource is in another state              (409)
    ├── ServerStoppingError       the server is being stopped                   (503)
    ├── TooManyRequestsError      a rate limit or another limit was reached     (429)
    ├── LaunchFailedError         a build or a spawn failed
    ├── RunFailedError            a Jupyter server failed to run a notebook
    ├── ServerUnreachableError    no binderprogress server responds at the address
    ├── IllegalTransitionError    a phase that may not follow the previous one
    ├── StorageError              events cannot be stored or read               (503)
    │   ├── ChannelConflictError  another writer has changed the channel
    │   ├── ChannelNotFoundError  the channel does not exist
    │   ├── LeaseLostError        another replica runs the launch or build now
    │   ├── LeaseTakenError       another replica has begun the launch or build
    │   ├── LeaseLimitError       as many launches have not ended as a limit allows
    │   └── StoredStateError      what is stored of a launch or build cannot be decoded
    ├── BuiltElsewhereError       another replica runs the build that a launch needs
    └── StreamError               an invalid event or event stream

Every message is a sentence for the person who has to act on it.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "BadRequestError",
    "BinderProgressError",
    "BuiltElsewhereError",
    "ChannelConflictError",
    "ChannelNotFoundError",
    "ConfigError",
    "ConflictError",
    "HistoryError",
    "HistoryUnavailableError",
    "IllegalTransitionError",
    "LaunchFailedError",
    "LeaseLimitError",
    "LeaseLostError",
    "LeaseTakenError",
    "NotFoundError",
    "RefusedError",
    "RunFailedError",
    "ServerStoppingError",
    "ServerUnreachableError",
    "SpecError",
    "StorageError",
    "StoredStateError",
    "StreamError",
    "TooManyRequestsError",
]


class BinderProgressError(Exception):
    """Base class of all exceptions of binderprogress."""

    status = 500
    """The HTTP status of a response that reports this error."""


class ConfigError(BinderProgressError):
    """The configuration is invalid. The message names the setting."""


class HistoryError(BinderProgressError):
    """The history's database reported an error. The message contains it."""


class HistoryUnavailableError(HistoryError):
    """The history's database cannot be reached, or does not answer in time."""

    status = 503
    retry_after = 30.0
    """Seconds after which to try again."""


class BadRequestError(BinderProgressError):
    """The request is invalid. The message says what is expected."""

    status = 400


class SpecError(BadRequestError):
    """The spec or address of a repository is invalid."""


class RefusedError(BinderProgressError):
    """The request is valid, but not allowed."""

    status = 403


class NotFoundError(BinderProgressError):
    """The launch does not exist, or it has expired."""

    status = 404


class ConflictError(BinderProgressError):
    """The resource exists, but its state does not allow the request."""

    status = 409


class TooManyRequestsError(BinderProgressError):
    """A rate limit or another limit was reached.

    Parameters
    ----------
    message : str
        For the user.
    retry_after : float
        Seconds to wait before trying again.
    """

    status = 429

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServerStoppingError(BinderProgressError):
    """The server is being stopped. Another replica, or the next server, can be asked."""

    status = 503
    retry_after = 5.0
    """Seconds after which to try again."""

    def __init__(self) -> None:
        super().__init__("This server is being stopped. Try again in a moment.")


class LaunchFailedError(BinderProgressError):
    """A build or a spawn failed.

    Parameters
    ----------
    message : str
        One sentence: what happened.
    reason : str
        A key of `binderprogress.core.log.reasons.REASONS`.
    subject : str
        What the message is about, such as the branch that does not exist. Empty: nothing specific.
    advice : str
        One sentence: what to do.
    evidence : sequence of str
        The lines of the log that show the reason, if known.
    fault : str
        Who can fix it: ``repository``, ``request``, ``server``, ``network`` or ``unknown``. Empty:
        see the reason.
    retry : bool or None
        Whether launching again can help. None: see the reason.
    file : str
        The file in the repository to change, if known.
    line : int
        The line in `file`, from 1; 0 if unknown.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "unknown",
        subject: str = "",
        advice: str = "",
        evidence: Sequence[str] = (),
        fault: str = "",
        retry: bool | None = None,
        file: str = "",
        line: int = 0,
    ) -> None:
        super().__init__(message)
        self.fault = fault
        self.retry = retry
        self.file = file
        self.line = line
        self.reason = reason
        self.subject = subject
        self.advice = advice
        self.evidence = list(evidence)


class RunFailedError(BinderProgressError):
    """A Jupyter server failed to run a notebook.

    Parameters
    ----------
    message : str
        One sentence: what happened.
    kind : str
        For programs: ``no-notebook``, ``no-kernel``, ``kernel-died``, ``cell-failed``,
        ``cell-timeout``, ``reply-lost`` or ``server-lost``.
    name, value : str
        Class name and message of the exception that a cell raised, if any.
    traceback : str
        The kernel's traceback, without colours.
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
    """No binderprogress server responds at the address."""


class IllegalTransitionError(BinderProgressError):
    """A phase may not follow the previous one. Nothing was changed.

    Parameters
    ----------
    before, after : str
        The two phases.
    """

    def __init__(self, before: str, after: str) -> None:
        super().__init__(f"The phase {after!r} must not follow {before!r}.")
        self.before = before
        self.after = after


class StreamError(BinderProgressError):
    """An event or an event stream is invalid."""


class StorageError(BinderProgressError):
    """Events cannot be stored or read."""

    status = 503
    retry_after = 60.0
    """Seconds after which to try again."""


class ChannelConflictError(StorageError):
    """A channel is not in the state that its writer expects. Nothing was changed."""


class ChannelNotFoundError(StorageError):
    """The store has no such channel."""


class LeaseLostError(StorageError):
    """A launch or a build is run by another replica now, or has ended. Nothing was changed."""


class LeaseTakenError(StorageError):
    """Another replica has begun this launch or build. Nothing was changed."""


class LeaseLimitError(StorageError):
    """There are as many launches in all replicas as a limit allows. Nothing was changed.

    Attributes
    ----------
    number : int
        Which of the limits, from 0.
    count : int
        How many launches have not ended.
    """

    def __init__(self, *, number: int, count: int) -> None:
        super().__init__(f"There are {count} launches, as many as a limit allows.")
        self.number = number
        self.count = count


class StoredStateError(StorageError):
    """What is stored of a launch or build cannot be decoded, such as that of another version."""


class BuiltElsewhereError(BinderProgressError):
    """Another replica runs the build that a launch needs.

    Parameters
    ----------
    owner : str
        The name of that replica. Empty: nobody knows.
    """

    def __init__(self, owner: str) -> None:
        super().__init__("Another replica runs this build.")
        self.owner = owner
