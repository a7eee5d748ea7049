"""What replicas ask of each other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns."""
    op.add_column(
        "leases", sa.Column("given", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.add_column("leases", sa.Column("asked", sa.Text, nullable=False, server_default=""))
    op.add_column("leases", sa.Column("seen", sa.Float(53)))
