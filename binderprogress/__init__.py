"""One resumable event stream from a repository to a running Jupyter server."""

from ._version import __version__

__all__ = ["__version__"]
