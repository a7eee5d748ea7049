"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_SECONDS = sa.Float(53)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "replicas",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("until", _SECONDS, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("number", _ID, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("key_hash", sa.String(64), unique=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("created", _SECONDS, nullable=False),
        sa.Column("ended", _SECONDS),
        sa.Column("expires", _SECONDS),
    )
    op.create_index("leases_by_expiry", "leases", ["expires"])
    op.create_table(
        "channels",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("lease", sa.Text, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("closed", sa.Boolean, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("channels_by_lease", "channels", ["lease"])
    if op.get_bind().dialect.name == "postgresql":
        # A row is changed with each commit; its next version should fit next to it.
        op.execute("ALTER TABLE channels SET (fillfactor = 50)")
    op.create_table(
        "batches",
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("last", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.Boolean, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
