"""Alembic's scripts; they run when a history is opened."""
