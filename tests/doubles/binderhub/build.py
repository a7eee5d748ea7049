"""Build executors."""

from __future__ import annotations

import threading
from enum import Enum
from typing import Any

from tornado.ioloop import IOLoop
from traitlets import Any as AnyTrait
from traitlets import Dict, Unicode
from traitlets.config import LoggingConfigurable


class ProgressEvent:
    class Kind(Enum):
        BUILD_STATUS_CHANGE = 1
        LOG_MESSAGE = 2

    class BuildStatus(Enum):
        PENDING = "pending"
        RUNNING = "running"
        BUILT = "built"
        FAILED = "failed"
        UNKNOWN = "unknown"

    def __init__(self, kind: Kind, payload: str | BuildStatus) -> None:
        self.kind = kind
        self.payload = payload


class BuildExecutor(LoggingConfigurable):
    q = AnyTrait()
    name = Unicode()
    repo_url = Unicode()
    ref = Unicode()
    image_name = Unicode()
    git_credentials = Unicode("").tag(config=True)
    push_secret = Unicode("").tag(config=True)
    registry_credentials = Dict().tag(config=True)
    builder_info = Dict().tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.main_loop = IOLoop.current()
        self.stop_event = threading.Event()

    def progress(self, kind: Any, payload: Any) -> None:
        self.main_loop.add_callback(self.q.put, ProgressEvent(kind, payload))

    def submit(self) -> None:
        raise NotImplementedError

    def stream_logs(self) -> None:
        pass

    def stop(self) -> None:
        self.stop_event.set()
