"""Prints what is logged as messages."""

from __future__ import annotations

import logging

from .messages import print_message

__all__ = ["MessageHandler"]


class MessageHandler(logging.Handler):
    """Prints what is logged as messages."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        print_message(f"{record.getMessage().rstrip()}\n")
