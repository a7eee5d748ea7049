"""The program that fetches one repository or record: ``python -m … TASK``; see `isolated`.

Its output is read by `processes.messages`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..processes.messages import print_message
from .git_provider import Git
from .isolated import RECORD_NAMES
from .options import FetchSettings, take_settings


def main() -> int:
    """Fetch the repository or record that the first argument, a JSON object, describes."""
    task: dict[str, str] = json.loads(sys.argv[1])
    provider_class = _provider_class(take_settings())
    try:
        provider = provider_class()
        source = provider.detect(task["repo_url"], ref=task["ref"])
        if source is None:
            print_message(
                f"repo2docker does not know how to fetch {task['repo_url']}.", failed=True
            )
            return 1
        for line in provider.fetch(source, task["checkout"], yield_output=True):
            print_message(line)
    except subprocess.CalledProcessError as error:
        print_message(
            f"{Path(error.cmd[0]).name} exited with status {error.returncode}.", failed=True
        )
        return 1
    except (ValueError, RuntimeError, OSError) as error:
        # repo2docker raises ValueError or RuntimeError for an invalid ref.
        print_message(str(error), failed=True)
        return 1
    except Exception as error:  # noqa: BLE001 - reported, and the process ends
        print_message(_sentence(error), failed=True)
        return 1
    return 0


def _sentence(error: Exception) -> str:
    """Return what an error of the providers of records says."""
    from repo2docker.contentproviders.base import ContentProviderException

    if isinstance(error, ContentProviderException):
        return str(error)
    # repo2docker raises LookupError, TypeError, BadZipFile, … for an invalid response.
    return f"The response of the archive is not valid: {error!r}."


def _provider_class(settings: FetchSettings) -> Any:
    """Return the class of the content provider, with its settings."""
    if settings.provider in RECORD_NAMES:
        # Importing repo2docker takes longer than to clone a small repository.
        import logging

        from ..processes.message_handler import MessageHandler
        from .content_providers import RECORDS

        logging.getLogger("repo2docker").addHandler(MessageHandler())
        provider = RECORDS[settings.provider]
    else:
        provider = Git
    return type(provider.__name__, (provider,), {"settings": settings})


if __name__ == "__main__":
    sys.exit(main())
