"""Simulates in a process of its own, so that the server goes on meanwhile."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import msgspec

from ..errors import BadRequestError, BinderProgressError, TooManyRequestsError
from ..whatif.question import WRONG_QUESTION, Question
from ..whatif.report import SimulationReport

__all__ = ["Simulator"]

_SECONDS = 30
"""Of processor time that a simulation may take."""

_PATIENCE = 60.0
"""Seconds after which it is ended, however little processor time it got."""


class Simulator:
    """Simulates, one question after the other.

    Parameters
    ----------
    log : logging.Logger
    seconds : int
        Of processor time for each question.
    """

    def __init__(
        self, log: logging.Logger | logging.LoggerAdapter[Any], *, seconds: int = _SECONDS
    ) -> None:
        self._log = log
        self._seconds = seconds
        self._is_busy = False

    async def __call__(self, question: Question) -> SimulationReport:
        """Return the answer to a question.

        Raises
        ------
        BadRequestError
            If the question is at fault, or takes too long.
        TooManyRequestsError
            If another simulation is running.
        BinderProgressError
            If the simulation failed. The log says why.
        """
        if self._is_busy:
            raise TooManyRequestsError(
                "This server is simulating something else. Try again in a moment.", retry_after=5.0
            )
        self._is_busy = True
        try:
            return await self._simulate(question)
        finally:
            self._is_busy = False

    async def _simulate(self, question: Question) -> SimulationReport:
        encoded = await asyncio.to_thread(msgspec.msgpack.encode, question)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "binderprogress.deploy.simulation_program", str(self._seconds)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                output, errors = await process.communicate(encoded)
        except TimeoutError:
            output, errors = b"", b""
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        code = process.returncode
        if code == 0:
            return msgspec.msgpack.decode(output, type=SimulationReport)
        if code == WRONG_QUESTION:
            raise BadRequestError(errors.decode(errors="replace"))
        if code is not None and code < 0:
            raise BadRequestError(
                "The simulation took too long. Try fewer students or fewer days, or the command "
                "binderprogress whatif."
            )
        self._log.error("A simulation failed:\n%s", errors.decode(errors="replace"))
        raise BinderProgressError("Internal server error. The server's log has the details.")
