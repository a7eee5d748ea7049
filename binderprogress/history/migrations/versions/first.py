"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_NAME = sa.String(255)
_KEY = sa.String(64)
_NUMBER = sa.Float(53)
_WORTH = "CASE WHEN pulls > 0 THEN weight * pulled / pulls ELSE 0 END"


def upgrade() -> None:
    """Create the tables."""
    _launches()
    _counts()


def _launches() -> None:
    op.create_table(
        "repositories",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("key", _KEY, nullable=False, unique=True),
        sa.Column("provider", _NAME, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("launches", sa.Integer, nullable=False),
        sa.Column("ready", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("seconds", _NUMBER, nullable=False),
        sa.Column("pulled", _NUMBER, nullable=False),
        sa.Column("weight", _NUMBER, nullable=False),
    )
    op.create_table(
        "launches",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("repository_id", _ID, sa.ForeignKey("repositories.id"), nullable=False),
        sa.Column("began", _NUMBER, nullable=False),
        sa.Column("provider", _NAME, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("commit", _NAME, nullable=False),
        sa.Column("host", _NAME, nullable=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("outcome", _NAME, nullable=False),
        sa.Column("reason", _NAME, nullable=False),
        sa.Column("cold", sa.Boolean, nullable=False),
        sa.Column("joined", sa.Boolean, nullable=False),
        sa.Column("image_bytes", sa.BigInteger),
        sa.Column("spans", sa.Text, nullable=False),
    )
    op.create_index("launches_by_time", "launches", ["began"])
    op.create_index("launches_by_repository", "launches", ["repository_id", "began"])


def _counts() -> None:
    op.create_table(
        "images",
        sa.Column("key", _KEY, primary_key=True),
        sa.Column("repository_id", _ID, nullable=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("host", _NAME, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("commit", _NAME, nullable=False),
        sa.Column("last", _NUMBER, nullable=False),
        sa.Column("launches", sa.Integer, nullable=False),
        sa.Column("pulls", sa.Integer, nullable=False),
        sa.Column("pulled", _NUMBER, nullable=False),
        sa.Column("weight", _NUMBER, nullable=False),
        sa.Column("worth", _NUMBER, sa.Computed(_WORTH, persisted=True), nullable=False),
    )
    op.create_index("images_by_worth", "images", ["worth", "key"])
    op.create_table(
        "phase_counts",
        sa.Column("provider", _NAME, primary_key=True),
        sa.Column("host", _NAME, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("cold", sa.Boolean, primary_key=True),
        sa.Column("phase", _NAME, primary_key=True),
        sa.Column("bin", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("launches", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "outcome_counts",
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("provider", _NAME, primary_key=True),
        sa.Column("host", _NAME, primary_key=True),
        sa.Column("cold", sa.Boolean, primary_key=True),
        sa.Column("outcome", _NAME, primary_key=True),
        sa.Column("reason", _NAME, primary_key=True),
        sa.Column("launches", sa.Integer, nullable=False),
    )
