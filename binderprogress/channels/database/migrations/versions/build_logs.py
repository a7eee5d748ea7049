"""Logs of builds are kept for all replicas."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "build_logs",
        sa.Column("build", sa.String(64), primary_key=True),
        sa.Column("key_hash", sa.String(64)),
        sa.Column("ended", sa.Float(53), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("parts", sa.Integer),
        sa.Column("times", sa.LargeBinary, nullable=False),
    )
    op.create_index("build_logs_by_key", "build_logs", ["key_hash", "ended"])
    op.create_index("build_logs_by_end", "build_logs", ["ended"])
    op.create_table(
        "build_log_parts",
        sa.Column("build", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
