"""Alembic's migration scripts, which run when the history is opened."""
