"""Check whether a repository runs: launch it, run its notebooks, stop the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager

from ..client import AsyncClient, JupyterServer, LaunchHandle
from ..client.jupyter import JupyterClient
from ..client.kernel import Kernel
from ..client.models import server_from
from ..core.binderhub.stream import SPAWN_PHASES
from ..core.events import Event
from ..core.phases import Phase
from ..core.printable import plain
from ..errors import (
    BadRequestError,
    BinderProgressError,
    LaunchFailedError,
    RunFailedError,
    ServerUnreachableError,
)
from .check_report import Case, Report, Status

__all__ = ["RepositoryCheck"]

_KERNEL_DIED_ADVICE = (
    "It may have run out of memory, or a cell may have ended it. Run the cell by hand to find out."
)
_CLEAN_UP_TIMEOUT = 25.0
_SPAWN_TIMEOUT = 90.0
"""Seconds to wait for a server whose launch cannot be cancelled."""
_ERRORS = {
    **dict.fromkeys(("cancelled", "abandoned", "shutdown"), "cancelled"),
    **dict.fromkeys(("refused", "banned", "quota", "rate-limited"), "refused"),
    "connection-lost": "unreachable",
}
"""The reasons of a failed launch that are not the repository's fault, with the kind of the case."""


class RepositoryCheck:
    """One check of one repository.

    Parameters
    ----------
    client : AsyncClient
        A client of the server that launches the repository.
    spec : str
        What to launch.
    notebooks : sequence of str
        Paths of the notebooks to run.
    all_notebooks : bool
        Run all notebooks of the repository.
    code : str
        What to run if no notebooks are to be run.
    cell_timeout, timeout : float
        Maximum time for one cell, and for the whole check, in seconds.
    on_event : callable
        Called with each event of the launch.
    on_case : callable
        Called with each case when it has ended.
    """

    def __init__(
        self,
        client: AsyncClient,
        spec: str,
        *,
        notebooks: Sequence[str] = (),
        all_notebooks: bool = False,
        code: str,
        cell_timeout: float,
        timeout: float,
        on_event: Callable[[Event], None],
        on_case: Callable[[Case], None],
    ) -> None:
        self._report = Report(spec=spec, server=client.server, time=time.time())
        self._started = time.monotonic()
        self._client = client
        self._all_notebooks = all_notebooks
        self._runs_notebooks = bool(notebooks) or all_notebooks
        self._code = code
        self._cell_timeout = cell_timeout
        self._timeout = timeout
        self._on_event = on_event
        self._on_case = on_case
        self._launch: LaunchHandle | None = None
        self._server: JupyterServer | None = None
        self._build_case = Case(name="build")
        self._launch_case = Case(name="launch")
        names = [_normalized(path) for path in notebooks] if self._runs_notebooks else ["kernel"]
        self._run_cases = [Case(name=name) for name in names]
        self._current = self._build_case

    async def run(self) -> None:
        """Run the check. What goes wrong is noted in the report.

        Raises
        ------
        BadRequestError
            If the server does not understand the spec.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._launch_repository()
                if self._server is not None:
                    async with JupyterClient(self._server) as server:
                        await self._run_cases_in(server)
        except TimeoutError:
            self.abort("timeout", f"The check timed out after {self._timeout:g} s.")

    def abort(self, kind: str, message: str) -> None:
        """Note an error in the current case, or the next one if that has ended."""
        cases = [self._current, *self._cases]
        case = next((case for case in cases if case.status is Status.SKIPPED), None)
        if case is not None:
            case.status, case.kind = Status.ERROR, kind
            case.message = f"{_position(case)}{message}"

    @property
    def _cases(self) -> list[Case]:
        return [self._build_case, self._launch_case, *self._run_cases]

    def report(self) -> Report:
        """Return the report so far."""
        report = self._report
        report.cases = self._cases
        report.seconds = _seconds_since(self._started)
        report.ok = all(case.status is Status.PASSED for case in report.cases)
        first = next((case for case in report.cases if case.kind), None)
        if first is not None:
            report.case, report.kind, report.message = first.name, first.kind, first.message
        return report

    # -- cleaning up

    async def clean_up(self) -> None:
        """Stop the server, or cancel the launch if there is no server yet.

        Raises
        ------
        ServerUnreachableError
            If the server may still be running.
        """
        if self._launch is None:
            return
        try:
            if self._server is None:
                await self._cancel(self._launch)
            if self._server is not None:
                async with (
                    asyncio.timeout(_CLEAN_UP_TIMEOUT),
                    JupyterClient(self._server) as server,
                ):
                    await server.stop()
        except TimeoutError as error:
            raise ServerUnreachableError("The launched server could not be stopped.") from error
        except BinderProgressError as error:
            raise ServerUnreachableError(str(error)) from error

    async def must_await_server(self) -> bool:
        """Whether a server is starting whose launch cannot be cancelled.

        A plain BinderHub has no way to cancel. `clean_up` waits for that server, and stops it.
        """
        if self._client.kind != "binderhub" or self._launch is None or self._server is not None:
            return False
        return (await self._client.state(self._launch)).phase in SPAWN_PHASES

    async def _cancel(self, launch: LaunchHandle) -> None:
        """Cancel a launch, and set the server if it became ready in the meantime."""
        must_wait = await self.must_await_server()
        async with asyncio.timeout(_SPAWN_TIMEOUT if must_wait else _CLEAN_UP_TIMEOUT):
            if not must_wait:
                await self._client.cancel(launch)
            last = (await self._client.state(launch)).last
            async with aclosing(self._client.watch(launch, after=last - 1)) as events:
                async for event in events:
                    if event.phase is Phase.READY:
                        self._server = server_from(event)
                    elif event.reason == "connection-lost":
                        raise ServerUnreachableError(plain(event.message).strip())

    # -- the launch

    async def _launch_repository(self) -> None:
        started = time.monotonic()
        try:
            self._launch = await self._client.start(self._report.spec)
            async with aclosing(self._client.watch(self._launch)) as events:
                async for event in events:
                    self._on_event(event)
                    if event.phase in SPAWN_PHASES and self._current is self._build_case:
                        self._pass(started)
                        self._current, started = self._launch_case, time.monotonic()
                    if event.terminal:
                        self._server = server_from(event)
            self._pass(started)
        except LaunchFailedError as error:
            self._launch = None  # nothing is left to cancel
            self._fail(error, started)
        except BadRequestError:
            raise
        except BinderProgressError as error:
            kind = "unreachable" if isinstance(error, ServerUnreachableError) else "refused"
            self.abort(kind, plain(str(error)))
            self._on_case(self._current)

    def _pass(self, started: float) -> None:
        self._current.status = Status.PASSED
        self._current.seconds = _seconds_since(started)
        self._on_case(self._current)

    def _fail(self, error: LaunchFailedError, started: float) -> None:
        case = self._current
        case.status = Status.FAILED
        case.kind = "build-failed" if case is self._build_case else "launch-failed"
        if error.reason in _ERRORS:
            case.status, case.kind = Status.ERROR, _ERRORS[error.reason]
        case.message, case.advice = str(error), error.advice
        case.reason, case.evidence = error.reason, error.evidence
        case.seconds = _seconds_since(started)
        self._on_case(case)

    # -- notebooks and code

    async def _run_cases_in(self, server: JupyterClient) -> None:
        if self._all_notebooks and not await self._list_notebooks(server):
            return
        for case in self._run_cases:
            self._current = case
            async with self._noting_failure(case):
                if self._runs_notebooks:
                    await self._run_notebook(server, case)
                else:
                    async with server.kernel() as kernel_id, Kernel(server, kernel_id) as kernel:
                        await self._run_cells(kernel, case, [(self._code, False)])
                case.status = Status.PASSED
            self._on_case(case)
            if case.kind == "server-lost":
                return

    async def _list_notebooks(self, server: JupyterClient) -> bool:
        """Make a case for each notebook; return False after noting a failure instead."""
        self._current = case = Case(name="notebooks")
        self._run_cases = [case]
        async with self._noting_failure(case):
            paths = await server.notebooks()
            if not paths:
                raise RunFailedError("The repository has no notebooks.", kind="no-notebook")
            self._run_cases = [Case(name=path) for path in paths]
        if case.kind:
            self._on_case(case)
        return not case.kind

    @asynccontextmanager
    async def _noting_failure(self, case: Case) -> AsyncIterator[None]:
        """Note in a case how the block fails, and how long it takes."""
        started = time.monotonic()
        try:
            yield
        except RunFailedError as error:
            # A lost reply is not the repository's fault.
            case.status = Status.ERROR if error.kind == "reply-lost" else Status.FAILED
            case.kind = error.kind
            case.message = f"{_position(case)}{error}"
            case.exception, case.value = error.name, error.value
            case.traceback = error.traceback
            if error.kind == "kernel-died":
                case.advice = _KERNEL_DIED_ADVICE
        finally:
            case.seconds = _seconds_since(started)

    async def _run_notebook(self, server: JupyterClient, case: Case) -> None:
        notebook = await server.notebook(case.name)
        cells = [(cell.code, cell.may_raise) for cell in notebook.cells if cell.code]
        async with (
            server.kernel(name=notebook.kernel, path=case.name) as kernel_id,
            Kernel(server, kernel_id) as kernel,
        ):
            await self._run_cells(kernel, case, cells)

    async def _run_cells(
        self, kernel: Kernel, case: Case, cells: Sequence[tuple[str, bool]]
    ) -> None:
        """Run cells in order: the code of each, and whether it may raise an exception."""
        case.cells = len(cells)
        for number, (code, may_raise) in enumerate(cells, 1):
            case.cell = number
            try:
                await kernel.execute(code, timeout=self._cell_timeout)
            except RunFailedError as error:
                if not may_raise or error.kind != "cell-failed":
                    raise
        case.cell = 0


def _position(case: Case) -> str:
    return f"Cell {case.cell} of {case.cells}: " if case.cell else ""


def _seconds_since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def _normalized(path: str) -> str:
    return path.removeprefix("./").strip("/")
