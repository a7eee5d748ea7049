"""Resolving refs, and fetching repositories and records safely."""
