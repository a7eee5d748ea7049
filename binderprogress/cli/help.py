"""Prints the help of the commands, and completion scripts for shells."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Sequence
from functools import partial
from typing import Any

from .commands import COMMANDS, ROOT, CommandText

__all__ = ["SHELLS", "completion", "find_command", "help_text"]

SHELLS = ("bash", "zsh", "fish")

_NAME = "binderprogress"


def find_command(arguments: Sequence[str]) -> str:
    """Return the command that arguments start with, such as "history rebuild".

    It is empty if they start with an option or an unknown command.
    """
    name = ""
    for argument in arguments:
        longer = f"{name} {argument}".strip()
        if longer not in COMMANDS:
            break
        name = longer
    return name


def help_text(name: str, *, width: int | None = None) -> str:
    """Return the help of a command, or with "" of all.

    Parameters
    ----------
    name : str
    width : int, optional
        Columns. By default those of the terminal, up to 100.
    """
    width = min(width or shutil.get_terminal_size().columns, 100)
    command = COMMANDS[name] if name else ROOT
    subcommands = _subcommands(name)
    usage = ("COMMAND " if subcommands else "") + "[OPTIONS]"
    parts = [
        _wrapped(command.description, width),
        f"Usage: {f'{_NAME} {name}'.strip()} {usage} {command.argument}".rstrip(),
    ]
    if subcommands:
        rows = [(short, COMMANDS[full].summary) for short, full in subcommands.items()]
        parts.append(_table("Commands", rows, width))
    parser = _parser(command, width)
    parts += [parser.format_help().partition("\n\n")[2].rstrip()]
    if command.examples:
        parts.append(_table("Examples", command.examples, width))
    if subcommands:
        parts.append(
            _wrapped(f'Show the options of a command with "{_NAME} COMMAND --help".', width)
        )
    return "\n\n".join(part for part in parts if part)


def completion(shell: str) -> str:
    """Return a script that completes commands and options in bash, zsh or fish."""
    import shtab

    parser = argparse.ArgumentParser(prog=_NAME, add_help=False)
    _add_general(parser)
    added: dict[str, Any] = {"": parser.add_subparsers()}
    for name, command in COMMANDS.items():
        group, _, short = name.rpartition(" ")
        subparser = added[group].add_parser(short, help=command.summary, add_help=False)
        if _subcommands(name):
            _add_general(subparser)
            added[name] = subparser.add_subparsers()
        _fill(subparser, command, complete=shtab.FILE)
    script: str = shtab.complete(parser, shell)
    return script


def _subcommands(name: str) -> dict[str, str]:
    """Return the full names of a command's subcommands by their short ones."""
    prefix = f"{name} " if name else ""
    full = [other for other in COMMANDS if other != name and other.startswith(prefix)]
    return {other.removeprefix(prefix): other for other in full if " " not in other[len(prefix) :]}


def _parser(command: CommandText, width: int) -> argparse.ArgumentParser:
    # Usage and description are written differently here; argparse formats the options.
    formatter = partial(argparse.HelpFormatter, width=width, max_help_position=26)
    parser = argparse.ArgumentParser(
        usage="-", add_help=False, formatter_class=formatter, allow_abbrev=False
    )
    _fill(parser, command)
    return parser


def _fill(parser: argparse.ArgumentParser, command: CommandText, *, complete: Any = None) -> None:
    if command.argument:
        group = parser.add_argument_group("Arguments")
        help_ = command.argument_help.replace("%", "%%")
        argument = group.add_argument(
            "argument",
            metavar=command.argument.strip("[]"),
            help=help_,
            choices=SHELLS if complete and command.argument == "SHELL" else None,
        )
        if command.argument != "SHELL":
            argument.complete = complete  # type: ignore[attr-defined] # read by shtab
    for heading, options in command.groups.items():
        group = parser.add_argument_group(heading)
        for option in options:
            help_ = option.help.replace("%", "%%")
            if not option.value:
                group.add_argument(*option.names, action="store_true", help=help_)
                continue
            if option.choices and not complete:
                help_ = f"{help_}: {', '.join(option.choices)}"
            action = group.add_argument(
                *option.names,
                metavar=option.value,
                help=help_,
                choices=option.choices or None,
            )
            if option.value == "FILE":
                action.complete = complete  # type: ignore[attr-defined] # read by shtab


def _add_general(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-h", "--help", action="store_true", help="Show the help")
    parser.add_argument("--version", action="store_true", help="Show the version")


def _table(heading: str, rows: Sequence[tuple[str, str]], width: int) -> str:
    """Return two aligned columns. If they do not fit, the second one is below the first one."""
    first = max(len(left) for left, _ in rows) + 4
    if first + max(len(right) for _, right in rows) <= width:
        lines = [f"  {left:{first - 2}}{right}" for left, right in rows]
    else:
        lines = [
            line
            for left, right in rows
            for line in (
                *_filled(left, width, "  ", "      "),
                *_filled(right, width, "      ", "      "),
            )
        ]
    return "\n".join([f"{heading}:", *lines])


def _filled(text: str, width: int, first: str, other: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=other, break_on_hyphens=False
    )


def _wrapped(text: str, width: int) -> str:
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        textwrap.fill(paragraph, min(width, 88), break_on_hyphens=False) for paragraph in paragraphs
    )
