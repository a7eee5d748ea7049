"""``binderprogress check REPO``."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from pathlib import Path

import msgspec
from traitlets import Bool, Float, List, Unicode

from ..client import AsyncClient
from ..core import specs
from ..core.printable import escape_json, printable
from ..errors import BadRequestError, ServerUnreachableError
from .base import FAILED, INTERRUPTED, UNREACHABLE, USAGE, stop_event, unless
from .checking import Check
from .display import Display, PlainDisplay, QuietDisplay, TerminalDisplay, duration
from .launching import LaunchingCommand
from .report import Case, Report, Status, junit, line

__all__ = ["CheckApp"]


class CheckApp(LaunchingCommand):
    """Find out whether a repository still runs: launch it, run its notebooks, stop the server.

    Without --notebook or --all-notebooks it runs one line in the default kernel. Exit codes: 0 all
    is well, 1 the repository does not work, 2 wrong usage, 3 it could not be found out, as where no
    server was reached, 130 interrupted.
    """

    name = "check"
    description = __doc__ or ""
    examples = """
    binderprogress check ./my-repository --all-notebooks
    binderprogress check gh/binder-examples/requirements/HEAD --notebook index.ipynb
    binderprogress check https://github.com/user/repo --server https://binder.example.org \\
        --junit report.xml
    """
    aliases = {  # noqa: RUF012 - traitlets' way
        **LaunchingCommand.aliases,
        "ref": "CheckApp.ref",
        "server": "CheckApp.server",
        "token": "CheckApp.token",
        "engine": "Standalone.engine",
        "notebook": "CheckApp.notebooks",
        "code": "CheckApp.code",
        "cell-timeout": "CheckApp.cell_timeout",
        "timeout": "CheckApp.timeout",
        "junit": "CheckApp.junit",
    }
    flags = {  # noqa: RUF012
        **LaunchingCommand.flags,
        "all-notebooks": ({"CheckApp": {"all_notebooks": True}}, "Run all notebooks."),
        "json": ({"CheckApp": {"json": True}}, "Print one JSON object, at the end."),
    }

    notebooks = List(
        Unicode(), help="The path of a notebook to run; may be given more than once."
    ).tag(config=True)

    all_notebooks = Bool(False, help="Run all notebooks.").tag(config=True)

    code = Unicode(
        'print("binderprogress")', help="What to run where no notebooks are to be run."
    ).tag(config=True)

    cell_timeout = Float(300.0, min=0.1, help="Seconds that one cell may take.").tag(config=True)

    timeout = Float(3600.0, min=0.1, help="Seconds that all of it may take.").tag(config=True)

    json = Bool(False, help="Print one JSON object, at the end.").tag(config=True)

    junit = Unicode(help="The path of a file to write JUnit's XML to.").tag(config=True)

    async def main(self) -> int:
        """Check, tell, and return the exit code."""
        spec = self.spec()
        if self.notebooks and self.all_notebooks:
            self.usage("Name notebooks, or run all of them.")
        if self.junit and not Path(self.junit).absolute().parent.is_dir():  # noqa: ASYNC240 - once
            self.usage(f"There is no folder for {self.junit!r}.")
        stop = stop_event()
        try:
            async with self.serving(spec) as client:
                report = await self._check(client, spec, stop)
        except BadRequestError as error:
            print(printable(str(error)), file=sys.stderr)
            return USAGE
        self._write(report)
        return _exit_code(report)

    async def _check(self, client: AsyncClient, spec: specs.Spec, stop: asyncio.Event) -> Report:
        display = self._display()
        check = Check(
            client,
            str(spec),
            notebooks=self.notebooks,
            all_notebooks=self.all_notebooks,
            code=self.code,
            cell_timeout=self.cell_timeout,
            timeout=self.timeout,
            show=display.show,
            tell=self._tell,
        )

        async def run() -> bool:
            await check.run()
            return True

        try:
            with display:
                if await unless(stop, run()) is None:
                    check.stop("interrupted", "Interrupted.")
        finally:
            await _clean_up(check)
        return check.finish()

    def _display(self) -> Display:
        if self.json:
            return QuietDisplay()
        return TerminalDisplay() if sys.stdout.isatty() else PlainDisplay()

    def _tell(self, case: Case) -> None:
        if self.json:
            return
        print(printable(line(case)), flush=True)
        if case.traceback:
            print(textwrap.indent(printable(case.traceback), "    "), flush=True)
        if case.advice and case.name != "build":
            print(printable(case.advice), flush=True)

    def _write(self, report: Report) -> None:
        if self.json:
            print(escape_json(msgspec.json.encode(report).decode()), flush=True)
        elif report.ok:
            print(f"It works ({duration(report.seconds)}).", flush=True)
        else:
            print(printable(f"It does not work: {report.case}: {report.message}"), file=sys.stderr)
        if self.junit:
            Path(self.junit).write_bytes(junit(report))


def _exit_code(report: Report) -> int:
    if report.ok:
        return 0
    if any(case.status is Status.FAILED for case in report.cases):
        return FAILED
    return INTERRUPTED if report.kind == "interrupted" else UNREACHABLE


async def _clean_up(check: Check) -> None:
    if await check.awaits_server():
        print("Waiting for the server that was asked for, to stop it …", file=sys.stderr)
    try:
        await check.clean_up()
    except ServerUnreachableError as error:
        sentence = f"{error} Something of it may run on, until it is idle long enough."
        print(printable(sentence), file=sys.stderr)
