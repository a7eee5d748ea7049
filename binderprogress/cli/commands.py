"""What `--help` and shell completion say about the commands.

This is data, so that they respond at once: importing a command takes up to a second. A test
compares it with the commands.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["COMMANDS", "ROOT", "CommandText", "Option"]

_ENGINES = ("local", "docker", "podman", "kubernetes")
_LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "CRITICAL")


class Option(NamedTuple):
    """An option of a command.

    Attributes
    ----------
    names : tuple of str
        Such as ``("-f", "--config")``.
    help : str
    value : str
        The name of its value, such as ``"FILE"``. Flags have none.
    choices : tuple of str
        The values that it may have.
    """

    names: tuple[str, ...]
    help: str
    value: str = ""
    choices: tuple[str, ...] = ()


class CommandText(NamedTuple):
    """A command, as `--help` describes it.

    Attributes
    ----------
    summary : str
        One line for the list of commands.
    description : str
        Paragraphs, separated by empty lines.
    argument : str
        Its argument, such as ``"REPO"``.
    argument_help : str
    groups : dict of str to tuple of Option
        Options by the heading of their group.
    examples : tuple of (str, str)
        Command lines, and what they do.
    """

    summary: str
    description: str
    argument: str = ""
    argument_help: str = ""
    groups: dict[str, tuple[Option, ...]] = {}  # noqa: RUF012 - nobody changes it
    examples: tuple[tuple[str, str], ...] = ()


_ENGINE = Option(
    ("--engine",), "What builds and runs environments (default: local)", "ENGINE", _ENGINES
)
_FILE = Option(("-f", "--config"), "Read this config file", "FILE")
_JSON_OBJECT = Option(("--json",), "Print one JSON object")
_MORE = (
    _FILE,
    Option(("--log-level",), "Log more or less", "LEVEL", _LEVELS),
    Option(("--debug",), "The same as --log-level DEBUG"),
    Option(("--generate-config",), "Write a config file with all settings, and exit"),
    Option(("--no-unicode",), "Print ASCII only"),
    Option(("--help-all",), "Show every setting"),
    Option(("--version",), "Show the version"),
    Option(("-h", "--help"), "Show this help"),
)
_LISTEN = (
    Option(("--port",), "Port to listen on; 0 for a free one (default: 8585)", "PORT"),
    Option(("--ip",), "Address to listen on (default: 127.0.0.1)", "IP"),
)
_UPSTREAM = Option(("--upstream",), "BinderHub that builds and launches; can be repeated", "URL")
_TARGET = (
    Option(("--ref",), "Branch, tag or commit", "REF"),
    Option(("--server",), "Launch on this binderprogress server or BinderHub", "URL"),
    Option(("--token",), "JupyterHub token. Prefer the variable BINDERPROGRESS_TOKEN", "TOKEN"),
    Option(
        ("--engine",),
        "What builds and runs it here, without --server (default: local)",
        "ENGINE",
        _ENGINES,
    ),
    Option(("--no-reuse",), "Build a new environment, even if there is one"),
)
_REPO = "URL, local folder, or spec such as gh/user/repository/HEAD"

ROOT = CommandText(
    summary="",
    description="Launch repositories as Jupyter servers, and show the progress.",
    examples=(
        ("binderprogress demo", "Start everything, with examples"),
        ("binderprogress launch ./my-repository", "Launch a repository"),
    ),
)
"""The ``binderprogress`` command."""

COMMANDS = {
    "demo": CommandText(
        "Run everything on this machine, with examples",
        "Run JupyterHub, the server and a page with examples on this machine.\n\n"
        'The default engine "local" does not need Docker. It installs packages from PyPI, and runs '
        "the examples with your rights and without isolation.",
        groups={
            "Options": (
                Option(("--no-browser",), "Do not open a browser"),
                _LISTEN[0],
                _ENGINE,
                Option(("--json",), "Print one line of JSON when the demo is ready"),
            ),
            "More options": _MORE,
        },
        examples=(
            ("binderprogress demo", "Open the examples in a browser"),
            ("binderprogress demo --engine podman", "Build images, as on mybinder.org"),
        ),
    ),
    "launch": CommandText(
        "Launch a repository",
        "Launch a repository, and show the progress.\n\n"
        "Without --server, everything runs on this machine, and in a terminal keeps running until "
        "Ctrl-C. Exit codes: 0 if the server is ready, 1 if the launch failed, 2 for wrong usage, "
        "3 if the server is unreachable, 130 if interrupted.",
        "REPO",
        _REPO,
        groups={
            "Options": (
                *_TARGET,
                Option(("--urlpath",), "Open this, such as lab/tree/index.ipynb", "PATH"),
                Option(("--no-open",), "Do not open a browser"),
                Option(("--json",), "Print each event as one line of JSON"),
            ),
            "More options": _MORE,
        },
        examples=(
            ("binderprogress launch .", "Launch this folder"),
            ("binderprogress launch URL --ref v1", "Launch a tag"),
            ("binderprogress launch URL --server https://mybinder.org", "Launch it there"),
        ),
    ),
    "build": CommandText(
        "Build the environment of a repository",
        "Build the environment of a repository, and start no server.\n\n"
        "If it exists already, nothing is built. The last line of the output is the name of the "
        "image, or without a container engine, the folder of the environment. Exit codes are those "
        "of launch.",
        "REPO",
        _REPO,
        groups={
            "Options": (*_TARGET, Option(("--json",), "Print each event as one line of JSON")),
            "More options": _MORE,
        },
        examples=(
            ("binderprogress build . --engine podman", "Build an image"),
            ("binderprogress build URL --server http://localhost:8585", "Build it there"),
        ),
    ),
    "check": CommandText(
        "Check whether a repository still runs",
        "Launch a repository, run its notebooks, and stop the server.\n\n"
        "Without --notebook or --all-notebooks, one line of code runs in the default kernel. Exit "
        "codes: 0 if the check passed, 1 if the repository does not work, 2 for wrong usage, 3 if "
        "it could not be checked (for example, if the server is unreachable), 130 if interrupted.",
        "REPO",
        _REPO,
        groups={
            "Options": (
                Option(("--notebook",), "Run this notebook; can be repeated", "PATH"),
                Option(("--all-notebooks",), "Run all notebooks of the repository"),
                Option(("--code",), "Run this code in the default kernel instead", "CODE"),
                *_TARGET,
                Option(("--cell-timeout",), "Maximum time of a cell (default: 300)", "SECONDS"),
                Option(("--timeout",), "Maximum time of the check (default: 3600)", "SECONDS"),
                Option(("--junit",), "Write the report to this file, as JUnit XML", "FILE"),
                Option(("--json",), "Print the report as JSON, and nothing else"),
            ),
            "More options": _MORE,
        },
        examples=(
            ("binderprogress check . --all-notebooks", "Run all notebooks here"),
            ("binderprogress check URL --notebook index.ipynb", "Run one notebook"),
            ("binderprogress check . --junit report.xml", "Write a report for CI"),
        ),
    ),
    "why": CommandText(
        "Say why a build or a launch failed",
        "Say why a build or a launch failed, from its log.\n\n"
        "The log may be the output of a builder, the JSON lines of repo2docker, the events of a "
        "JupyterHub's progress stream, or the records of a BinderHub. Exit codes: 0 if a rule "
        "explains the failure, 1 if it failed but no rule explains why, 2 for wrong usage, 4 if "
        "nothing failed.",
        "[FILE]",
        "The log (default: standard input)",
        groups={
            "Options": (
                Option(("--rules",), "Also use the rules in this TOML file", "FILE"),
                _JSON_OBJECT,
            ),
            "More options": _MORE,
        },
        examples=(
            ("binderprogress why build.log", "Explain a file"),
            ("repo2docker . 2>&1 | binderprogress why", "Explain the output of a builder"),
        ),
    ),
    "serve": CommandText(
        "Run the server",
        "Run the server.\n\n"
        "It launches on your JupyterHub (--hub), or on BinderHubs (--upstream). Without either, it "
        "starts a JupyterHub on this machine.",
        groups={
            "Options": (
                *_LISTEN,
                _ENGINE,
                Option(("--hub",), "Your JupyterHub, in which servers are started", "URL"),
                _UPSTREAM,
                Option(
                    ("--end-launches",),
                    "On SIGTERM, end launches and the JupyterHub, as on Ctrl-C",
                ),
            ),
            "More options": _MORE,
        },
        examples=(
            ("binderprogress serve", "Serve on port 8585"),
            ("binderprogress serve --upstream https://mybinder.org", "In front of a BinderHub"),
            ("binderprogress serve --generate-config", "Write a config file"),
        ),
    ),
    "hub-service": CommandText(
        "Run the server as a service of a JupyterHub",
        "Run the server as a service of a JupyterHub, which starts it with this command.\n\n"
        "It reads the environment variables of services: JUPYTERHUB_SERVICE_PREFIX and others.",
        groups={
            "Options": (
                Option(("--port",), "Port to listen on, instead of the service's", "PORT"),
                Option(("--ip",), "Address to listen on, instead of the service's", "IP"),
                _ENGINE,
                _UPSTREAM,
            ),
            "More options": _MORE,
        },
    ),
    "prune": CommandText(
        "Show and remove environments and images",
        "Show the environments and images that were built here, and remove those that are not "
        "used.\n\n"
        "Without --all, --older-than or --budget, nothing is removed. What a Jupyter server, a "
        "container or a build uses is never removed. With a budget, what was used within 15 "
        "minutes is kept, too. Servers may keep running. Exit codes: 0 if it succeeded, 1 if it "
        "failed, 2 for wrong usage, 130 if interrupted.",
        groups={
            "Options": (
                Option(("--older-than",), 'Remove what was unused for "30d", "12h" …', "TIME"),
                Option(("--budget",), 'Keep at most this size, such as "10G"', "SIZE"),
                Option(("--all",), "Remove everything that is not in use"),
                Option(("--dry-run",), "Only show what would be removed"),
                _ENGINE,
                _JSON_OBJECT,
            ),
            "More options": _MORE,
        },
        examples=(
            ("binderprogress prune", "Show what there is"),
            ("binderprogress prune --older-than 30d", "Remove what is old"),
            ("binderprogress prune --all --dry-run", "Show what --all would remove"),
            ("binderprogress prune --engine podman", "Show the images of podman"),
        ),
    ),
    "prepull": CommandText(
        "Pull popular images to the nodes of a Kubernetes cluster",
        "Pull popular images to all nodes of a Kubernetes cluster, so that launches find them "
        "there.\n\n"
        "It pulls until it is stopped, or with --once until nothing is left to do. Servers do the "
        "same with c.Prepuller.enabled; only one of all of them pulls. Exit codes: 0 if it "
        "succeeded, 1 if it failed, 2 for wrong usage, 130 if interrupted.",
        groups={
            "Options": (
                Option(("--dry-run",), "Only show what would be pulled"),
                Option(("--once",), "End when nothing is left to pull"),
                _JSON_OBJECT,
            ),
            "More options": _MORE,
        },
        examples=(
            ("binderprogress prepull --dry-run", "Show what it would do"),
            ("binderprogress prepull --once -f config.py", "Pull what is missing"),
        ),
    ),
    "history": CommandText(
        "Maintain the history database", "Maintain the history, a database of finished launches."
    ),
    "history rebuild": CommandText(
        "Recompute all totals",
        "Recompute the totals of a history from its launches.\n\n"
        "The statistics pages read precomputed totals. Recompute them after you removed or changed "
        "launches by hand, or after an upgrade. Servers may keep running: until this command is "
        "done, they show the old totals and delay writing new launches. Exit codes: 0 if it "
        "succeeded, 1 if it failed, 2 for wrong usage, 130 if interrupted. Unless it succeeds, "
        "nothing is changed.",
        groups={
            "Options": (
                Option(("--url",), "The database (default: the one in the config file)", "URL"),
            ),
            "More options": _MORE,
        },
        examples=(
            ("binderprogress history rebuild", "Of the config file"),
            ("binderprogress history rebuild --url sqlite:///my.sqlite", "Of this file"),
        ),
    ),
    "whatif": CommandText(
        "Simulate other nodes, images or standing servers",
        "Simulate launches with other nodes, images or standing servers, before you pay for "
        "them.\n\n"
        "The launches are those of a class, of a scenario file, of the history, or of BinderHub's "
        "event logs. Exit codes: 0 if it succeeded, 1 if it failed or a goal cannot be reached, 2 "
        "for wrong usage, 130 if interrupted.",
        "[FILE]",
        "A scenario: what the cluster has, as TOML (default: one hub with up to 10 nodes)",
        groups={
            "What is launched": (
                Option(("--class",), 'A class: "120 students, Mondays at 10"; repeatable', "TEXT"),
                Option(("--history",), "What the history has"),
                Option(("--url",), "Its database (default: the one in the config file)", "URL"),
                Option(("--events",), "An event log of BinderHub; can be repeated", "FILE"),
                Option(("--from",), "First day, such as 2026-11-02", "DAY"),
                Option(("--days",), "Number of days (default: 7, up to the newest)", "DAYS"),
            ),
            "Options": (
                Option(("--set",), "Change the scenario; can be repeated", "KEY=VALUE"),
                Option(("--compare",), "Another one: a file, or KEY=VALUE,…; repeatable", "OTHER"),
                Option(("--find",), "Find the smallest value, such as standby", "KEY"),
                Option(("--goal",), 'What it is to reach (default: "80% < 1s")', "GOAL"),
                Option(("--runs",), "How often each one is simulated (default: 5)", "NUMBER"),
                Option(("--seed",), "Equal seeds give equal results (default: 1)", "NUMBER"),
                Option(("--plot",), "Write a picture, as SVG", "FILE"),
                _JSON_OBJECT,
            ),
            "More options": _MORE,
        },
        examples=(
            ('binderprogress whatif --class "50 people, Fridays at 9"', "How long they wait"),
            ("binderprogress whatif --history --compare standby=20", "Replay last week"),
            ("binderprogress whatif class.toml --find standby", "How many are enough"),
        ),
    ),
    "completion": CommandText(
        "Print a script that completes commands in a shell",
        "Print a script that completes commands and options in a shell.",
        "SHELL",
        "bash, zsh or fish",
        groups={"Options": (Option(("-h", "--help"), "Show this help"),)},
        examples=(
            ('eval "$(binderprogress completion bash)"', "In ~/.bashrc"),
            ('eval "$(binderprogress completion zsh)"', "In ~/.zshrc, after compinit"),
            ("binderprogress completion fish | source", "In ~/.config/fish/config.fish"),
        ),
    ),
}
"""The commands, in the order in which `--help` lists them. Subcommands follow their command."""
