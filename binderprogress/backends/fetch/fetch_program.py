"""The program that fetches one repository or record: ``python -m … TASK``; see `isolated`.

Its output is read by `processes.messages`.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

from ..processes.messages import MessageHandler, print_message
from .isolated import RECORD_NAMES
from .options import FetchSettings, take_settings


def main() -> int:
    """Fetch the repository or record that the first argument, a JSON object, describes."""
    task: dict[str, str] = json.loads(sys.argv[1])
    provider_class = _provider_class(take_settings())
    # Imported only now, see `_without_init`.
    from repo2docker.contentproviders.base import ContentProviderException

    logging.getLogger("repo2docker").addHandler(MessageHandler())
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
    except (ContentProviderException, ValueError, RuntimeError, OSError) as error:
        # repo2docker raises ValueError or RuntimeError for an invalid ref.
        print_message(str(error), failed=True)
        return 1
    except Exception as error:  # noqa: BLE001 - reported, and the process ends
        # repo2docker raises LookupError, TypeError, BadZipFile, … for an invalid response.
        print_message(f"The response of the archive is not valid: {error!r}.", failed=True)
        return 1
    return 0


def _provider_class(settings: FetchSettings) -> Any:
    """Return the class of the content provider, with its settings."""
    if settings.provider in RECORD_NAMES:
        from .content_providers import RECORDS

        provider = RECORDS[settings.provider]
    else:
        _without_init("repo2docker", "repo2docker.contentproviders")
        from .git_provider import Git

        provider = Git
    return type(provider.__name__, (provider,), {"settings": settings})


def _without_init(*packages: str) -> None:
    """Let modules be imported from packages whose ``__init__`` does not run.

    repo2docker's import requests, Docker, Jinja and YAML, which takes longer than to clone a small
    repository, and git needs none of them.
    """
    for name in packages:
        spec = find_spec(name)
        if spec is not None and name not in sys.modules:
            sys.modules[name] = module_from_spec(spec)


if __name__ == "__main__":
    sys.exit(main())
