"""The tables. Whoever changes them adds a migration."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Computed,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = ["ALL", "Base", "ImageTotal", "LaunchRow", "PeriodTotal", "Repository"]

ALL = "*"
"""In place of provider and host: the sums of all, so that they need not be added up."""

MEAN = "CASE WHEN ready >= 3 THEN seconds / ready ELSE 0 END"
"""How long a repository's launches take; one slow launch says little of its repository."""

WORTH = "CASE WHEN pulls > 0 THEN weight * pulled / pulls ELSE 0 END"
"""What having an image everywhere saves: what was never pulled is not missed anywhere."""

# SQLite counts up only what it calls an INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")
_NAME = String(255)
_KEY = String(64)


class Base(DeclarativeBase):
    """All tables."""


class Repository(Base):
    """A repository, and the sums over its launches.

    `key` stands for its address, which may be too long for an index. `seconds` is how long those
    that are ready took; `weight` is the sum of all launches' weights, see `rollups.weight`.
    """

    __tablename__ = "repositories"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    key: Mapped[str] = mapped_column(_KEY, unique=True)
    provider: Mapped[str] = mapped_column(_NAME)
    address: Mapped[str] = mapped_column(Text)
    launches: Mapped[int] = mapped_column(Integer)
    ready: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)
    seconds: Mapped[float] = mapped_column(Float(53))
    pulled: Mapped[float] = mapped_column(Float(53))
    weight: Mapped[float] = mapped_column(Float(53))
    # The database's own, so that the slowest, of all or of one provider, are found at once.
    mean: Mapped[float] = mapped_column(Float(53), Computed(MEAN))

    __table_args__ = (
        Index("repositories_by_mean", "mean", "id"),
        Index("repositories_by_provider", "provider", "mean", "id"),
    )


class ImageTotal(Base):
    """An image on a host, and the sums over its launches."""

    __tablename__ = "images"

    key: Mapped[str] = mapped_column(_KEY, primary_key=True)
    repository_id: Mapped[int] = mapped_column(_Id)
    image: Mapped[str] = mapped_column(Text)
    host: Mapped[str] = mapped_column(_NAME)
    ref: Mapped[str] = mapped_column(Text)
    commit: Mapped[str] = mapped_column(_NAME)
    last: Mapped[float] = mapped_column(Float(53))
    launches: Mapped[int] = mapped_column(Integer)
    pulls: Mapped[int] = mapped_column(Integer)
    pulled: Mapped[float] = mapped_column(Float(53))
    weight: Mapped[float] = mapped_column(Float(53))
    # The database's own, so that the first few are found without a look at all.
    worth: Mapped[float] = mapped_column(Float(53), Computed(WORTH, persisted=True))

    __table_args__ = (Index("images_by_worth", "worth", "key"),)


class LaunchRow(Base):
    """A launch. Its spans are JSON: they are read as a whole, or not at all."""

    __tablename__ = "launches"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    repository_id: Mapped[int] = mapped_column(ForeignKey("repositories.id"))
    began: Mapped[float] = mapped_column(Float(53))
    provider: Mapped[str] = mapped_column(_NAME)
    ref: Mapped[str] = mapped_column(Text)
    commit: Mapped[str] = mapped_column(_NAME)
    host: Mapped[str] = mapped_column(_NAME)
    image: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(_NAME)
    reason: Mapped[str] = mapped_column(_NAME)
    cold: Mapped[bool]
    joined: Mapped[bool]
    image_bytes: Mapped[int | None] = mapped_column(BigInteger)
    spans: Mapped[str] = mapped_column(Text)

    __table_args__ = (
        Index("launches_by_time", "began"),
        Index("launches_by_repository", "repository_id", "began"),
    )


class PeriodTotal(Base):
    """What the launches of a day or a week come to, see `rollups.Period` and `tallies`.

    `ended` and `phases` are JSON: they are read as a whole, or not at all.
    """

    __tablename__ = "periods"

    provider: Mapped[str] = mapped_column(_NAME, primary_key=True)
    host: Mapped[str] = mapped_column(_NAME, primary_key=True)
    days: Mapped[int] = mapped_column(Integer, primary_key=True)
    day: Mapped[int] = mapped_column(Integer, primary_key=True)
    ended: Mapped[str] = mapped_column(Text)
    phases: Mapped[str] = mapped_column(Text)
