"""A strict double of an OpenTelemetry collector: OTLP over HTTP, in protobuf."""

from __future__ import annotations

import asyncio
import gzip
from types import TracebackType

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

WITHIN = 60.0


class Collector:
    """Takes spans, or refuses them with `status`."""

    def __init__(self, *, status: int = 200) -> None:
        self.status = status
        self.spans: list[Span] = []
        self.resource: dict[str, str] = {}
        self.problems: list[str] = []
        self.asked = 0
        self._news = asyncio.Event()

    async def __aenter__(self) -> Collector:
        sockets = bind_sockets(0, "127.0.0.1")
        self.endpoint = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/v1/traces"
        self._server = HTTPServer(Application([("/v1/traces", _TracesHandler)], collector=self))
        self._server.add_sockets(sockets)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop()
        await self._server.close_all_connections()
        assert self.problems == []

    async def until(self, launches: int = 0, asked: int = 0) -> None:
        """Await the spans of so many launches, whose own are the last, and so many requests."""
        async with asyncio.timeout(WITHIN):
            while sum(span.name == "launch" for span in self.spans) < launches or (
                self.asked < asked
            ):
                self._news.clear()
                await self._news.wait()

    def take(self, request: RequestHandler) -> None:
        """Take in a request, once all about it is as the protocol says."""
        self.asked += 1
        self._news.set()  # who awaits it goes on when all of this is done
        headers, body = request.request.headers, request.request.body
        if headers.get("Content-Type") != "application/x-protobuf":
            self.problems.append(f"Content-Type {headers.get('Content-Type')}")
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.status != 200:
            return
        message = ExportTraceServiceRequest.FromString(body)
        known = ExportTraceServiceRequest.FromString(body)
        known.DiscardUnknownFields()
        if known != message:
            self.problems.append("fields that the protocol does not know")
        for resource in message.resource_spans:
            found = resource.resource.attributes
            self.resource = {one.key: one.value.string_value for one in found}
            for scope in resource.scope_spans:
                if scope.scope.name != "binderprogress":
                    self.problems.append(f"scope {scope.scope.name!r}")
                self.spans.extend(map(self._checked, scope.spans))

    def _checked(self, span: Span) -> Span:
        if len(span.trace_id) != 16 or len(span.span_id) != 8 or not any(span.span_id):
            self.problems.append(f"ids of {span.name}")
        if len(span.parent_span_id) not in {0, 8}:
            self.problems.append(f"the parent of {span.name}")
        if not 0 < span.start_time_unix_nano <= span.end_time_unix_nano:
            self.problems.append(f"the times of {span.name}")
        if not span.name:
            self.problems.append("a span without a name")
        return span


class _TracesHandler(RequestHandler):
    def post(self) -> None:
        collector: Collector = self.settings["collector"]
        collector.take(self)
        self.set_status(collector.status)
        self.set_header("Content-Type", "application/x-protobuf")
        self.finish(ExportTraceServiceResponse().SerializeToString())
