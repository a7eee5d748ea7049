"""Append-only, numbered logs of events with any number of viewers."""
