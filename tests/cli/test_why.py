"""`binderprogress why`, as people and programs run it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ..support.processes import BIN

DATA = Path(__file__).parents[1] / "data"
NO_PACKAGE = DATA / "failures" / "apt-no-such-package.jsonl"


def why(*arguments: str, text: str = "") -> tuple[int, str, str]:
    ended = subprocess.run(
        [str(BIN / "binderprogress"), "why", *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stdout, ended.stderr


def test_a_failure_that_a_rule_explains() -> None:
    code, out, err = why(str(NO_PACKAGE))
    assert (code, err) == (0, "")
    assert out.startswith("apt has no package texlive-generic-recommended.\n")
    assert "  21  E: Unable to locate package texlive-generic-recommended\n" in out
    assert "The author of the repository can fix this." in out
    assert out.endswith("Rule: apt-package-missing\n")


def test_one_json_object() -> None:
    code, out, _ = why("--json", str(NO_PACKAGE))
    assert code == 0
    found = json.loads(out)
    assert found["reason"] == found["rule"] == "apt-package-missing"
    assert found["subject"] == "texlive-generic-recommended"
    assert (found["fault"], found["retry"], found["file"]) == ("repository", False, "apt.txt")
    assert found["evidence"] == ["E: Unable to locate package texlive-generic-recommended"]
    assert found["lines"] == [21]
    assert {"message", "advice", "line"} < set(found)


def test_standard_input() -> None:
    code, out, _ = why(text=NO_PACKAGE.read_text())
    assert code == 0
    assert "apt has no package" in out
    assert why("-", text=NO_PACKAGE.read_text())[:2] == (code, out)


def test_a_failure_that_no_rule_explains() -> None:
    log = 'STEP 2/3: RUN make\nno idea\nError: building at STEP "RUN make": exit status 2\n'
    code, out, _ = why(text=log)
    assert code == 1
    assert out.startswith("The command make failed with exit code 2.\n")
    assert "  2  no idea\n" in out
    assert "No rule explains it." in out


@pytest.mark.parametrize("name", ["repo2docker-ok.jsonl", "hub-progress-ok.txt"])
def test_nothing_failed(name: str) -> None:
    path = str(DATA / "streams" / name)
    assert why(path) == (4, "Nothing failed in this log.\n", "")
    assert why("--json", path)[:2] == (4, "null\n")


def test_rules_of_ones_own(tmp_path: Path) -> None:
    rules = tmp_path / "own.toml"
    rules.write_text(
        "[[rules]]\nid = 'theirs'\nreason = 'quota'\npatterns = ['out of project hours']\n"
    )
    log = "STEP 2/3: RUN make\nYou are out of project hours\n"
    code, out, _ = why("--rules", str(rules), text=log)
    assert code == 0
    assert "Rule: theirs" in out
    rules.write_text("[[rules]]\nid = 'theirs'\nreason = 'nothing'\npatterns = ['enough text']\n")
    code, out, err = why("--rules", str(rules), text=log)
    assert (code, out) == (2, "")
    assert "rule 'theirs': there is no reason 'nothing'." in err
    code, _, err = why("--rules", str(tmp_path / "nosuch.toml"), text=log)
    assert code == 2
    assert "cannot be read: " in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one", "two"], "Name one log file."),
        (["no/such/file"], "no/such/file cannot be read: No such file or directory."),
        (["."], ". cannot be read: Is a directory."),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    code, out, err = why(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_attack_a_log_writes_to_the_terminal() -> None:
    log = "E: Unable to locate package \x1b]0;mine\x07x\x9b31m\n"
    for arguments in ([], ["--json"]):
        _, out, _ = why(*arguments, text=log)
        assert not {"\x1b", "\x07", "\x9b"} & set(out)


def test_attack_a_password_in_a_log() -> None:
    address = "https://kim:secret@git.example.org/"
    log = f"fatal: unable to access '{address}': Could not resolve host: git.example.org\n"
    for arguments in ([], ["--json"]):
        _, out, _ = why(*arguments, text=log)
        assert "git.example.org" in out
        assert "secret" not in out
