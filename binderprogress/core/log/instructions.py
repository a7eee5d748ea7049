"""Says what an instruction of a Dockerfile does, for the label of its step.

``js/src/binderhub/instructions.ts`` does the same in the browser.
"""

from __future__ import annotations

import re

from ..printable import printable

__all__ = ["LONGEST_COMMAND", "command_of"]

LONGEST_COMMAND = 60
"""Maximum length of a command in characters: it is in each event of its step."""

_LONGEST_READ = 1000

# repo2docker measures some commands.
_TIMED = re.compile(r"TIMEFORMAT='[^']*' bash -c 'time ")
_FLAG = re.compile(r"--[a-z]+=\S* +")


def command_of(instruction: str) -> str:
    """Return the command of an instruction, on one line and shortened.

    Parameters
    ----------
    instruction : str
        Such as ``RUN pip install six``. ``RUN`` is left out, other keywords stay. The owner of the
        repository writes it.
    """
    text = " ".join(printable(instruction[:_LONGEST_READ]).split())
    if text.startswith("RUN "):
        text = text.removeprefix("RUN ")
        while (flag := _FLAG.match(text)) is not None:
            text = text[flag.end() :]
        if (timed := _TIMED.match(text)) is not None:
            text = text[timed.end() :].removesuffix("'")
    return text if len(text) <= LONGEST_COMMAND else f"{text[: LONGEST_COMMAND - 1].rstrip()}…"
