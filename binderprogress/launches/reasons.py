"""The rules that say why launches failed, with those that the operator adds."""

from __future__ import annotations

from pathlib import Path

from traitlets import List, Unicode
from traitlets.config import Configurable

from ..core.log.reasons import RULES, RuleSet, read_rules
from ..errors import ConfigError

__all__ = ["Reasons"]


class Reasons(Configurable):
    """Why launches fail."""

    files = List(
        Unicode(),
        help="""
        TOML files with more rules that recognise why a launch failed.

        They are tried before the built-in ones; see docs/reasons.md for the format. Try them on a
        log with: binderprogress why --rules FILE LOG
        """,
    ).tag(config=True)

    def rules(self) -> RuleSet:
        """Return all rules.

        Raises
        ------
        ConfigError
            If a file cannot be read or is not valid; the message says where and why.
        """
        rules = RULES
        for name in reversed(self.files):
            try:
                text = Path(name).expanduser().read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"The file of rules {name} cannot be read: {error}.") from error
            rules = rules.extended(read_rules(text, name=name, known=rules.reasons))
        return rules
