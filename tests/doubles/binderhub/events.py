"""The log of events."""

from __future__ import annotations

import json
import logging
from typing import Any

import jsonschema
from traitlets import Any as AnyTrait
from traitlets.config import Configurable


class EventLog(Configurable):
    handlers_maker = AnyTrait(None, allow_none=True).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.log = logging.getLogger(__name__)
        self.log.propagate = False
        self.log.setLevel(logging.INFO)
        self.schemas: dict[tuple[str, int], dict[str, Any]] = {}
        if self.handlers_maker:
            self.log.handlers = self.handlers_maker(self)

    def register_schema(self, schema: dict[str, Any]) -> None:
        self.schemas[schema["$id"], schema["version"]] = schema

    def emit(self, schema_name: str, version: int, event: dict[str, Any]) -> None:
        if not self.handlers_maker:
            return
        jsonschema.validate(event, self.schemas[schema_name, version])
        self.log.info(json.dumps({"schema": schema_name, "version": version, **event}))
