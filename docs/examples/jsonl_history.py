"""A history that keeps finished launches as lines of JSON in a file."""

from pathlib import Path

import msgspec

from binderprogress import NoHistory, PastLaunch


class JsonLinesHistory(NoHistory):
    """Keeps launches for the estimator. It inherits empty statistics for the pages."""

    def __init__(self, path: Path) -> None:
        self.launches: list[PastLaunch] = []
        if path.exists():
            lines = path.read_bytes().splitlines()
            self.launches = [msgspec.json.decode(line, type=PastLaunch) for line in lines]
        self.file = path.open("ab")

    def add(self, past: PastLaunch) -> None:
        """Keep a launch. This is called in the event loop, so it must be quick."""
        self.launches.append(past)
        self.file.write(msgspec.json.encode(past) + b"\n")

    def recent(self, limit: int) -> list[PastLaunch]:
        """Return the newest launches, newest first."""
        return self.launches[::-1][:limit]

    def of(self, repository: str, limit: int) -> list[PastLaunch]:
        """Return the newest launches of a repository, newest first."""
        return [past for past in reversed(self.launches) if past.repository == repository][:limit]

    def close(self) -> None:
        """Write everything that is buffered."""
        self.file.close()
