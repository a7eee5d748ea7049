"""Traces of launches for OpenTelemetry. Each launch is one trace, sent after its end.

Nothing is measured here. The spans are created from the events of the launch.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from typing import Any

from traitlets import Unicode
from traitlets.config import LoggingConfigurable

from .._version import __version__
from ..core.timing.breakdown import Trace
from ..errors import ConfigError
from ..launches import Launch, LaunchManager

__all__ = ["Tracing"]

_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class Tracing(LoggingConfigurable):
    """Sends the trace of each launch to a collector."""

    endpoint = Unicode(
        help="""
        URL of an OTLP/HTTP collector to which traces of launches are sent, such as
        http://collector:4318/v1/traces.

        The default is $OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or $OTEL_EXPORTER_OTLP_ENDPOINT. Without
        these, nothing is sent. OpenTelemetry's other variables apply, too.
        """
    ).tag(config=True)

    _parts: Any = None

    @property
    def enabled(self) -> bool:
        """Whether traces are sent."""
        if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
            return False
        return bool(self.endpoint or any(os.environ.get(name) for name in _VARIABLES))

    def attach(self, launches: LaunchManager) -> None:
        """Send the traces of ended launches, if tracing is enabled.

        Raises
        ------
        ConfigError
            If OpenTelemetry is not installed.
        """
        if not self.enabled:
            return
        try:
            from .opentelemetry_exporter import Exporter
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{error.name} is not installed, which sending traces needs. "
                "Install it with: pip install 'binderprogress[otel]'"
            ) from error
        self._parts = Exporter(self.endpoint, version=__version__, log=self.log)
        launches.over.append(self._send)

    async def close(self, within: float = 1.0) -> None:
        """Send the remaining traces, and wait at most `within` seconds."""
        if self._parts is None:
            return
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._parts.close()
            # After the timeout, the loop may be closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(sent.set)

        # Not in the loop's thread pool: its threads delay the exit until the collector answers.
        threading.Thread(target=shut_down, daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await sent.wait()

    def _send(self, launch: Launch, trace: Trace) -> None:
        if launch.span is not None and launch.span.sampled:
            self._parts.send(launch.span, launch.caller.parent, trace)
