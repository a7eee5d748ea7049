"""`--help` and shell completion."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from traitlets.config import Configurable
from traitlets.utils.importstring import import_item

from binderprogress.cli.app import APPS
from binderprogress.cli.commands import COMMANDS
from binderprogress.cli.help import SHELLS, completion, find_command, help_text

from ..support.processes import BIN

CLASSES = {**APPS, "history rebuild": "cli.history.RebuildApp"}
# traitlets' own, which --help-all has, and what `Command` does not implement itself.
HIDDEN = {"show-config", "show-config-json"}
COMMON = {"-h", "--help", "--help-all", "--version", "--no-unicode"}


def test_every_command_is_described() -> None:
    assert list(COMMANDS) == [
        full for name in APPS for full in (name, *(x for x in CLASSES if x.startswith(f"{name} ")))
    ]


@pytest.mark.parametrize("name", [name for name in CLASSES if COMMANDS[name].groups])
def test_the_options_are_those_of_the_command(name: str) -> None:
    if name == "completion":
        return  # it has no settings that anyone needs
    app = import_item(f"binderprogress.{CLASSES[name]}")
    options = [option for group in COMMANDS[name].groups.values() for option in group]
    described = {text: bool(option.value) for option in options for text in option.names}
    keys = {**dict.fromkeys(app.aliases, True), **dict.fromkeys(app.flags, False)}
    expected = {
        f"--{key}" if len(key) > 1 else f"-{key}": takes_value
        for key, takes_value in keys.items()
        if key not in HIDDEN
    }
    assert {key: value for key, value in described.items() if key not in COMMON} == expected


@pytest.mark.parametrize("name", [name for name in CLASSES if COMMANDS[name].groups])
def test_the_choices_are_those_of_the_setting(name: str) -> None:
    app = import_item(f"binderprogress.{CLASSES[name]}")
    traits = {
        f"{parent.__name__}.{key}": trait
        for cls in (app, *app.classes)
        for parent in cls.mro()
        if issubclass(parent, Configurable)
        for key, trait in parent.class_traits(config=True).items()
    }
    for group in COMMANDS[name].groups.values():
        for option in group:
            if option.choices:
                trait = traits[app.aliases[option.names[-1].lstrip("-")]]
                names = [value for value in trait.values if isinstance(value, str)]
                assert list(option.choices) == names


def test_the_help_of_all_commands_fits_a_terminal() -> None:
    lines = help_text("", width=80).splitlines()
    assert len(lines) < 24  # with the prompt
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("width", [40, 80, 100])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_is_as_wide_as_the_terminal(name: str, width: int) -> None:
    for line in help_text(name, width=width).splitlines():
        # One word may be longer.
        assert len(line) <= width or line.startswith("Usage: ") or " " not in line.strip(), line


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_aligned_in_a_terminal_of_80_columns(name: str) -> None:
    examples = COMMANDS[name].examples
    lines = help_text(name, width=80).splitlines()
    starts = {
        line.index(what, len(command))
        for command, what in examples
        for line in lines
        if line.startswith(f"  {command}  ")
    }
    assert len(starts) == bool(examples)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ([], ""),
        (["launch"], "launch"),
        (["history", "rebuild", "--url=x"], "history rebuild"),
        (["history", "--help"], "history"),
        (["lunch", "launch"], ""),
        (["--help", "launch"], ""),
    ],
)
def test_the_command_is_found(arguments: list[str], name: str) -> None:
    assert find_command(arguments) == name


def complete_in_bash(script: Path, words: list[str]) -> list[str]:
    """Return what bash would offer for the last word."""
    ask = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        'COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; '
        "spec=$(complete -p binderprogress); function=${spec##*-F }; function=${function%% *}; "
        '"$function" binderprogress "${COMP_WORDS[-1]}"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", ask, "bash", script, *words], capture_output=True, text=True, check=True
    )
    return [line.strip() for line in done.stdout.splitlines()]


def test_bash_completes(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(completion("bash"))
    assert complete_in_bash(script, ["binderprogress", "lau"]) == ["launch"]
    assert complete_in_bash(script, ["binderprogress", "history", ""])[:1] == ["rebuild"]
    assert complete_in_bash(script, ["binderprogress", "launch", "--ur"]) == ["--urlpath"]
    engines = complete_in_bash(script, ["binderprogress", "serve", "--engine", ""])
    assert engines == ["local", "docker", "podman", "kubernetes"]
    assert complete_in_bash(script, ["binderprogress", "completion", "z"]) == ["zsh"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_of_the_shell(shell: str, env: dict[str, str], tmp_path: Path) -> None:
    command = [BIN / "binderprogress", "completion", shell]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    assert "end-launches" in done.stdout
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(done.stdout)
    subprocess.run([shell, "-n", script], check=True, timeout=60)
