"""Base classes of the commands."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_core.application import JupyterApp, NoStart, base_aliases, base_flags
from traitlets import TraitError
from traitlets.config.loader import Config

from .._private import readable_by_others
from .._version import __version__
from ..core.printable import printable
from ..errors import BinderProgressError
from .logs import LogFormatter, RepeatFilter, last_resort
from .options import Loader, explain, place_of, unknown_setting

if TYPE_CHECKING:
    from .server import Server

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "UNREACHABLE",
    "USAGE",
    "Command",
    "ServerCommand",
    "StopEvent",
    "launch_command",
    "print_line",
    "serve",
    "stop_event",
]

_SECRETS = (("HubLauncher", "api_token"), ("History", "url"), ("Storage", "url"))
"""Settings with a token or a password."""

FAILED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes other than 0."""


class Command(JupyterApp):
    """A command: a traitlets application with an exit code."""

    version = __version__
    description = ""  # traitlets then shows the docstring
    aliases = {**base_aliases, "f": "JupyterApp.config_file"}  # noqa: RUF012 - traitlets' way
    flags = {k: v for k, v in base_flags.items() if k != "y"}  # noqa: RUF012
    # All commands share one config file.
    config_file_name = "binderprogress_config"
    takes_arguments = False
    raise_config_file_errors = True

    def emit_help(self, classes: bool = False) -> Generator[str, None, None]:
        """Yield the lines of the help, or with `classes` those about all settings."""
        if not classes:
            yield from super().emit_help()
            return
        yield "Settings:"
        yield "  On the command line: --Class.setting=value. In the config file: c.Class.setting"
        yield ""
        for cls in self._classes_with_config_traits():
            yield cls.class_get_help()
            yield ""

    def get_default_logging_config(self) -> dict[str, Any]:
        """Return the logging configuration. Loggers of libraries are covered, too."""
        logging.lastResort = last_resort(self.log_level)
        config: dict[str, Any] = super().get_default_logging_config()
        # What is retried is logged where it is known what that means.
        config["loggers"] = {**config.get("loggers", {}), "stamina": {"level": "ERROR"}}
        config["filters"] = {"repeats": {"()": RepeatFilter}}
        formatter = config["formatters"]["console"]
        formatter["class"] = f"{LogFormatter.__module__}.{LogFormatter.__qualname__}"
        config["handlers"]["console"]["filters"] = ["repeats"]
        return config

    def _create_loader(self, argv: Any, aliases: Any, flags: Any, classes: Any) -> Any:
        return Loader(
            argv,
            aliases,
            flags,
            classes=classes,
            log=self.log,
            subcommands=self.subcommands,
            fail=self.usage,
        )

    def update_config(self, config: Config) -> None:
        """Apply a configuration. If a value is not valid, exit with a message."""
        try:
            super().update_config(config)
        except TraitError as error:
            self.usage(explain(error, self._given(), self.aliases))

    def _given(self) -> Config:
        # It is empty until the command line was read; what is applied then is what it says.
        return self.cli_config or self.config

    def exit(self, exit_status: int | str | None = 0) -> None:
        """Exit. traitlets calls this with 1 if an option is not valid, which is a usage error."""
        super().exit(USAGE if exit_status == 1 else exit_status)

    def load_config_file(  # type: ignore[override] # same signature as JupyterApp
        self, suppress_errors: bool = True
    ) -> None:
        """Load the config file. Unlike in JupyterApp, a missing file is an error."""
        file = self.config_file
        if file and not self.generate_config and not _is_config(file):
            self.usage(f"The config file {file} does not exist.")
        try:
            super().load_config_file(suppress_errors=False)
            self._refuse_unknown_settings()
            self._warn_if_readable()
        except Exception as error:  # it is Python code, which may raise anything
            self.log.debug("The config file could not be loaded", exc_info=True)
            sentence = f"The config file could not be loaded. {type(error).__name__}: {error}"
            print(printable(sentence), file=sys.stderr)
            self.exit(USAGE)

    def _refuse_unknown_settings(self) -> None:
        """Exit with a message if the config file has a setting that does not exist."""
        unknown = unknown_setting(self.config, self._classes_inc_parents())
        if unknown is not None:
            setting, near = unknown
            place = place_of(setting, self.loaded_config_files)
            self.usage(f"{place}: Unknown setting: c.{setting}.{near}")

    def _warn_if_readable(self) -> None:
        """Warn if other users of this machine can read a token or password in the config file."""
        values = {
            f"{section}.{name}": str(self.config[section][name])
            for section, name in _SECRETS
            if name in self.config[section]
        }
        for file in self.loaded_config_files if values else ():
            path = Path(file)
            text = path.read_text(errors="replace") if readable_by_others(path) else ""
            # Others may come from an environment variable. A URL without a password is no secret.
            secrets = [
                name
                for name, value in values.items()
                if value and value in text and ("@" in value or not name.endswith(".url"))
            ]
            if secrets:
                self.log.warning(
                    "%s contains %s, and other users of this machine can read it: chmod 600 %s",
                    file,
                    " and ".join(secrets),
                    file,
                )

    def write_default_config(self) -> None:
        """Write a config file with the defaults. Without a terminal, never overwrite a file."""
        file = self.config_file or str(Path(self.config_dir, f"{self.config_file_name}.py"))
        if Path(file).exists() and not sys.stdin.isatty():
            self.usage(f"{file} already exists. Choose another file with -f.")
        # Operators will add tokens and passwords to it.
        path = Path(file)
        super().write_default_config()
        path.chmod(0o600)

    def usage(self, message: str) -> None:
        """Exit with a message about a usage error."""
        command = " ".join(dict.fromkeys(["binderprogress", self.name]))
        print(f"{printable(message)}\nTry: {command} --help", file=sys.stderr)
        self.exit(USAGE)

    def start(self) -> None:
        """Run `main` and end with its exit code."""
        super().start()
        if self.extra_args and not self.takes_arguments:
            self.usage(f"Unexpected argument: {self.extra_args[0]!r}.")
        try:
            code = run(self.main())
        except TraitError as error:
            self.usage(explain(error, self._given(), self.aliases))
            raise
        sys.exit(code)

    async def main(self) -> int:
        """Do the work and return the exit code."""
        return 0


