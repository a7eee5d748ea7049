"""Finding out whether a repository runs: launch it, run its notebooks, stop the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager

from ..client import AsyncClient, Launch, Server
from ..client.jupyter import JupyterServer
from ..client.kernel import Kernel
from ..client.models import served
from ..core.binderhub import SPAWN_PHASES
from ..core.events import Event
from ..core.phases import Phase
from ..core.reasons import plain
from ..errors import (
    BadRequestError,
    BinderProgressError,
    LaunchFailedError,
    RunFailedError,
    ServerUnreachableError,
)
from .report import Case, Report, Status

__all__ = ["Check"]

_KERNEL = "kernel"
"""What is checked where no notebooks are."""

_DIED = "It may have run out of memory, or a cell has ended it; run it by hand to see."
_CLEAN_UP_TIMEOUT = 25.0
_SPAWN_TIMEOUT = 90.0
"""Seconds that a server may take which cannot be called off."""
_NO_FAILURES = {
    **dict.fromkeys(("cancelled", "abandoned", "shutdown"), "cancelled"),
    **dict.fromkeys(("refused", "banned", "quota", "rate-limited"), "refused"),
    "connection-lost": "unreachable",
}
"""The reasons of a launch's end that say nothing of the repository, and what they are here."""


class Check:
    """One check.

    Parameters
    ----------
    client : AsyncClient
        Of the server to launch on.
    spec : str
    notebooks : sequence of str
        The paths of those to run.
    all_notebooks : bool
        Run all that there are.
    code : str
        What to run where there are no notebooks to run.
    cell_timeout, timeout : float
        Seconds that a cell may take, and all of it.
    show : callable
        Gets each event of the launch.
    tell : callable
        Gets each case when it is done.
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
        show: Callable[[Event], None],
        tell: Callable[[Case], None],
    ) -> None:
        self.report = Report(spec=spec, server=client.server, time=time.time())
        self._began = time.monotonic()
        self._client = client
        self._notebooks = [_tidy(path) for path in notebooks]
        self._all_notebooks = all_notebooks
        self._of_notebooks = bool(notebooks) or all_notebooks
        self._code = code
        self._cell_timeout = cell_timeout
        self._timeout = timeout
        self._show = show
        self._tell = tell
        self._launch: Launch | None = None
        self._server: Server | None = None
        self._build = Case(name="build")
        self._start = Case(name="launch")
        self._runs = [Case(name=path) for path in self._notebooks]
        if not self._of_notebooks:
            self._runs = [Case(name=_KERNEL)]
        self._current = self._build

    async def run(self) -> None:
        """Check. Whatever happens stands in the report, but for what was asked wrongly.

        Raises
        ------
        BadRequestError
            If the server does not understand what to launch.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._launched()
                if self._server is not None:
                    async with JupyterServer(self._server) as server:
                        await self._run_all(server)
        except TimeoutError:
            self.stop("timeout", f"All of it took longer than {self._timeout:g} s.")

    def stop(self, kind: str, message: str) -> None:
        """Note that it cannot be found out any further."""
        cases = [self._current, *self._cases]
        case = next((case for case in cases if case.status is Status.SKIPPED), None)
        if case is not None:
            case.status, case.kind = Status.ERROR, kind
            case.message = f"{_where(case)}{message}"

    @property
    def _cases(self) -> list[Case]:
        return [self._build, self._start, *self._runs]

    def finish(self) -> Report:
        """Return the report."""
        report = self.report
        report.cases = self._cases
        report.seconds = _since(self._began)
        report.ok = all(case.status is Status.PASSED for case in report.cases)
        bad = next((case for case in report.cases if case.kind), None)
        if bad is not None:
            report.case, report.kind, report.message = bad.name, bad.kind, bad.message
        return report

    async def clean_up(self) -> None:
        """Stop what was started: the server, or the launch that would become one.

        Raises
        ------
        ServerUnreachableError
            If something may be left.
        """
        if self._launch is None:
            return
        try:
            if self._server is None:
                await self._call_off(self._launch)
            if self._server is not None:
                async with (
                    asyncio.timeout(_CLEAN_UP_TIMEOUT),
                    JupyterServer(self._server) as server,
                ):
                    await server.stop()
        except TimeoutError as error:
            raise ServerUnreachableError("What was launched could not be stopped.") from error
        except BinderProgressError as error:
            raise ServerUnreachableError(str(error)) from error

    async def awaits_server(self) -> bool:
        """Say whether a server comes up that cannot be called off: it is stopped when it is there.

        A BinderHub that was asked for one cannot be told otherwise.
        """
        if self._client.kind != "binderhub" or self._launch is None or self._server is not None:
            return False
        return (await self._client.state(self._launch)).phase in SPAWN_PHASES

    async def _call_off(self, launch: Launch) -> None:
        """Cancel a launch; it may have been faster, and have a server."""
        must_wait = await self.awaits_server()
        async with asyncio.timeout(_SPAWN_TIMEOUT if must_wait else _CLEAN_UP_TIMEOUT):
            if not must_wait:
                await self._client.cancel(launch)
            last = (await self._client.state(launch)).last
            async with aclosing(self._client.watch(launch, after=last - 1)) as events:
                async for event in events:
                    if event.phase is Phase.READY:
                        self._server = served(event)
                    elif event.reason == "connection-lost":
                        raise ServerUnreachableError(plain(event.message).strip())

    # -- the launch

    async def _launched(self) -> None:
        began = time.monotonic()
        try:
            self._launch = await self._client.start(self.report.spec)
            async with aclosing(self._client.watch(self._launch)) as events:
                async for event in events:
                    self._show(event)
                    if event.phase in SPAWN_PHASES and self._current is self._build:
                        self._pass(began)
                        self._current, began = self._start, time.monotonic()
                    if event.terminal:
                        self._server = served(event)
            self._pass(began)
        except LaunchFailedError as error:
            self._failed_launch(error, began)
        except BadRequestError:
            raise
        except BinderProgressError as error:
            kind = "unreachable" if isinstance(error, ServerUnreachableError) else "refused"
            self.stop(kind, plain(str(error)))
            self._tell(self._current)

    def _failed_launch(self, error: LaunchFailedError, began: float) -> None:
        self._launch = None  # it has come to its end
        case = self._current
        case.status = Status.FAILED
        case.kind = "build-failed" if case is self._build else "launch-failed"
        if error.reason in _NO_FAILURES:
            case.status, case.kind = Status.ERROR, _NO_FAILURES[error.reason]
        case.message, case.advice = str(error), error.advice
        case.reason, case.evidence = error.reason, error.evidence
        case.seconds = _since(began)
        self._tell(case)

    def _pass(self, began: float) -> None:
        self._current.status = Status.PASSED
        self._current.seconds = _since(began)
        self._tell(self._current)

    # -- what is run in the server

    async def _run_all(self, server: JupyterServer) -> None:
        if self._all_notebooks and not await self._list(server):
            return
        for case in self._runs:
            self._current = case
            async with self._noting(case):
                if not self._of_notebooks:
                    async with server.kernel() as kernel_id, Kernel(server, kernel_id) as kernel:
                        await self._run_cells(kernel, case, [(self._code, False)])
                else:
                    await self._run_notebook(server, case)
                case.status = Status.PASSED
            self._tell(case)
            if case.kind == "server-lost":
                return

    async def _list(self, server: JupyterServer) -> bool:
        """Find out which notebooks there are; False if that stands in the report as a failure."""
        self._current = case = Case(name="notebooks")
        self._runs = [case]
        async with self._noting(case):
            paths = await server.notebooks()
            if not paths:
                raise RunFailedError("There is no notebook in it.", kind="no-notebook")
            self._runs = [Case(name=path) for path in paths]
        if case.kind:
            self._tell(case)
        return not case.kind

    @asynccontextmanager
    async def _noting(self, case: Case) -> AsyncIterator[None]:
        """Note in a case how what is done in the block fails, and how long it takes."""
        began = time.monotonic()
        try:
            yield
        except RunFailedError as error:
            case.status, case.kind = Status.FAILED, error.kind
            if error.kind == "reply-lost":
                case.status = Status.ERROR
            case.message = f"{_where(case)}{error}"
            case.exception, case.value = error.name, error.value
            case.traceback = error.traceback
            if error.kind == "kernel-died":
                case.advice = _DIED
        finally:
            case.seconds = _since(began)

    async def _run_notebook(self, server: JupyterServer, case: Case) -> None:
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
        case.cells = len(cells)
        for number, (code, may_raise) in enumerate(cells, 1):
            case.cell = number
            try:
                await kernel.execute(code, timeout=self._cell_timeout)
            except RunFailedError as error:
                if not may_raise or error.kind != "cell-failed":
                    raise
        case.cell = 0


def _where(case: Case) -> str:
    return f"Cell {case.cell} of {case.cells}: " if case.cell else ""


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def _tidy(path: str) -> str:
    return path.removeprefix("./").strip("/")
