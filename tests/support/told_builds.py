"""Builds of a BinderHub in another process, which say what a test says."""

from __future__ import annotations

import json
import os
import socket

from binderhub.build import BuildExecutor, ProgressEvent
from traitlets import Integer

__all__ = ["ToldBuild", "ToldBuilds"]

_TIMEOUT = 60.0
"""Seconds for which a test waits for a build."""


class ToldBuild(BuildExecutor):
    """A build that connects to a test, which tells it what to say."""

    port = Integer(help="Where the test listens.").tag(config=True)

    def submit(self) -> None:
        """Begin."""
        self._test = socket.create_connection(("127.0.0.1", self.port))
        told = [self.repo_url, self.image_name, dict(os.environ)]
        self._test.sendall(json.dumps(told).encode() + b"\n")
        self.progress(ProgressEvent.Kind.BUILD_STATUS_CHANGE, ProgressEvent.BuildStatus.RUNNING)

    def stream_logs(self) -> None:
        """Say what the test says, until it closes the connection."""
        with self._test, self._test.makefile() as lines:
            for line in lines:
                said = json.loads(line)
                if "status" in said:
                    status = ProgressEvent.BuildStatus[said["status"]]
                    self.progress(ProgressEvent.Kind.BUILD_STATUS_CHANGE, status)
                else:
                    self.progress(ProgressEvent.Kind.LOG_MESSAGE, json.dumps(said))

    def stop(self) -> None:
        """End, also if it has ended."""
        super().stop()
        if self._test.fileno() >= 0:
            self._test.shutdown(socket.SHUT_RDWR)


class _Build:
    """One of them, as a test sees it.

    Attributes
    ----------
    repo_url, image_name : str
    variables : dict of str to str
        Those of BinderHub's process.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(_TIMEOUT)
        self._connection = connection
        with connection.makefile() as lines:
            self.repo_url, self.image_name, self.variables = json.loads(lines.readline())

    def say(self, message: str) -> None:
        """Print a line."""
        self._send({"phase": "building", "message": message})

    def end(self, status: str = "BUILT") -> None:
        """End with one of BinderHub's statuses."""
        self._send({"status": status})
        self._connection.close()

    def _send(self, said: dict[str, str]) -> None:
        self._connection.sendall(json.dumps(said).encode() + b"\n")


class ToldBuilds:
    """The side of the test. Use it as a context manager.

    Attributes
    ----------
    port : int
        What `ToldBuild` has to know.
    """

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(_TIMEOUT)
        self.port: int = self._listening.getsockname()[1]

    def __enter__(self) -> ToldBuilds:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def next(self) -> _Build:
        """Wait for the next build."""
        connection, _ = self._listening.accept()
        return _Build(connection)