def _is_config(name: str) -> bool:
    # The suffixes that traitlets tries.
    return any(Path(name).with_suffix(suffix).is_file() for suffix in (".py", ".json"))


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run the main coroutine of a command. Errors for its user are printed without a traceback."""
    # It was disabled while modules were imported.
    gc.freeze()
    gc.enable()
    try:
        return asyncio.run(main)
    except BinderProgressError as error:
        print(printable(str(error)), file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def print_line(sentence: str) -> None:
    """Print a sentence. In a terminal, it overwrites the ``^C`` that Ctrl-C has left."""
    print(f"\r{sentence}" if sys.stdout.isatty() else sentence, flush=True)


class StopEvent(asyncio.Event):
    """Set by a signal that stops this process."""

    number: signal.Signals | None = None
    """The signal."""

    def on_signal(self, number: signal.Signals) -> None:
        """Set it."""
        self.number = number
        self.set()


def stop_event() -> StopEvent:
    """Return an event that Ctrl-C and SIGTERM set."""
    event = StopEvent()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.on_signal, number)
    return event


def launch_command(command: type[Command], argv: list[str] | None) -> None:
    """Run a command. Jupyter's applications raise `NoStart` if nothing is left to do."""
    try:
        app = command.instance()
        app.initialize(argv)
        app.start()
    except NoStart:
        return
    except KeyboardInterrupt:
        # The command has not installed its own handler yet.
        sys.exit(INTERRUPTED)


class ServerCommand(Command):
    """A command that runs a server until it is stopped."""

    server_class: type[Server]

    async def main(self) -> int:
        """Serve until Ctrl-C or SIGTERM."""
        stop = stop_event()
        standalone = self.server_class(parent=self)
        # Modules and settings are never freed. Without this, each full collection would scan them
        # and block the server for about 0.1 s. Later, the first launches would be kept, too.
        standalone.before_listening = gc.freeze
        try:
            await standalone.start()
            print(f"binderprogress listens on {standalone.url}", flush=True)
            await serve(standalone, stop)
        finally:
            # Ctrl-C is from a person, who wants nothing to stay. A supervisor sends SIGTERM, and
            # starts the next server.
            restarts = stop.number is signal.SIGTERM and not standalone.end_launches
            if stop.number is signal.SIGINT:
                print_line("Stopping …")
            await standalone.stop(hand_over=restarts)
        print("Stopped. The next server goes on with its launches." if restarts else "Stopped.")
        return 0


async def serve(standalone: Server, stop: asyncio.Event) -> None:
    """Wait until the server is stopped.

    Raises
    ------
    ConfigError
        If our own JupyterHub does not start, or ends and cannot be started again. Without it,
        nothing can be launched. A supervisor can restart this process.
    """
    stopped = asyncio.create_task(stop.wait())
    tasks: set[asyncio.Task[object]] = {stopped}
    if standalone.hub is not None:
        tasks.add(asyncio.create_task(standalone.hub.watch()))
    try:
        while not stopped.done():
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
