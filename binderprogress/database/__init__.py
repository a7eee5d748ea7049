"""Opens databases with SQLAlchemy, and migrates their tables with Alembic."""
