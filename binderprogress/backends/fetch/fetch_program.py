"""The program that fetches one repository or record: ``python -m … TASK``; see `isolated`.

Its output is read by `processes.messages`.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

from repo2docker.contentproviders.base import ContentProviderException

from ..processes.messages import MessageHandler, print_message
from .content_providers import content_provider
from .options import take_settings


def main() -> int:
    """Fetch the repository or record that the first argument, a JSON object, describes."""
    task: dict[str, str] = json.loads(sys.argv[1])
    logging.getLogger("repo2docker").addHandler(MessageHandler())
    try:
        provider = content_provider(take_settings())()
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


if __name__ == "__main__":
    sys.exit(main())
