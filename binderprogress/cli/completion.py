"""``binderprogress completion SHELL``."""

from __future__ import annotations

from .base import Command
from .help import SHELLS, completion

__all__ = ["CompletionApp"]


class CompletionApp(Command):
    """Print a script that completes commands and options in a shell."""

    name = "completion"
    takes_arguments = True

    async def main(self) -> int:
        """Print the script."""
        if len(self.extra_args) != 1 or self.extra_args[0] not in SHELLS:
            self.usage(f"Name a shell: {', '.join(SHELLS)}.")
        print(completion(self.extra_args[0]))
        return 0
