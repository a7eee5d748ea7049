"""Leases have a client, and those that have not ended an index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column and the index."""
    op.add_column("leases", sa.Column("client", sa.Text, nullable=False, server_default=""))
    running = sa.text("ended IS NULL")
    op.create_index(
        "leases_running", "leases", ["number"], postgresql_where=running, sqlite_where=running
    )
