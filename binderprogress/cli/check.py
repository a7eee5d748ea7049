"""``binderprogress check REPO``."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from traitlets import Bool, Float, List, Unicode

from ..core.printable import escape_json, printable
from ..errors import BadRequestError, ServerUnreachableError
from .base import FAILED, INTERRUPTED, UNREACHABLE, USAGE, run_until_stopped, stop_event
from .check_report import Case, Report, Status, summary
from .display import Display, PlainDisplay, QuietDisplay, TerminalDisplay
from .repository_command import InterruptedStartError, LaunchingCommand
from .terminal import ascii_json
from .times import duration

if TYPE_CHECKING:
    from .repository_check import RepositoryCheck

__all__ = ["CheckApp"]


class CheckApp(LaunchingCommand):
    """Check whether a repository still runs: launch it, run its notebooks, stop the server.

    Without --notebook or --all-notebooks, it runs one line of code in the default kernel. Exit
    codes: 0 if the check passed, 1 if the repository does not work, 2 for wrong usage, 3 if it
    could not be checked (for example, if the server is unreachable), 130 if interrupted.
    """

    name = "check"
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
        "all-notebooks": (
            {"CheckApp": {"all_notebooks": True}},
            "Run all notebooks of the repository.",
        ),
        "json": ({"CheckApp": {"json": True}}, "Print the report as JSON, and nothing else."),
    }

    notebooks = List(Unicode(), help="Path of a notebook to run. May be given more than once.").tag(
        config=True
    )

    all_notebooks = Bool(False, help="Run all notebooks of the repository.").tag(config=True)

    code = Unicode(
        'print("binderprogress")', help="Code to run in the default kernel instead of notebooks."
    ).tag(config=True)

    cell_timeout = Float(300.0, min=0.1, help="Maximum time for one cell, in seconds.").tag(
        config=True
    )

    timeout = Float(
        3600.0,
        min=0.1,
        help="Maximum time for the whole check, in seconds. It includes the build and the launch.",
    ).tag(config=True)

    json = Bool(False, help="Print the report as JSON, and nothing else.").tag(config=True)

    junit = Unicode(help="Path of a file to write the report to, as JUnit XML.").tag(config=True)

    async def main(self) -> int:
        """Run the check, print its report, and return the exit code."""
        # Imported here: the other commands, and --help, do not need what these need.
        from .junit import junit_xml
        from .repository_check import RepositoryCheck

        target = self.target()
        if self.notebooks and self.all_notebooks:
            self.usage("--notebook and --all-notebooks cannot be used together.")
        if self.junit and not Path(self.junit).absolute().parent.is_dir():  # noqa: ASYNC240 - once
            self.usage(f"The folder of {self.junit!r} does not exist.")
        stop = stop_event()
        display = self._display()
        try:
            display.say("Starting")
            async with self.serving(
                target.spec, stop, lambda: print("Interrupted.", file=sys.stderr)
            ) as client:
                check = RepositoryCheck(
                    client,
                    self.to_start(target),
                    notebooks=self.notebooks,
                    all_notebooks=self.all_notebooks,
                    code=self.code,
                    cell_timeout=self.cell_timeout,
                    timeout=self.timeout,
                    on_event=display.show,
                    on_case=self._print_case,
                )
                report = await _run(check, display, stop)
        except InterruptedStartError:
            return INTERRUPTED
        except BadRequestError as error:
            print(printable(str(error)), file=sys.stderr)
            return USAGE
        self._print_result(report)
        if self.junit:
            self._write(junit_xml(report))
        return _exit_code(report)

    def _display(self) -> Display:
        if self.json:
            return QuietDisplay()
        return TerminalDisplay(ending=False) if sys.stdout.isatty() else PlainDisplay(ending=False)

    def _print_case(self, case: Case) -> None:
        if self.json:
            return
        print(printable(summary(case)), flush=True)
        if case.traceback:
            print(textwrap.indent(printable(case.traceback), "    "), flush=True)
        if case.advice:
            print(printable(case.advice), flush=True)

    def _print_result(self, report: Report) -> None:
        if self.json:
            print(ascii_json(escape_json(msgspec.json.encode(report).decode())), flush=True)
        elif report.ok:
            print(f"Check passed ({duration(report.seconds)}).", flush=True)
        else:
            print(printable(f"Check failed: {report.case}: {report.message}"), file=sys.stderr)

    def _write(self, document: bytes) -> None:
        try:
            Path(self.junit).write_bytes(document)
        except OSError as error:
            print(f"{self.junit} could not be written: {error.strerror}.", file=sys.stderr)


async def _run(check: RepositoryCheck, display: Display, stop: asyncio.Event) -> Report:
    """Run a check until it ends or `stop` is set, clean up, and return its report."""

    async def run() -> bool:
        await check.run()
        return True

    try:
        with display:
            if await run_until_stopped(stop, run()) is None:
                check.abort("interrupted", "Interrupted.")
    finally:
        await _clean_up(check)
    return check.report()


async def _clean_up(check: RepositoryCheck) -> None:
    if await check.must_await_server():
        print("Waiting for the server to start, so that it can be stopped …", file=sys.stderr)
    try:
        await check.clean_up()
    except ServerUnreachableError as error:
        sentence = f"{error} It may keep running until it is stopped as idle."
        print(printable(sentence), file=sys.stderr)


def _exit_code(report: Report) -> int:
    if report.ok:
        return 0
    if any(case.status is Status.FAILED for case in report.cases):
        return FAILED
    return INTERRUPTED if report.kind == "interrupted" else UNREACHABLE
