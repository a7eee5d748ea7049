"""The tables. Every change of them needs a migration."""

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
"""Provider or host of the totals over all of them."""

MEAN = "CASE WHEN ready >= 3 THEN seconds / ready ELSE 0 END"
"""Mean duration of a repository's launches; 0 if there are too few to tell."""

WORTH = "CASE WHEN pulls > 0 THEN weight * pulled / pulls ELSE 0 END"
"""The time that pulling an image in advance would save; 0 if it was never pulled."""

# SQLite increments a primary key only if its type is INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")
_NAME = String(255)
_KEY = String(64)


class Base(DeclarativeBase):
    """Base class of the tables."""


class Repository(Base):
    """A repository, and the totals of its launches.

    `key` is a hash of the address, which may be too long for an index. `seconds` is the total
    duration of ready launches. `weight` is the total weight of all launches, see `totals.weight`.
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
    # Computed by the database, for the indexes below.
    mean: Mapped[float] = mapped_column(Float(53), Computed(MEAN))

    __table_args__ = (
        Index("repositories_by_mean", "mean", "id"),
        Index("repositories_by_provider", "provider", "mean", "id"),
    )


class ImageTotal(Base):
    """An image on a host, and the totals of its launches."""

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
    # Computed by the database, for the index below.
    worth: Mapped[float] = mapped_column(Float(53), Computed(WORTH, persisted=True))

    __table_args__ = (Index("images_by_worth", "worth", "key"),)


class LaunchRow(Base):
    """A launch. Its spans are JSON, because no query looks into them."""

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
    """Totals of the launches of a day or a week, see `totals.Period` and `histogram`.

    `ended` and `phases` are JSON, because no query looks into them.
    """

    __tablename__ = "periods"

    provider: Mapped[str] = mapped_column(_NAME, primary_key=True)
    host: Mapped[str] = mapped_column(_NAME, primary_key=True)
    days: Mapped[int] = mapped_column(Integer, primary_key=True)
    day: Mapped[int] = mapped_column(Integer, primary_key=True)
    ended: Mapped[str] = mapped_column(Text)
    phases: Mapped[str] = mapped_column(Text)
