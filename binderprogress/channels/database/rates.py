"""Counts requests of clients in all replicas."""

from __future__ import annotations

from sqlalchemy import Connection, Float, Integer, bindparam, case
from sqlalchemy.dialects.postgresql import insert

from ..shared_rates import RequestCount
from .ownership import hash_of
from .reader import Reader
from .tables import Now, rates

__all__ = ["Rates"]

_NEW = insert(rates).values(
    client=bindparam("key"), until=Now() + bindparam("period", type_=Float(53)), count=1
)
_OVER = rates.c.until <= Now()
_LIMIT = bindparam("most", type_=Integer)
# One statement, which is a transaction: a replica that is paused cannot keep others waiting.
_COUNT = _NEW.on_conflict_do_update(
    index_elements=[rates.c.client],
    set_={
        "until": case((_OVER, _NEW.excluded.until), else_=rates.c.until),
        # What is refused is not counted.
        "count": case((_OVER, 1), (rates.c.count > _LIMIT, rates.c.count), else_=rates.c.count + 1),
    },
).returning(rates.c.count.label("requests"), (rates.c.until - Now()).label("seconds"))


class Rates:
    """Counts requests in PostgreSQL; see `shared_rates.SharedRates`.

    Parameters
    ----------
    reader : Reader
        Has threads and connections.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def count(self, client: str, *, limit: int, period: float) -> RequestCount:
        """Count one request; see `shared_rates.SharedRates.count`."""
        # There may be one without an address, whose hash would be null.
        values = {"key": hash_of(f"client {client}"), "period": period, "most": limit}

        def count(connection: Connection) -> RequestCount:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            row = connection.execute(_COUNT, values).one()
            return RequestCount(count=row.requests, seconds=max(row.seconds, 0.0))

        return await self._reader.run(count)
