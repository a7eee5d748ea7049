"""Sends traces with OpenTelemetry. This is the only module that needs its packages."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from opentelemetry import trace as api
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from ..core.phases import Phase
from ..core.redact import redact
from ..core.timing.breakdown import Trace, TracedSpan
from ..core.traceparent import TraceParent

__all__ = ["Exporter"]

_STATUS = {Phase.READY: api.StatusCode.OK, Phase.FAILED: api.StatusCode.ERROR}


class Exporter:
    """Creates spans of launches, and sends them in a separate thread.

    Parameters
    ----------
    endpoint : str
        URL of the collector. If empty, OpenTelemetry's environment variables apply.
    version : str
        The version of binderprogress.
    log : logging.Logger
    """

    def __init__(
        self, endpoint: str, *, version: str, log: logging.Logger | logging.LoggerAdapter[Any]
    ) -> None:
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence.
        ours = {"service.name": "binderprogress", "service.version": version}
        self._ids = _PlannedIds()
        self._provider = TracerProvider(
            resource=Resource.create(ours).merge(OTELResourceDetector().detect()),
            # The caller has decided on sampling. Launches that are not sampled are not sent here.
            sampler=ALWAYS_ON,
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(endpoint=endpoint or None)
        self._provider.add_span_processor(BatchSpanProcessor(_QuietExporter(exporter, log)))
        self._tracer = self._provider.get_tracer("binderprogress", version)

    def send(self, span: TraceParent, parent: TraceParent | None, trace: Trace) -> None:
        """Queue the trace of an ended launch.

        Parameters
        ----------
        span : TraceParent
            The span of the launch. JupyterHub may have received it already.
        parent : TraceParent or None
            The span of the request.
        trace : Trace
        """
        self._ids.plan(span)
        root = self._tracer.start_span(
            "launch",
            context=_within(parent),
            kind=api.SpanKind.SERVER,
            attributes={"binderprogress.spec": trace.spec, "binderprogress.phase": trace.phase},
            start_time=_nanoseconds(trace.began),
        )
        inside = api.set_span_in_context(root)
        for child in trace.spans:
            self._tracer.start_span(
                child.step or child.phase,
                context=inside,
                attributes=_attributes(child),
                start_time=_nanoseconds(trace.began + child.start),
            ).end(_nanoseconds(trace.began + child.end))
        for done in trace.ahead:
            self._tracer.start_span(
                done.what,
                context=inside,
                attributes={"binderprogress.step": done.label, "binderprogress.saved": done.saved},
                start_time=_nanoseconds(trace.began + done.start),
            ).end(_nanoseconds(trace.began + done.end))
        if trace.reason:
            root.set_attribute("binderprogress.reason", trace.reason)
        status = _STATUS.get(trace.phase, api.StatusCode.UNSET)
        failed = trace.phase is Phase.FAILED
        root.set_status(api.Status(status, trace.reason if failed else None))
        root.end(_nanoseconds(trace.began + trace.seconds))

    def close(self) -> None:
        """Send all queued spans. Blocks until the collector has answered."""
        self._provider.shutdown()


class _PlannedIds(RandomIdGenerator):
    """Gives the next span the planned ids. All others get random ids."""

    _trace_id: int | None = None
    _span_id: int | None = None

    def plan(self, span: TraceParent) -> None:
        self._trace_id, self._span_id = int(span.trace_id, 16), int(span.span_id, 16)

    def generate_trace_id(self) -> int:
        planned, self._trace_id = self._trace_id, None
        return planned or super().generate_trace_id()

    def generate_span_id(self) -> int:
        planned, self._span_id = self._span_id, None
        return planned or super().generate_span_id()


class _QuietExporter(SpanExporter):
    """Logs one warning when sending starts to fail, and one when it works again."""

    def __init__(
        self, exporter: SpanExporter, log: logging.Logger | logging.LoggerAdapter[Any]
    ) -> None:
        self._exporter = exporter
        self._log = log
        self._failed = False
        # It logs every failure.
        logging.getLogger("opentelemetry.exporter.otlp.proto.http").setLevel(logging.CRITICAL)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - logged once below
            # The message includes the endpoint, which may contain a password.
            result, why = SpanExportResult.FAILURE, f": {redact(str(error))}"
        else:
            why = "."
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failed:
            self._log.warning("Traces cannot be sent to the collector, and are lost%s", why)
        elif self._failed and not failed:
            self._log.warning("Traces can be sent to the collector again.")
        self._failed = failed
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _within(parent: TraceParent | None) -> Any:
    if parent is None:
        return None
    context = api.SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=api.TraceFlags(api.TraceFlags.SAMPLED),
    )
    return api.set_span_in_context(api.NonRecordingSpan(context))


def _attributes(span: TracedSpan) -> dict[str, str | int | bool]:
    attributes: dict[str, str | int | bool] = {
        "binderprogress.phase": span.phase,
        "binderprogress.kind": span.kind,
        "binderprogress.step": span.label,
        "binderprogress.cached": span.cached,
        "binderprogress.attempt": span.attempt,
    }
    if span.total:
        attributes |= {"binderprogress.index": span.index, "binderprogress.total": span.total}
    return attributes


def _nanoseconds(seconds: float) -> int:
    # Rounded to milliseconds, as in events. A float cannot hold nanoseconds.
    return round(seconds * 1000) * 1_000_000
