"""A channel store in a database: SQLite for one process, PostgreSQL for many replicas."""
