"""The program that fetches, one process a repository: ``python -m … TASK``; see `isolated`.

Its output is JSON lines with a ``message``; the last one of a failure also has ``"failed": true``.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

from repo2docker.contentproviders.base import ContentProviderException

from .content_providers import content_provider
from .options import take_settings


def say(message: str, *, failed: bool = False) -> None:
    """Print one line of the log."""
    record: dict[str, Any] = {"message": message} | ({"failed": True} if failed else {})
    print(json.dumps(record), flush=True)  # noqa: T201 - its output


class _Said(logging.Handler):
    """What repo2docker logs."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"{record.getMessage()}\n")


def main() -> int:
    """Fetch what the first argument, a JSON object, names."""
    task: dict[str, str] = json.loads(sys.argv[1])
    logging.getLogger("repo2docker").addHandler(_Said())
    try:
        provider = content_provider(take_settings())()
        source = provider.detect(task["repo_url"], ref=task["ref"])
        if source is None:
            say(f"repo2docker does not know how to fetch {task['repo_url']}.", failed=True)
            return 1
        for line in provider.fetch(source, task["checkout"], yield_output=True):
            say(line)
    except subprocess.CalledProcessError as error:
        say(f"{Path(error.cmd[0]).name} exited with status {error.returncode}.", failed=True)
        return 1
    except (ContentProviderException, ValueError, RuntimeError, OSError) as error:
        # ValueError and RuntimeError are how repo2docker refuses a ref.
        say(str(error), failed=True)
        return 1
    except Exception as error:  # noqa: BLE001 - said below, and the process ends
        # How repo2docker fails at an answer that is none: LookupError, TypeError, BadZipFile, …
        say(f"What the archive sent is not understood: {error!r}.", failed=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
