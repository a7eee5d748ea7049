"""Alembic's migration scripts, which run when the store is opened."""
