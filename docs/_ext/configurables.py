"""Sphinx directive that documents the settings of a traitlets class.

traitlets' own generator leaves out defaults of lists and dictionaries, and repeats inherited
settings in each subclass. This uses its ``configtrait`` objects, so that pages can link to a
setting.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from textwrap import dedent
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from traitlets import TraitType
from traitlets.config import Configurable

_MARKUP = re.compile(r"([\\*_{}\[\]<>|])")


class ConfigurableDirective(SphinxDirective):
    """Document the settings that a class defines itself: its help, type and default."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return one ``configtrait`` for each setting."""
        module, _, name = self.arguments[0].rpartition(".")
        cls = getattr(import_module(module), name)
        self.env.note_dependency(inspect.getfile(cls))
        container = nodes.container()
        lines = [line for trait in own_settings(cls) for line in _describe(cls, trait)]
        self.state.nested_parse(StringList(lines, self.arguments[0]), 0, container)
        return container.children


def own_settings(cls: type[Configurable]) -> list[TraitType[Any, Any]]:
    """Return the settings that a class adds to those of its base classes, or changes."""
    return sorted(cls.class_own_traits(config=True).values(), key=lambda trait: trait.name or "")


def _describe(cls: type[Configurable], trait: TraitType[Any, Any]) -> list[str]:
    text = dedent(trait.help).strip()
    return [
        f":::{{configtrait}} {cls.__name__}.{trait.name}",
        *_MARKUP.sub(r"\\\1", text).splitlines(),
        "",
        f"Type: {trait.info()}. Default: `{trait.default_value_repr()}`",
        ":::",
        "",
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.setup_extension("traitlets.config.sphinxdoc")
    app.add_directive("configurable", ConfigurableDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
