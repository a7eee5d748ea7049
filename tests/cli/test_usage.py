"""Options, exit codes and error messages."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from traitlets.utils.importstring import import_item

from binderprogress import __version__
from binderprogress.cli.app import APPS, main

from ..support.forked import run

BIN = Path(sys.executable).parent


def cli(
    *arguments: str, env: dict[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    done = run(*arguments, env=env, timeout=30, folder=folder)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_version(env: dict[str, str]) -> None:
    for arguments in (["--version"], ["launch", "--version"]):
        done = cli(*arguments, env=env)
        assert (done.returncode, done.stdout.strip()) == (0, __version__)


def test_help_names_the_commands_and_their_options(env: dict[str, str]) -> None:
    done = cli("--help", env=env)
    assert done.returncode == 0
    for word in ("serve", "launch", "check", "history", "demo"):
        assert f"\n  {word} " in done.stdout
    done = cli("launch", "--help", env=env)
    assert done.returncode == 0
    for word in ("--ref", "--server", "--json", "--no-open", "--engine", "130 if interrupted"):
        assert word in done.stdout


@pytest.mark.parametrize("command", [["--version"], ["launch", "--help"], ["why", "-"]])
def test_a_reader_that_has_ended_is_no_error(command: list[str], env: dict[str, str]) -> None:
    """As with ``binderprogress --help | head -1``."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [BIN / "binderprogress", *command],
            env=env,
            input=b"ERROR: No matching distribution found for nosuch\n",
            stdout=write,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_help_all_has_every_setting(env: dict[str, str]) -> None:
    done = cli("serve", "--help-all", env=env)
    assert done.returncode == 0
    for setting in (
        "--LaunchManager.max_launches",
        "--Web.rate_limit",
        "--HubLauncher.api_token",
        "--LocalBuilder.local_folders",
        "--Repo2dockerBuilder.engine",
        "--Standalone.port",
    ):
        assert setting in done.stdout


