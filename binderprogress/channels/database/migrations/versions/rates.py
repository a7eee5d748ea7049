"""Requests of clients are counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table."""
    shared = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "rates",
        sa.Column("client", sa.String(64), primary_key=True),
        sa.Column("until", sa.Float(53), nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        prefixes=["UNLOGGED"] if shared else [],
    )
