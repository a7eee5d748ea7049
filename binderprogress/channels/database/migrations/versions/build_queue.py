"""Builds wait in a queue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_SECONDS = sa.Float(53)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "build_queue",
        sa.Column("number", _ID, primary_key=True),
        sa.Column("lease", sa.Text, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("seconds", _SECONDS, nullable=False),
        sa.Column("began", _SECONDS),
    )
    op.create_index("build_queue_by_lease", "build_queue", ["lease", "owner"], unique=True)