def test_a_generated_config_is_read_again(env: dict[str, str], tmp_path: Path) -> None:
    env = {**env, "JUPYTER_CONFIG_DIR": str(tmp_path)}
    done = cli("serve", "--generate-config", env=env)
    config = tmp_path / "binderprogress_config.py"
    assert (done.returncode, str(config) in done.stdout) == (0, True)
    assert "# c.Standalone.port = 8585" in config.read_text()
    # An existing file is not overwritten without a terminal to confirm it.
    done = cli("serve", "--generate-config", env=env)
    assert (done.returncode, "already exists" in done.stderr) == (2, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config.write_text(f"{config.read_text()}\nc.Standalone.port = {port}\n")
        assert f"Cannot listen on 127.0.0.1:{port}:" in cli("serve", env=env).stderr
        other = config.rename(tmp_path / "mine.py")
        for name in (str(other), "mine.py", "mine"):
            done = cli("serve", "-f", name, env=env, folder=tmp_path)
            assert f"Cannot listen on 127.0.0.1:{port}:" in done.stderr


def test_a_port_that_is_taken(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command in ("serve", "demo"):
            done = cli(command, "--port", port, env=env)
            assert done.returncode == 1
            assert done.stdout == ""
            assert done.stderr == (
                f"Cannot listen on 127.0.0.1:{port}: Address already in use. Choose another "
                "port with --port, or 0 for a free port.\n"
            )


def test_an_address_that_is_not_ours(env: dict[str, str]) -> None:
    done = cli("serve", "--engine", "podman", "--ip", "192.0.2.1", "--port", "0", env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Cannot listen on 192.0.2.1:0:" in done.stderr


WRONG = {
    "no command": ([], ""),
    "no command of the history": (["history"], ""),
    "unknown command of the history": (["history", "erase"], "Unknown command: 'erase'."),
    "rebuild takes no argument": (["history", "rebuild", "x"], "Unexpected argument: 'x'."),
    "unknown command": (["lunch"], "Unknown command: 'lunch'. Did you mean launch?"),
    "unknown option": (["--nonsense"], "Unknown option: --nonsense."),
    "unknown option of a command": (
        ["serve", "--prot=1"],
        "Unknown option: --prot. Did you mean --port?",
    ),
    "unknown flag": (
        ["demo", "--no-brwser"],
        "Unknown option: --no-brwser. Did you mean --no-browser?",
    ),
    "unknown setting": (
        ["serve", "--Standalone.prot=1"],
        "Unknown setting: --Standalone.prot. Did you mean --Standalone.port?",
    ),
    "setting of an unknown class": (
        ["serve", "--LaunchManger.max_launches=1"],
        "Unknown setting: --LaunchManger.max_launches. Did you mean --LaunchManager.max_launches?",
    ),
    "unknown command before an option": (
        ["chek", ".", "--json"],
        "Unknown command: 'chek'. Did you mean check?",
    ),
    "option without its value": (["launch", "x", "--ref"], "--ref needs a value."),
    "config of no command": (["--generate-config"], "binderprogress serve --generate-config"),
    "serve takes no argument": (["serve", "all"], "Unexpected argument: 'all'."),
    "no number": (["serve", "--port=abc"], "--port: expected an int, not the str 'abc'"),
    "no port": (["serve", "--port", "99999"], "--port: should not be greater than 65535"),
    "no port of a setting": (
        ["serve", "--Standalone.port=99999"],
        "--port: should not be greater than 65535",
    ),
    "no days": (["serve", "--History.keep_days=-1"], "--History.keep_days: should not be less"),
    "no shell": (["completion", "csh"], "Name a shell: bash, zsh, fish."),
    "no engine": (
        ["launch", "gh/a/b/c", "--engine=rkt"],
        "any of ['local', 'docker', 'podman', 'kubernetes']",
    ),
    "no config file": (
        ["serve", "-f", "/nowhere.py"],
        "The config file /nowhere.py does not exist.",
    ),
    "no repository": (["launch"], "Give exactly one repository."),
    "two repositories": (["launch", "a", "b"], "Give exactly one repository."),
    "no folder": (["launch", "./nothing"], "'./nothing' is not a folder, a URL or a spec"),
    "nobody's home": (["launch", "~nobody-at-all/x"], "is not a folder, a URL"),
    "no path at all": (["launch", "x" * 5000], "is not a folder, a URL"),
    "no address": (["launch", "ext::sh"], "not the address of a repository"),
    "a password": (["launch", "https://a:b@example.org/c"], "password"),
    "no ref": (["launch", "gh/a/b/c", "--ref=-x"], "not a valid branch"),
    "nothing to check": (["check"], "Give exactly one repository."),
    "some notebooks and all": (
        ["check", "gh/a/b/c", "--notebook", "x.ipynb", "--all-notebooks"],
        "--notebook and --all-notebooks cannot be used together.",
    ),
    "no time": (["check", "gh/a/b/c", "--timeout=0"], "--timeout: should not be less than 0.1"),
    "no folder for a report": (
        ["check", "gh/a/b/c", "--junit", "/nowhere/report.xml"],
        "The folder of '/nowhere/report.xml' does not exist.",
    ),
    "no archive": (["launch", "10.1000/182"], "'10.1000/182' does not identify its archive."),
    "no ref of a DOI": (["launch", "10.5281/zenodo.1", "--ref=v1"], "Leave out the ref"),
    "no spec": (["launch", "gh/a!/b/c"], "gh/<user>/<repository>/<ref>"),
}


@pytest.mark.parametrize(("arguments", "sentence"), WRONG.values(), ids=WRONG)
def test_wrong_usage(
    arguments: list[str],
    sentence: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    env: dict[str, str],
) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", env["JUPYTER_CONFIG_DIR"])
    for path in (*APPS.values(), "cli.history.RebuildApp", "cli.app.BinderProgressApp"):
        import_item(f"binderprogress.{path}").clear_instance()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    written = capfd.readouterr()
    assert ended.value.code == 2
    assert sentence in written.err
    assert "Traceback" not in written.err
    if arguments not in ([], ["history"]):
        assert written.out == ""


def test_wrong_usage_of_the_real_command(env: dict[str, str]) -> None:
    done = cli("launch", "./nothing", env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not a folder, a URL" in done.stderr


BROKEN = {
    "syntax": ("x = (", "SyntaxError"),
    "name": ("c.Standalone.port = port", "NameError: name 'port' is not defined"),
    "value": ("c.Standalone.port = 'x'", "expected an int, not the str 'x'"),
    "setting": (
        "c.Web.viewer_timout = 3",
        "config.py, line 2: Unknown setting: c.Web.viewer_timout. Did you mean c.Web.viewer_t",
    ),
    "class": (
        "c.LaunchManger.max_launches = 3",
        "Unknown setting: c.LaunchManger.max_launches. Did you mean c.LaunchManager.max_la",
    ),
}


@pytest.mark.parametrize(("text", "sentence"), BROKEN.values(), ids=BROKEN)
def test_a_config_that_is_broken_is_not_ignored(
    text: str, sentence: str, env: dict[str, str], tmp_path: Path
) -> None:
    """Otherwise, a server would run without its configured limits."""
    config = tmp_path / "config.py"
    config.write_text(f"c.Standalone.port = 0\n{text}\n")
    done = cli("serve", "-f", str(config), env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
